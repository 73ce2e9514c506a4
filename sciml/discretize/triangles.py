"""A checked mesh, from a file for instance, as the solvers on curved triangles take it."""

from __future__ import annotations

from collections.abc import Mapping

from sciml.errors import MeshError
from sciml.mesh.mesh import Mesh
from solvers.elements.mesh import Curve, TriangleMesh


def triangle_mesh(mesh: Mesh, curves: Mapping[str, Curve] | None = None) -> TriangleMesh:
    """The triangles of `mesh` with its boundary parts, those named in `curves` bent along their curve (such as `solvers.elements.Circle`).

    Raises
    ------
    MeshError
        A mesh of tetrahedra; a curve for a part that the mesh does not have, or from which its nodes lie far away.
    """
    if mesh.dimension != 2:
        raise MeshError(f"mesh {mesh.name!r} has {mesh.dimension} dimensions: flow is solved on triangles in the plane, mesh a section")
    try:
        return TriangleMesh.build(mesh.points, mesh.cells, {name: mesh.part(name) for name in mesh.part_names}, curves)
    except ValueError as error:
        raise MeshError(f"mesh {mesh.name!r}: {error}") from None
