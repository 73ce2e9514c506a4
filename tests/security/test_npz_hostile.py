"""Archives that want to run code, lie about their size or are no archives are refused in one sentence, and nothing is written."""

from __future__ import annotations

import io
import json
import os
import pickle
import resource
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sciml.data.convert import import_arrays
from sciml.errors import DatasetError

ROOT = Path(__file__).resolve().parents[2]
GOOD = np.arange(36, dtype=np.float32).reshape(4, 3, 3)


class Trap:
    """Unpickling this leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.path), "w"))


def npy(array: np.ndarray, **header: object) -> bytes:
    """Bytes of an .npy file whose header may say something else than the array."""
    stream = io.BytesIO()
    said = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape} | header
    np.lib.format.write_array_header_1_0(stream, said)
    return stream.getvalue() + array.tobytes()


def archive(path: Path, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name + ".npy", content)


def flipped(path: Path) -> None:
    archive(path, x=npy(GOOD), y=npy(GOOD))
    content = bytearray(path.read_bytes())
    content[80] ^= 0xFF
    path.write_bytes(content)


def truncated(path: Path) -> None:
    np.savez(path, x=GOOD, y=GOOD)
    path.write_bytes(path.read_bytes()[:-60])


def encrypted(path: Path) -> None:
    archive(path, x=npy(GOOD), y=npy(GOOD))
    content = path.read_bytes().replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00")
    path.write_bytes(content.replace(b"PK\x03\x04\x14\x00\x00\x00", b"PK\x03\x04\x14\x00\x01\x00"))


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "pickled objects": (lambda p: np.savez(p, x=np.full((4, 3, 3), Trap(p.parent / "trap")), y=GOOD), "holds pickled objects"),
    "structure with objects": (lambda p: np.savez(p, x=np.zeros((4, 3, 3), [("a", "O")]), y=GOOD), "holds pickled objects"),
    "structure": (lambda p: np.savez(p, x=np.zeros((4, 3, 3), [("a", "f4")]), y=GOOD), "give real numbers"),
    "a bare pickle": (lambda p: p.write_bytes(pickle.dumps(Trap(p.parent / "trap"))), "not a readable .npz"),
    "a pickle for an array": (lambda p: archive(p, x=pickle.dumps(Trap(p.parent / "trap")), y=npy(GOOD)), "not a readable .npz"),
    "a bare .npy": (lambda p: p.write_bytes(npy(GOOD)), "not a readable .npz"),
    "text": (lambda p: p.write_text("x,y\n1,2\n"), "not a readable .npz"),
    "nothing": (lambda p: p.write_bytes(b""), "not a readable .npz"),
    "an empty archive": (archive, "it holds no array"),
    "truncated": (truncated, "not a readable .npz"),
    "flipped bits": (flipped, "not a readable .npz"),
    "encrypted": (encrypted, "not a readable .npz"),
    "a huge shape": (lambda p: archive(p, x=npy(GOOD, shape=(1 << 50, 3, 3)), y=npy(GOOD)), "declares .* bytes and 144 are there"),
    "a short array": (lambda p: archive(p, x=npy(GOOD)[:-4], y=npy(GOOD)), "declares 144 bytes and 140 are there"),
    "a long array": (lambda p: archive(p, x=npy(GOOD) + b"more", y=npy(GOOD)), "declares 144 bytes and 148 are there"),
    "a negative shape": (lambda p: archive(p, x=npy(GOOD, shape=(-4, -3, 3)), y=npy(GOOD)), "not a readable .npz|has shape"),
    "a header with code": (
        lambda p: archive(p, x=npy(GOOD).replace(b"(4, 3, 3)", b"exit( 3 )"), y=npy(GOOD)),
        "not a readable .npz",
    ),
    "an unknown version": (lambda p: archive(p, x=b"\x93NUMPY\x09\x00" + npy(GOOD)[8:], y=npy(GOOD)), "not a readable .npz"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archive_is_refused(tmp_path: Path, name: str) -> None:
    make, sentence = HOSTILE[name]
    path = tmp_path / "a.npz"
    make(path)
    with pytest.raises(DatasetError, match=sentence) as caught:
        import_arrays(path, tmp_path / "out", input="x", output="y")
    assert "\n" not in str(caught.value)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.npz"], "something was written, or code was run"


def test_things_that_are_no_files(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "gone.npz", Path("a\0b")):
        with pytest.raises(DatasetError, match="is not a file"):
            import_arrays(path, tmp_path / "out", input="x", output="y")


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (3 << 28, 3 << 28))


def test_archive_that_unpacks_to_more_than_there_is_memory(tmp_path: Path) -> None:
    header = npy(GOOD[:0], shape=(1 << 10, 512, 512), descr="<f4")
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as file, file.open("x.npy", "w") as member:
        member.write(header)
        for _ in range(16):
            member.write(bytes(1 << 26))
    assert (tmp_path / "bomb.npz").stat().st_size < 1 << 22
    script = (
        "import json, sys\nfrom sciml.data.convert import import_arrays\nfrom sciml.errors import DatasetError\n"
        "try:\n    import_arrays(sys.argv[1], sys.argv[2], input='x', output='y')\n"
        "except DatasetError as error:\n    print(json.dumps(str(error)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", script, str(tmp_path / "bomb.npz"), str(tmp_path / "out")]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, preexec_fn=_limit_memory, timeout=300, check=True)
    assert "bomb.npz" in json.loads(result.stdout)
    assert not (tmp_path / "out").exists()
