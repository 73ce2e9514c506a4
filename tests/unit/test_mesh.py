"""Meshes from files and arrays: what is read, what is found, what is refused in one sentence."""

from __future__ import annotations

import re
from pathlib import Path

import meshio
import numpy as np
import pytest

from sciml.errors import MeshError
from sciml.mesh import Mesh, read_mesh

SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
TRIANGLES = np.array([[0, 1, 2], [0, 2, 3]])
TETRAHEDRON = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def write(path: Path, points: np.ndarray, blocks: list[tuple[str, np.ndarray]], groups: list[int] | None = None, **options: object) -> Path:
    """A file with one physical group a block; group 1 is called inlet, 2 outlet, 3 has no name, 9 is the domain's."""
    points = np.pad(points, ((0, 0), (0, 3 - points.shape[1])))
    tags = [np.full(len(data), number, np.int32) for (_, data), number in zip(blocks, groups or [], strict=False)]
    dimension = {"line": 1, "triangle": 2, "tetra": 3, "quad": 2, "triangle6": 2}[blocks[-1][0]]
    names = {"inlet": np.array([1, dimension - 1]), "outlet": np.array([2, dimension - 1]), "domain": np.array([9, dimension])}
    cell_data = {"gmsh:physical": tags, "gmsh:geometrical": tags} if groups else {}
    mesh = meshio.Mesh(points, blocks, cell_data=cell_data, field_data=names if groups else {})
    mesh.write(path, **options)
    return path


#: The same mesh as Gmsh 4 writes it; the nodes are numbered with gaps.
GMSH_41 = """$MeshFormat
4.1 0 8
$EndMeshFormat
$PhysicalNames
3
1 1 "inlet"
1 2 "outlet"
2 9 "domain"
$EndPhysicalNames
$Entities
0 3 1 0
11 0 0 0 0 1 0 1 1 0
12 1 0 0 1 1 0 1 2 0
13 0 0 0 1 0 0 1 3 0
5 0 0 0 1 1 0 1 9 0
$EndEntities
$Nodes
1 4 10 17
2 5 0 4
10
12
15
17
0 0 0
1 0 0
1 1 0
0 1 0
$EndNodes
$Elements
4 5 1 5
1 11 1 1
1 17 10
1 12 1 1
2 12 15
1 13 1 1
3 10 12
2 5 2 2
4 10 12 15
5 10 15 17
$EndElements
"""

EDGES = [("line", np.array([[3, 0]])), ("line", np.array([[1, 2]])), ("line", np.array([[0, 1]])), ("triangle", TRIANGLES)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.msh", {"file_format": "gmsh22", "binary": False}),
        ("a.msh", {"file_format": "gmsh22", "binary": True}),
        ("gmsh41.msh", {}),
        ("a.vtu", {}),
    ],
)
def test_physical_groups_name_the_parts(tmp_path: Path, name: str, options: dict[str, object]) -> None:
    path = tmp_path / name
    if name == "gmsh41.msh":
        path.write_text(GMSH_41)
    else:
        write(path, SQUARE, EDGES, [1, 2, 3, 9], **options)
    mesh = read_mesh(path)
    np.testing.assert_array_equal(mesh.points, SQUARE)
    np.testing.assert_array_equal(mesh.cells, TRIANGLES)
    # .vtu keeps the numbers of the groups and loses their names
    inlet, outlet = ("physical_1", "physical_2") if name.endswith("vtu") else ("inlet", "outlet")
    found = {part: mesh.part(part).tolist() for part in mesh.part_names}
    assert found == {inlet: [[0, 3]], outlet: [[1, 2]], "physical_3": [[0, 1]], "boundary": [[2, 3]]}


def test_every_group_of_a_curve_in_two_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a.msh").write_text(GMSH_41.replace("11 0 0 0 0 1 0 1 1 0", "11 0 0 0 0 1 0 2 1 2 0"))
    with pytest.raises(MeshError, match="1 facet of part 'outlet' that belong to another part too"):
        read_mesh(tmp_path / "a.msh")


def test_elements_in_no_group_beside_others_are_explained(tmp_path: Path) -> None:
    (tmp_path / "a.msh").write_text(GMSH_41.replace("5 0 0 0 1 1 0 1 9 0", "5 0 0 0 1 1 0 0 0"))
    with pytest.raises(MeshError, match=r"has elements in no physical group beside others that are in one: .* Mesh\.SaveAll"):
        read_mesh(tmp_path / "a.msh")


