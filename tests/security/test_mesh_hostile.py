"""Mesh files from strangers: damaged, forged and absurd ones end in one sentence, with little memory and time."""

from __future__ import annotations

import base64
import resource
import struct
import zlib
from pathlib import Path

import meshio
import numpy as np
import pytest

from sciml.errors import MeshError, RecipeError
from sciml.mesh import read_mesh

HEADER = "$MeshFormat\n2.2 0 8\n$EndMeshFormat\n"
SQUARE = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
TRIANGLES = np.array([[0, 1, 2], [0, 2, 3]])


def sound_files(folder: Path) -> list[Path]:
    tags = {"gmsh:physical": [np.array([1, 1], np.int32)], "gmsh:geometrical": [np.array([1, 1], np.int32)]}
    mesh = meshio.Mesh(SQUARE, [("triangle", TRIANGLES)], cell_data=tags, field_data={"domain": np.array([1, 2])})
    paths = [folder / name for name in ("ascii.msh", "binary.msh", "zlib.vtu", "raw.vtu")]
    mesh.write(paths[0], file_format="gmsh22", binary=False)
    mesh.write(paths[1], file_format="gmsh22", binary=True)
    mesh.write(paths[2])
    mesh.write(paths[3], compression=None)
    return paths


def peak_memory_growth(path: Path) -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(MeshError) as caught:
        read_mesh(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10


def vtu(points: str, count: int) -> str:
    return f"""<?xml version="1.0"?>
<VTKFile type="UnstructuredGrid" version="0.1" byte_order="LittleEndian" header_type="UInt32" compressor="vtkZLibDataCompressor">
<UnstructuredGrid><Piece NumberOfPoints="{count}" NumberOfCells="1">
<Points><DataArray type="Float64" NumberOfComponents="3" format="binary">{points}</DataArray></Points>
<Cells><DataArray type="Int64" Name="connectivity" format="ascii">0 1 2</DataArray><DataArray type="Int64" Name="offsets" format="ascii">3
</DataArray><DataArray type="Int64" Name="types" format="ascii">5</DataArray></Cells></Piece></UnstructuredGrid></VTKFile>"""


def bomb() -> str:
    """4 GiB of zeros in a few megabytes of base64."""
    block = zlib.compress(bytes(1 << 28), 9)
    head = struct.pack("<19I", 16, 1 << 28, 0, *(len(block),) * 16)
    return (base64.b64encode(head) + base64.b64encode(block * 16)).decode()


#: Ten entities of ten of the one before each.
LAUGHS = '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY e0 "ha">' + "".join(f'<!ENTITY e{k + 1} "{f"&e{k};" * 10}">' for k in range(10))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.msh", ""),
        ("words.msh", "not a mesh at all"),
        ("bytes.msh", "\x00\xff" * 1000),
        ("words.vtu", "<html><body>404</body></html>"),
        ("version.msh", "$MeshFormat\n9.9 0 8\n$EndMeshFormat\n"),
        ("no_cells.msh", HEADER + "$Nodes\n1\n1 0 0 0\n$EndNodes\n"),
        ("tera_nodes.msh", HEADER + "$Nodes\n1000000000000\n1 0 0 0\n$EndNodes\n$Elements\n0\n$EndElements\n"),
        ("giga_nodes.msh", HEADER + "$Nodes\n1000000000\n1 0 0 0\n$EndNodes\n$Elements\n0\n$EndElements\n"),
        ("negative.msh", HEADER + "$Nodes\n-5\n1 0 0 0\n$EndNodes\n$Elements\n0\n$EndElements\n"),
        ("tera_cells.msh", HEADER + "$Nodes\n1\n1 0 0 0\n$EndNodes\n$Elements\n1000000000000\n1 2 0 1 1 1\n$EndElements\n"),
        ("index.msh", HEADER + "$Nodes\n3\n1 0 0 0\n2 1 0 0\n3 0 1 0\n$EndNodes\n$Elements\n1\n1 2 2 1 1 1 2 99\n$EndElements\n"),
        ("sparse.msh", HEADER + "$Nodes\n3\n1 0 0 0\n2 1 0 0\n2000000000 0 1 0\n$EndNodes\n$Elements\n1\n1 2 2 1 1 1 2 3\n$EndElements\n"),
        ("names.msh", HEADER + '$PhysicalNames\n99999999999\n1 1 "a"\n$EndPhysicalNames\n'),
        ("laughs.vtu", LAUGHS + "]><VTKFile>&e10;</VTKFile>"),
        ("entity.vtu", '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY e SYSTEM "file:///etc/hostname">]><VTKFile>&e;</VTKFile>'),
        ("deep.vtu", "<VTKFile>" * 100_000),
    ],
)
def test_forged_text(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode("latin-1"))
    assert peak_memory_growth(path) < 700 << 20


def test_decompression_bomb(tmp_path: Path) -> None:
    path = tmp_path / "bomb.vtu"
    path.write_text(vtu(bomb(), 4 << 30 // 24))
    limit = resource.getrlimit(resource.RLIMIT_AS)
    assert peak_memory_growth(path) < 1200 << 20
    assert resource.getrlimit(resource.RLIMIT_AS) == limit


def test_every_truncation_is_a_sentence_or_a_mesh(tmp_path: Path) -> None:
    """Cut off behind its last number, a text file still describes its mesh; nothing else may escape."""
    for path in sound_files(tmp_path):
        whole = path.read_bytes()
        for length in range(0, len(whole), max(1, len(whole) // 60)):
            path.write_bytes(whole[:length])
            assert outcome(path) in ("refused", "sound"), f"{path.name} cut off at {length}"


def test_every_flipped_byte_is_a_sentence_or_a_mesh(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for path in sound_files(tmp_path):
        whole = bytearray(path.read_bytes())
        for position in rng.integers(len(whole), size=150):
            damaged = whole.copy()
            damaged[position] ^= 1 << int(rng.integers(8))
            path.write_bytes(damaged)
            assert outcome(path) in ("refused", "sound"), f"{path.name} damaged at {position}"


def outcome(path: Path) -> str:
    try:
        mesh = read_mesh(path)
    except MeshError as error:
        return "refused" if "\n" not in str(error) else "a refusal of several lines"
    whole = np.isfinite(mesh.points).all() and set(np.unique(mesh.cells)) == set(range(len(mesh.points)))
    return "sound" if whole else "a mesh with holes"


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for path in sound_files(tmp_path):
        path.write_bytes(path.read_bytes()[:300])
        outcome(path)
    assert capfd.readouterr() == ("", "")


def test_huge_files_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "huge.msh"
    with path.open("wb") as file:
        file.truncate(1 << 33)
    with pytest.raises(MeshError, match="8589934592 bytes, more than"):
        read_mesh(path)


@pytest.mark.parametrize("name", ["../secret.msh", "/etc/passwd", "link.msh", "nul\\u0000.msh"])
def test_recipes_reach_no_mesh_outside_their_folder(tmp_path: Path, name: str) -> None:
    from sciml import load_recipe

    (tmp_path / "secret.msh").write_bytes(sound_files(tmp_path)[0].read_bytes())
    folder = tmp_path / "recipe"
    folder.mkdir()
    (folder / "link.msh").symlink_to(tmp_path / "secret.msh")
    (folder / "recipe.toml").write_text(f'name = "a"\ntitle = "A"\n[problem]\nkind = "mesh_darcy"\nmesh = "{name}"\n')
    with pytest.raises(RecipeError, match=r"problem\.mesh|mesh = |mesh: ") as caught:
        load_recipe(folder / "recipe.toml")
    assert "beside the recipe" in str(caught.value)
