"""Linear systems of problems on meshes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sciml.discretize.linear import LinearSystem, discretize
from sciml.discretize.p1 import elements
from sciml.mesh.mesh import Mesh
from sciml.problems.mesh_elliptic import MeshElliptic
from sciml.problems.problem import Parameters
from solvers.linear.amg import Hierarchy

Array = NDArray[Any]
_DIRECT_ENTRIES = 20_000  # below this a sparse LU is as fast as a V-cycle in Python: 3,000 nodes in 2-D


@dataclass(frozen=True, eq=False)
class _Elimination:
    """The stiffness pattern without the couplings of Dirichlet nodes; the nodes keep their diagonal entry.

    Attributes
    ----------
    fixed : whether a node has a Dirichlet value, shape (n,).
    kept : which entries of the stiffness matrix stay.
    indices, indptr : the pattern of what stays.
    """

    fixed: NDArray[np.bool_]
    kept: NDArray[np.bool_]
    indices: NDArray[np.int32]
    indptr: NDArray[np.int32]


@lru_cache(maxsize=16)
def _elimination(mesh: Mesh, parts: tuple[str, ...]) -> _Elimination:
    pattern = elements(mesh)
    fixed = np.zeros(len(mesh.points), bool)
    for name in parts:
        fixed[mesh.part(name)] = True
    rows = np.repeat(np.arange(len(fixed)), np.diff(pattern.indptr))
    kept = ~(fixed[rows] | fixed[pattern.indices]) | (rows == pattern.indices)
    indptr = np.concatenate([[0], np.cumsum(kept)])[pattern.indptr].astype(np.int32)
    return _Elimination(fixed, kept, pattern.indices[kept], indptr)


def _matrices(problem: MeshElliptic, parameters: Parameters) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """The stiffness matrix, and the same with the Dirichlet nodes decoupled: symmetric positive definite."""
    stiffness = elements(problem.mesh).stiffness(problem.coefficient(parameters))
    plan = _elimination(problem.mesh, problem.dirichlet_parts)
    operator = sp.csr_matrix((stiffness.data[plan.kept], plan.indices, plan.indptr), shape=stiffness.shape, copy=False)
    return stiffness, operator


@lru_cache(maxsize=4)
def _fixed_matrices(problem: MeshElliptic) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Those of a problem without a random coefficient: one object for all samples, so that a factorisation of it can be kept."""
    return _matrices(problem, {})


@lru_cache(maxsize=4)
def _hierarchy(mesh: Mesh, parts: tuple[str, ...]) -> Hierarchy | None:
    """Of the Laplacian: it depends on the mesh alone, so that a sample is solved alike whatever was solved before it."""
    plan, stiffness = _elimination(mesh, parts), elements(mesh).stiffness(np.asarray(1.0))
    if len(plan.indices) < _DIRECT_ENTRIES:
        return None
    return Hierarchy.of(sp.csr_matrix((stiffness.data[plan.kept], plan.indices, plan.indptr), shape=stiffness.shape))


@discretize.register
def _mesh_elliptic(problem: MeshElliptic, parameters: Parameters) -> LinearSystem:
    """Linear elements. Rows of Dirichlet nodes read ``K_ii u_i = K_ii g_i``, so that the residual covers the boundary values too."""
    problem.check(parameters)
    mesh, parts = problem.mesh, elements(problem.mesh)
    plan = _elimination(mesh, problem.dirichlet_parts)
    varies = any(name in problem.inputs for name in problem.cell_fields)
    stiffness, operator = _matrices(problem, parameters) if varies else _fixed_matrices(problem)
    known = np.zeros(len(mesh.points))
    rhs = parts.load(problem.source_value(parameters))
    for name, kind in problem.part_kinds.items():
        facets = mesh.part(name)
        if kind == "dirichlet":
            nodes = np.unique(facets)
            known[nodes] = problem.dirichlet_value(name, nodes, parameters)
        else:
            rhs += parts.facet_load(facets, problem.flux(name, mesh.points[facets], parts.outward_normals(facets), parameters))
    rhs -= stiffness @ known
    rhs[plan.fixed] = (operator.diagonal() * known)[plan.fixed]
    hierarchy = _hierarchy(mesh, problem.dirichlet_parts) if varies else None
    return LinearSystem(operator, rhs, lambda x: {problem.unknown: x}, lambda fields: fields[problem.unknown], hierarchy)