def test_tetrahedra_and_their_boundary_triangles(tmp_path: Path) -> None:
    blocks = [("triangle", np.array([[2, 1, 0]])), ("tetra", np.array([[0, 1, 2, 3]]))]
    mesh = read_mesh(write(tmp_path / "a.msh", TETRAHEDRON, blocks, [1, 9], file_format="gmsh22"))
    assert mesh.dimension == 3
    assert mesh.part("inlet").tolist() == [[0, 1, 2]]
    assert mesh.part("boundary").tolist() == [[0, 1, 3], [0, 2, 3], [1, 2, 3]]


def test_without_tags_the_whole_boundary_is_one_part(tmp_path: Path) -> None:
    mesh = read_mesh(write(tmp_path / "a.vtu", SQUARE, EDGES[-1:]))
    assert mesh.part_names == ("boundary",)
    assert mesh.facets.tolist() == [[0, 1], [0, 3], [1, 2], [2, 3]]


def test_boundary_of_a_box_is_its_surface(box_mesh) -> None:
    for dimension in (2, 3):
        mesh = box_mesh(dimension, 4)
        assert len(mesh.facets) == {2: 4 * 4, 3: 6 * 2 * 16}[dimension]
        assert set(mesh.part_names) == {f"{axis}_{end}" for axis in "xyz"[:dimension] for end in ("low", "high")}


def test_flat_meshes_may_lie_at_any_height(tmp_path: Path) -> None:
    lifted = np.column_stack([SQUARE, np.full(4, 7.5)])
    assert read_mesh(write(tmp_path / "a.vtu", lifted, EDGES[-1:])).dimension == 2
    lifted[0, 2] = 8.0
    with pytest.raises(MeshError, match=r"'b.vtu' is a curved or tilted surface"):
        read_mesh(write(tmp_path / "b.vtu", lifted, EDGES[-1:]))


def test_digest_is_of_the_mesh_and_not_of_the_file(tmp_path: Path) -> None:
    one = read_mesh(write(tmp_path / "a.msh", SQUARE, EDGES, [1, 2, 3, 9], file_format="gmsh22", binary=False))
    (tmp_path / "b.msh").write_text(GMSH_41)
    two = read_mesh(tmp_path / "b.msh")
    assert one == two
    assert hash(one) == hash(two)
    moved = SQUARE + np.array([[0.0, 0.0], [0.0, 0.0], [1e-16, 1e-15], [0.0, 0.0]])
    other = Mesh.build(moved, TRIANGLES, {"inlet": [[0, 3]], "outlet": [[1, 2]], "physical_3": [[0, 1]]})
    assert one != other
    assert one != Mesh.build(SQUARE, TRIANGLES, {"outlet": [[0, 3]], "inlet": [[1, 2]], "physical_3": [[0, 1]]})


def test_clockwise_meshes_are_turned_around() -> None:
    mesh = Mesh.build(SQUARE, TRIANGLES[:, ::-1])
    edges = mesh.points[mesh.cells[:, 1:]] - mesh.points[mesh.cells[:, :1]]
    assert (np.linalg.det(edges) == 1.0).all()


#: Three triangles over one edge, all of them positive.
FAN = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 1.0], [0.5, 2.0], [0.5, 3.0]])
FOLDED = np.concatenate([SQUARE, [[0.5, 0.5]]])


@pytest.mark.parametrize(
    ("points", "cells", "parts", "sentence"),
    [
        (SQUARE, [[0, 1, 2], [2, 0, 3], [3, 0, 2]], {}, r"1 cell with the same nodes as another \(the first is number 2"),
        (SQUARE, [[0, 1, 1], [0, 2, 3], [0, 1, 2]], {}, r"1 cell without volume \(the first is number 0"),
        (np.concatenate([SQUARE, [[2.0, 2.0]]]), [[0, 1, 2], [0, 2, 3], [0, 2, 4]], {}, r"1 cell without volume \(the first is number 2"),
        (np.array([[0.0, 0], [0.1, 0.3], [0.3, 0.9]]), [[0, 1, 2]], {}, "1 cell without volume"),  # 1e-17 by rounding
        (SQUARE, [[0, 1, 2], [0, 3, 2]], {}, r"1 cell inverted against the others"),
        (FOLDED, [[0, 1, 4], [1, 2, 4], [2, 3, 4], [0, 3, 4]], {}, r"1 cell inverted .*number 3, counted from 0\): untangle"),
        (np.concatenate([SQUARE, [[3.0, 3.0], [4.0, 4.0]]]), TRIANGLES, {}, r"2 nodes in no cell \(the first is number 4"),
        (SQUARE, [[0, 1, 2], [0, 2, 4]], {}, r"1 cell with a node that does not exist \(there are 4\) .*number 1"),
        (SQUARE, [[0, 1, 2], [0, -1, 3]], {}, r"1 cell with a node that does not exist"),
        (np.where(SQUARE == 1, np.nan, SQUARE), TRIANGLES, {}, r"3 nodes with a coordinate that is NaN or infinite .*number 1"),
        (np.where(SQUARE == 1, 1e200, SQUARE), TRIANGLES, {}, "without volume"),
        (FAN, [[0, 1, 2], [0, 1, 3], [0, 1, 4]], {}, "1 facet shared by more than two cells"),
        (SQUARE, [[0, 1, 2, 3]], {}, r"cells of shape \(1, 4\): give \(n, 2\) and \(m, 3\)"),
        (SQUARE, np.zeros((0, 3)), {}, r"cells of shape \(0, 3\)"),
        (SQUARE, TRIANGLES, {"a b": [[0, 1]]}, "boundary part 'a b': rename it"),
        (SQUARE, TRIANGLES, {"in": [[0, 1], [0, 2]]}, "1 facet of part 'in' inside the domain"),
        (SQUARE, TRIANGLES, {"in": [[0, 1]], "out": [[1, 0]]}, "1 facet of part 'out' that belong to another part too"),
    ],
)
def test_refused(points, cells, parts, sentence: str) -> None:
    with np.errstate(all="ignore"), pytest.raises(MeshError, match=sentence) as caught:
        Mesh.build(points, cells, parts)
    assert "\n" not in str(caught.value)


