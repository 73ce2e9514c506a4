"""Give hostile and damaged recipes and shards to the command line, all in one process; run by test_hostile_corpus.py.

Prints one JSON object: for every case the exit codes, what stderr said and whether the file outside the dataset was read, and the
largest resident size of the process.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from typer.testing import CliRunner

from sciml.cli import app
from sciml.data.durable import sha256_of_file

FIRST = "data/train/shard-00000.hdf5"
PRESSURE, PERMEABILITY, PROVENANCE = "t0_fields/pressure", "t0_fields/permeability", "provenance"
HEAD = 'name = "mine"\ntitle = "Mine"\n'
BODY = HEAD + '[problem]\nkind = "darcy"\nresolution = 8\npermeability = { kind = "uniform", low = 1.0, high = 2.0 }\n'
FIELD = '{ kind = "gaussian_random_field", alpha = 2.0, tau = 3.0 }'


def law(text: str) -> str:
    return f'{HEAD}[problem]\nkind = "darcy"\nresolution = 8\npermeability = {text}\n'


RECIPES: dict[str, str | bytes] = {
    "empty": "",
    "blank": "\n\n\n",
    "zero bytes": bytes(2048),
    "random bytes": np.random.default_rng(0).bytes(4096),
    "latin-1": BODY.replace("Mine", "Mïne").encode("latin-1"),
    "utf-16": BODY.encode("utf-16"),
    "cut off": BODY[:70],
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(500),
    "a pickle": b"cposix\nsystem\n(S'touch /tmp/owned'\ntR.",
    "YAML with a constructor": "!!python/object/apply:os.system ['true']\n",
    "more than a mebibyte": BODY + "#" * (1 << 20),
    "nested arrays": BODY + "x = " + "[" * 20_000 + "]" * 20_000 + "\n",
    "nested tables": BODY + "x = " + "{a=" * 20_000 + "1" + "}" * 20_000 + "\n",
    "long dotted key": BODY + ".".join("a" * 20_000) + " = 1\n",
    "many keys": BODY + "".join(f"k{number} = 1\n" for number in range(20_000)),
    "key twice": BODY + "resolution = 9\n",
    "table twice": BODY + '[problem]\nkind = "darcy"\n',
    "no name": BODY.replace('name = "mine"\n', ""),
    "no problem": HEAD,
    "path as name": BODY.replace('"mine"', '"../../../etc/cron.d/mine"'),
    "nul in name": BODY.replace('"mine"', '"mi\\u0000ne"'),
    "long name": BODY.replace("mine", "m" * 70_000),
    "number as name": BODY.replace('"mine"', "7"),
    "unknown kind": BODY.replace("darcy", "os.system"),
    "kind is a list": BODY.replace('kind = "darcy"', "kind = [1]"),
    "kind is a table": BODY.replace('kind = "darcy"', "kind = {a = 1}"),
    "problem is a list": HEAD + "problem = [1, 2]\n",
    "array of problems": HEAD + '[[problem]]\nkind = "darcy"\n',
    "dunder key": BODY + "__class__ = 1\n",
    "unknown key": BODY + "resolutoin = 9\n",
    "huge resolution": BODY.replace("resolution = 8", "resolution = 1000000000"),
    "resolution beyond 64 bits": BODY.replace("resolution = 8", "resolution = " + "9" * 300),
    "more digits than Python converts": BODY.replace("resolution = 8", "resolution = " + "9" * 5000),
    "negative resolution": BODY.replace("resolution = 8", "resolution = -8"),
    "fractional resolution": BODY.replace("resolution = 8", "resolution = 8.5"),
    "NaN resolution": BODY.replace("resolution = 8", "resolution = nan"),
    "no axes": BODY.replace("resolution = 8", "resolution = []"),
    "many axes": BODY.replace("resolution = 8", f"resolution = {[8] * 1000}"),
    "NaN permeability": law("{ kind = 'constant', value = nan }"),
    "infinite law": law("{ kind = 'uniform', low = 1.0, high = inf }"),
    "empty interval": law("{ kind = 'uniform', low = 2.0, high = 1.0 }"),
    "negative permeability": law("{ kind = 'uniform', low = -2.0, high = 1.0 }"),
    "largest double": law("{ kind = 'uniform', low = 1e308, high = 1.7e308 }"),
    "smallest double": law("{ kind = 'uniform', low = 5e-324, high = 1e-323 }"),
    "law without end": law("{ kind = 'log_normal', field = " * 500 + FIELD + "}" * 500),
    "negative alpha": law(f"{{ kind = 'log_normal', field = {FIELD.replace('2.0', '-2.0')} }}"),
    "huge amplitude": law(f"{{ kind = 'log_normal', field = {FIELD[:-1]}, amplitude = 1e300 }} }}"),
    "no samples": BODY + "[data]\nsamples = 0\n",
    "samples beyond 64 bits": BODY + f"[data]\nsamples = {2**70}\n",
    "seed beyond 64 bits": BODY + f"[data]\nseed = {2**70}\n",
    "huge shard": BODY + "[data]\nshard_samples = 1000000000\n",
    "unknown precision": BODY + '[data]\ndtype = "object"\n',
    "everything is test": BODY + "[data]\ntest = 1.0\n",
    "zero rtol": BODY + "[solver]\nrtol = 0.0\n",
    "method is a path": BODY + '[solver]\nmethod = "../evil.so"\n',
}


def replaced(make: Callable[[h5py.File, tuple[int, ...], Path], Any]) -> Callable[[Path, Path], None]:
    """Replace the pressure of the first shard; `make` also gets the path of a file outside the dataset."""

    def change(root: Path, outside: Path) -> None:
        with h5py.File(root / FIRST, "r+") as file:
            shape = file[PRESSURE].shape
            del file[PRESSURE]
            make(file, shape, outside)

    return change


def edited(change: Callable[[h5py.File], Any]) -> Callable[[Path, Path], None]:
    def apply(root: Path, outside: Path) -> None:
        with h5py.File(root / FIRST, "r+") as file:
            change(file)

    return apply


def rewritten(change: Callable[[bytes], bytes]) -> Callable[[Path, Path], None]:
    return lambda root, outside: (root / FIRST).write_bytes(change((root / FIRST).read_bytes())) and None


def virtual(file: h5py.File, shape: tuple[int, ...], outside: Path) -> None:
    layout = h5py.VirtualLayout(shape, "f4")
    layout[...] = h5py.VirtualSource(str(outside), PRESSURE, shape)
    file.create_virtual_dataset(PRESSURE, layout)


def instead(root: Path, outside: Path) -> None:
    (root / FIRST).unlink()
    (root / FIRST).symlink_to(outside)


def in_place_of_the_folder(root: Path, outside: Path) -> None:
    shutil.rmtree(root / "data" / "train")
    (outside.parent / "shard-00000.hdf5").unlink(missing_ok=True)
    os.link(outside, outside.parent / "shard-00000.hdf5")
    (root / "data" / "train").symlink_to(outside.parent)


def manifest(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path, Path], None]:
    def apply(root: Path, outside: Path) -> None:
        content = json.loads((root / "manifest.json").read_text())
        change(content)
        (root / "manifest.json").write_text(json.dumps(content))

    return apply


def attribute(place: str, name: str, value: Any) -> Callable[[Path, Path], None]:
    return edited(lambda file: file[place].attrs.__setitem__(name, value))


def wide(file: h5py.File) -> None:
    for number in range(300):
        file.create_dataset(f"extra-{number}", data=np.zeros(8))


SHARDS: dict[str, Callable[[Path, Path], None]] = {
    "external link": replaced(lambda f, shape, out: f.__setitem__(PRESSURE, h5py.ExternalLink(str(out), PRESSURE))),
    "external link of a group": edited(lambda f: (f.__delitem__("scalars"), f.__setitem__("scalars", h5py.ExternalLink("/x", "/")))),
    "soft link": replaced(lambda f, shape, out: f.__setitem__(PRESSURE, h5py.SoftLink("/" + PERMEABILITY))),
    "external storage": replaced(lambda f, shape, out: f.create_dataset(PRESSURE, shape, "f4", external=[(str(out), 0, 1 << 20)])),
    "virtual dataset": replaced(virtual),
    "symbolic link": instead,
    "symbolic link of the folder": in_place_of_the_folder,
    "path with dots": manifest(lambda m: m["shards"][0].__setitem__("path", "data/train/../../../outside/secret.hdf5")),
    "absolute path": manifest(lambda m: m["shards"][0].__setitem__("path", "/etc/passwd")),
    "declares 64 GiB": replaced(lambda f, shape, out: f.create_dataset(PRESSURE, (1 << 28, *shape[1:]), "f4", chunks=(1, *shape[1:]))),
    "declares 64 GiB, packed": replaced(
        lambda f, shape, out: f.create_dataset(PRESSURE, (1 << 28, *shape[1:]), "f4", chunks=(1 << 16, *shape[1:]), compression="gzip")
    ),
    "chunk of 1 GiB": replaced(
        lambda f, shape, out: f.create_dataset(PRESSURE, shape, "f4", maxshape=(None,) * len(shape), chunks=(1 << 22, 1, 8, 8))
    ),
    "other type": replaced(lambda f, shape, out: f.create_dataset(PRESSURE, shape, "f8")),
    "complex": replaced(lambda f, shape, out: f.create_dataset(PRESSURE, shape, "c8")),
    "text": replaced(lambda f, shape, out: f.create_dataset(PRESSURE, shape, h5py.string_dtype())),
    "references": replaced(lambda f, shape, out: f.create_dataset(PRESSURE, shape, h5py.ref_dtype)),
    "empty": replaced(lambda f, shape, out: f.create_dataset(PRESSURE, data=h5py.Empty("f4"))),
    "other rank": replaced(lambda f, shape, out: f.create_dataset(PRESSURE, shape[:2], "f4")),
    "a group": replaced(lambda f, shape, out: f.create_group(PRESSURE)),
    "gone": replaced(lambda f, shape, out: None),
    "cycle": edited(lambda f: f["scalars"].__setitem__("root", f["/"])),
    "extra datasets": edited(wide),
    "huge attribute": attribute(PROVENANCE, "recipe", np.zeros(8000, "S1")),
    "recipe of another resolution": attribute(PROVENANCE, "recipe", BODY.replace("= 8", "= 60000")),
    "deep recipe": attribute(PROVENANCE, "recipe", "[" * 30_000 + "]" * 30_000),
    "versions that are no JSON": attribute(PROVENANCE, "versions", "{{{"),
    "versions that are a list": attribute(PROVENANCE, "versions", "[1]"),
    "other start": attribute(PROVENANCE, "start", 10**12),
    "NaN field": edited(lambda f: f[PRESSURE].__setitem__((0, 0, 0, 0), np.nan)),
    "infinite permeability": edited(lambda f: f[PERMEABILITY].__setitem__((0, 0, 0), np.inf)),
    "huge sample number": edited(lambda f: f["provenance/index"].__setitem__(0, 2**62)),
    "negative sample number": edited(lambda f: f["provenance/index"].__setitem__(0, -5)),
    "method with odd bytes": edited(lambda f: f["provenance/method"].__setitem__(0, b"\xff\x00\x1b[31m")),
    "no bytes": rewritten(lambda content: b""),
    "signature only": rewritten(lambda content: content[:8]),
    "half": rewritten(lambda content: content[: len(content) // 2]),
    "without the last byte": rewritten(lambda content: content[:-1]),
    "zeros": rewritten(lambda content: bytes(len(content))),
    "superblock of another version": rewritten(lambda content: content[:8] + b"\x09" + content[9:]),
    "root elsewhere": rewritten(lambda content: content[:64] + b"\xff" * 8 + content[72:]),
    "twice": rewritten(lambda content: content + content),
    "manifest cut off": lambda root, outside: os.truncate(root / "manifest.json", 300),
    "manifest of nested arrays": lambda root, outside: (root / "manifest.json").write_text("[" * 100_000) and None,
    "manifest with a huge shape": manifest(lambda m: m.__setitem__("shape", [1 << 20, 1 << 20])),
    "manifest with a negative count": manifest(lambda m: m["splits"].__setitem__("train", -1)),
    "manifest with many samples": manifest(lambda m: m["shards"][0].__setitem__("samples", 10**9)),
}


def answer(*arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command; a traceback ends up in stderr."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    error = result.exception
    crashed = error is not None and not isinstance(error, SystemExit)
    return result.exit_code, result.stdout, result.stderr + (f"Traceback: {error!r}" if crashed else "")


def peak_megabytes() -> float:
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024


def unread(path: Path) -> None:
    """Set the time of the last reading to the epoch; with `relatime` any reading sets it to now."""
    os.utime(path, (0, path.stat().st_mtime))


def was_read(path: Path) -> bool:
    return path.stat().st_atime > 0


def main(sound: Path, scratch: Path) -> None:
    outside = scratch / "outside" / "secret.hdf5"
    outside.parent.mkdir()
    shutil.copy(sound / FIRST, outside)
    unread(outside)
    outside.read_bytes()
    noticed = was_read(outside)
    found: dict[str, dict[str, Any]] = {}
    for name, content in RECIPES.items():
        recipe = scratch / "recipe.toml"
        recipe.write_bytes(content if isinstance(content, bytes) else content.encode())
        answers = [answer("generate", recipe, "--samples", 2, "--out", scratch / "made", "-q")]
        left = sorted(str(path.relative_to(scratch)) for path in (scratch / "made").rglob("*"))
        found[f"recipe: {name}"] = {"answers": answers, "left": left, "read_outside": False, "megabytes": peak_megabytes()}
        shutil.rmtree(scratch / "made", ignore_errors=True)
    for name, change in SHARDS.items():
        root = Path(shutil.copytree(sound, scratch / "data"))
        change(root, outside)
        mend(root)
        unread(outside)
        answers = [
            answer("info", root),
            answer("verify", root, "--regenerate", 3),
            answer("export", root, "--split", "train", "--out", scratch / "a.vtkhdf"),
        ]
        found[f"shard: {name}"] = {"answers": answers, "left": [], "read_outside": was_read(outside), "megabytes": peak_megabytes()}
        shutil.rmtree(root)
    sys.stdout.write(json.dumps({"cases": found, "reading_is_noticed": noticed, "megabytes": peak_megabytes()}))


def mend(root: Path) -> None:
    """Give the manifest the SHA-256 of what now lies there, as an attacker would."""
    try:
        content = json.loads((root / "manifest.json").read_text())
        content["shards"][0]["sha256"] = sha256_of_file(root / FIRST)
    except (ValueError, RecursionError):
        return
    (root / "manifest.json").write_text(json.dumps(content))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
