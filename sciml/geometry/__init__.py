"""Domains in the plane and in boxes, with named boundary parts and distances that hard boundary conditions are built from."""

from sciml.geometry.box import Box
from sciml.geometry.combine import Combination
from sciml.geometry.meetings import meetings
from sciml.geometry.meshed import Meshed
from sciml.geometry.shape import BoundaryPoints, Piece, Shape, joined
from sciml.geometry.shapes import Disk, Polygon

__all__ = ["BoundaryPoints", "Box", "Combination", "Disk", "Meshed", "Piece", "Polygon", "Shape", "joined", "meetings"]