def test_interfaces_inside_are_no_parts() -> None:
    assert Mesh.build(SQUARE, TRIANGLES, {"interface": [[0, 2]]}).part_names == ("boundary",)


@pytest.mark.parametrize(
    ("blocks", "sentence"),
    [
        ([("quad", np.array([[0, 1, 2, 3]]))], "has 'quad' cells: only linear"),
        ([("triangle", np.array([[0, 1, 2]])), ("quad", np.array([[0, 1, 2, 3]]))], "has 'quad' cells"),
        ([("triangle6", np.array([[0, 1, 2, 3, 0, 1]]))], "has 'triangle6' cells"),
        ([("line", np.array([[0, 1], [1, 2]]))], "neither triangles nor tetrahedra"),
    ],
)
def test_other_cells_are_refused(tmp_path: Path, blocks: list[tuple[str, np.ndarray]], sentence: str) -> None:
    with pytest.raises(MeshError, match=sentence):
        read_mesh(write(tmp_path / "a.vtu", SQUARE, blocks))


def test_surfaces_and_other_formats_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(MeshError, match=r"'part.stl' is a surface: an equation needs the volume inside"):
        read_mesh(tmp_path / "part.stl")
    with pytest.raises(MeshError, match=r"'part.step' ends in '.step', which is not read: export it again as a Gmsh"):
        read_mesh(tmp_path / "part.step")
    with pytest.raises(MeshError, match="is not a file"):
        read_mesh(tmp_path / "absent.msh")
    (tmp_path / "folder.msh").mkdir()
    with pytest.raises(MeshError, match="is not a file"):
        read_mesh(tmp_path / "folder.msh")


def test_equal_random_numbers_are_one_function_on_grids_and_meshes(box_mesh) -> None:
    from sciml.fields import GaussianRandomField, LogNormal
    from sciml.grid import Grid
    from sciml.mesh import Points

    for dimension, n in ((2, 12), (3, 6)):
        law, grid = LogNormal(field=GaussianRandomField(alpha=3.0)), Grid((n,) * dimension, (2.0, 1.0, 0.5)[:dimension])
        centres = np.stack([x.ravel() for x in grid.points()], axis=1)
        at_centres = law.sample(Points(centres, grid.extent, modes=n), np.random.default_rng(5))
        np.testing.assert_allclose(at_centres, law.sample(grid, np.random.default_rng(5)).ravel(), rtol=1e-12)
        coarse, fine = (box_mesh(dimension, m, shift=0.0) for m in (2, 4))
        values = {mesh: law.sample(mesh.nodes(8), np.random.default_rng(5)) for mesh in (coarse, fine)}
        place = {tuple(point): value for point, value in zip(fine.points.tolist(), values[fine], strict=True)}
        np.testing.assert_allclose([place[tuple(point)] for point in coarse.points.tolist()], values[coarse], rtol=1e-12)


def test_random_fields_do_not_depend_on_where_the_mesh_lies() -> None:
    from sciml.fields import GaussianRandomField

    here, there = Mesh.build(SQUARE, TRIANGLES), Mesh.build(SQUARE + np.array([3.0, -2.0]), TRIANGLES)
    draw = [GaussianRandomField().sample(mesh.centroids(8), np.random.default_rng(1)) for mesh in (here, there)]
    np.testing.assert_allclose(*draw, rtol=1e-12)
    assert there.origin == (3.0, -2.0)
    assert re.fullmatch(r"<mesh 'mesh': 4 nodes, 2 cells, parts boundary>", repr(there))
