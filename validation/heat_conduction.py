"""Steady heat conduction in a quarter ring on an unstructured mesh, each of whose sides is Robin or Neumann.

``-div(k grad T) = 0``. A flux enters through the inner arc, ``k dT/dn = q``; the outer arc gives heat to its surroundings of temperature t,
``k dT/dn = h (t - T)``; the straight sides are insulated. Linear elements add ``h int phi_i phi_j ds`` over the outer arc to the
stiffness matrix, which changes with h as well as with k.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial import Delaunay

from sciml.discretize.p1 import elements
from sciml.mesh import Mesh
from sciml.mesh.mesh import volumes

Array = NDArray[np.float64]
INNER, OUTER = 0.5, 1.0  # radii of the arcs


def quarter_ring(layers: int) -> Mesh:
    """Delaunay triangles between scattered nodes, about `layers` edges from arc to arc; boundary parts inner, outer and sides.

    The nodes inside are those of a lattice of equilateral triangles, each moved by up to a quarter of an edge: six triangles
    meet in most of them, five or seven in one of ten.
    """
    edge = (OUTER - INNER) / layers
    inner, outer = (_arc(radius, round(radius * math.pi / 2 / edge)) for radius in (INNER, OUTER))
    side = np.linspace(INNER, OUTER, layers + 1)[1:-1]
    sides = np.concatenate([np.stack([side, 0 * side], axis=1), np.stack([0 * side, side], axis=1)])
    points = np.concatenate([inner, outer, sides, _scattered(edge)])
    cells = Delaunay(points).simplices
    outside = (cells < len(inner)).all(axis=1)  # between the inner arc and its chords
    flat = volumes(points, cells) < 1e-6 * edge**2  # on a straight side, by rounding
    arcs = {"inner": _chain(0, len(inner)), "outer": _chain(len(inner), len(outer))}
    return Mesh.build(points, cells[~(outside | flat)], arcs, name="quarter ring")


def heat_system(mesh: Mesh, conductivity: Array | float, h: float, flux: float, surroundings: float) -> tuple[sp.csr_matrix, Array]:
    """Matrix and right-hand side; the conductivity is a number or one a cell."""
    parts = elements(mesh)
    outer = mesh.part("outer")
    lengths = np.linalg.norm(np.diff(mesh.points[outer], axis=1)[:, 0], axis=1)
    # int phi_i phi_j ds = length (1 + delta_ij) / 6 on an edge
    entries = h * lengths[:, None, None] * (1 + np.eye(2)) / 6
    rows, columns = np.repeat(outer, 2, axis=1), np.tile(outer, (1, 2))
    robin = sp.csr_matrix((entries.ravel(), (rows.ravel(), columns.ravel())), shape=parts.mass.shape)
    b = parts.facet_load(mesh.part("inner"), np.asarray(flux)) + parts.facet_load(outer, np.asarray(h * surroundings))
    return sp.csr_matrix(parts.stiffness(np.asarray(conductivity)) + robin), b


def radial_temperature(r: Array, conductivity: float, h: float, flux: float, surroundings: float) -> Array:
    """The solution for a constant conductivity: ``t + q r_i (1 / (h r_o) + ln(r_o / r) / k)``."""
    return surroundings + flux * INNER * (1 / (h * OUTER) + np.log(OUTER / r) / conductivity)


def _arc(radius: float, edges: int) -> Array:
    sine = np.sin(np.linspace(0, math.pi / 2, edges + 1))
    return radius * np.stack([sine[::-1], sine], axis=1)  # a cosine would not end in zero


def _scattered(edge: float) -> Array:
    """Nodes inside, at least half an edge away from every side."""
    rows, columns = np.meshgrid(np.arange(round(OUTER / edge * 1.2)), np.arange(round(OUTER / edge)), indexing="ij")
    lattice = np.stack([columns + 0.5 * (rows % 2), math.sqrt(0.75) * rows], axis=-1).reshape(-1, 2) * edge
    lattice += np.random.default_rng(0).uniform(-edge / 4, edge / 4, lattice.shape)
    radius = np.linalg.norm(lattice, axis=1)
    away = (radius > INNER + edge / 2) & (radius < OUTER - edge / 2) & (lattice > edge / 2).all(axis=1)
    return np.asarray(lattice[away])


def _chain(first: int, nodes: int) -> NDArray[np.int64]:
    start = np.arange(first, first + nodes - 1)
    return np.stack([start, start + 1], axis=1)
