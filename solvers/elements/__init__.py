"""Lagrange elements on triangles that bend with the boundary: meshes, spaces, assembly, elimination order."""

from solvers.elements.blocks import backward_facing_step, channel_with_cylinder, join, transfinite
from solvers.elements.mesh import Circle, TriangleMesh
from solvers.elements.space import Geometry, Space

__all__ = ["Circle", "Geometry", "Space", "TriangleMesh", "backward_facing_step", "channel_with_cylinder", "join", "transfinite"]
