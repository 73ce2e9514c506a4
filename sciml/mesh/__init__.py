"""Triangle and tetrahedral meshes: the checked value, the points that fields are sampled at, the reader."""

from sciml.mesh.mesh import Mesh
from sciml.mesh.points import Points
from sciml.mesh.read import read_mesh

__all__ = ["Mesh", "Points", "read_mesh"]
