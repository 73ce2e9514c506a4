"""Interpolations kept for a family of matrices: what they are worth, and what happens where they are worth nothing."""

from __future__ import annotations

import numpy as np
import pyamg
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, spsolve

from sciml.data.recipe import Recipe
from sciml.data.solve import solve_samples
from sciml.discretize import discretize
from sciml.problems import MeshDarcy, seed_words
from solvers import linear_solve
from solvers.linear.amg import Hierarchy
from solvers.linear.cg import CG

LAW = {"kind": "log_normal", "field": {"kind": "gaussian_random_field", "amplitude": 2.0}}


@pytest.fixture(scope="module")
def family(box_mesh):
    """The matrix of the mean, and systems of three samples, on 3,249 nodes."""
    mesh = box_mesh(2, 56)
    problem = MeshDarcy(mesh=mesh, permeability=LAW)
    mean = discretize(MeshDarcy(mesh=mesh, permeability=1.0), {}).operator
    return mean, [discretize(problem, problem.sample(seed_words(0, 0, index))) for index in range(3)]


def test_iterations_are_those_of_a_set_up_for_the_matrix(family):
    mean, systems = family
    hierarchy = Hierarchy.of(mean)
    smoother = ("gauss_seidel", {"sweep": "symmetric"})
    frozen = hierarchy.preconditioner(mean)
    for system in systems:
        A, b = system.operator, system.rhs
        own = pyamg.smoothed_aggregation_solver(A, presmoother=smoother, postsmoother=smoother).aspreconditioner()
        iterations = [linear_solve(A, b, "cg", M=M).raise_for_status().iterations for M in (own, hierarchy.preconditioner(A), frozen)]
        assert iterations[1] <= iterations[0] + 1 <= 18
        assert iterations[2] > 1.5 * iterations[1]  # what keeping the coarse matrices too would cost


def test_preconditioner_is_symmetric_and_no_larger_than_the_inverse(box_mesh):
    """A V-cycle with Galerkin products and symmetric smoothing: the eigenvalues of B A lie in (0, 1] (Trottenberg et al. 2001, A.3)."""
    problem = MeshDarcy(mesh=box_mesh(2, 12), permeability=LAW)
    A = discretize(problem, problem.sample(seed_words(1, 0, 0))).operator
    hierarchy = Hierarchy.of(discretize(MeshDarcy(mesh=problem.mesh, permeability=1.0), {}).operator)
    assert len(hierarchy.interpolations) >= 1
    B = hierarchy.preconditioner(A) @ np.eye(A.shape[0])
    assert abs(B - B.T).max() < 1e-12 * abs(B).max()
    eigenvalues = np.linalg.eigvals(B @ A.toarray()).real
    assert 0.1 < eigenvalues.min() < eigenvalues.max() < 1 + 1e-10


def test_auto_takes_the_preconditioner_and_falls_back_without_use(family):
    mean, systems = family
    A, b = systems[0].operator, systems[0].rhs
    good = linear_solve(A, b, M=Hierarchy.of(mean).preconditioner(A)).raise_for_status()
    assert (good.method, good.info["failed_before"]) == ("cg", ())
    np.testing.assert_allclose(good.x, spsolve(A.tocsc(), b), atol=1e-6 * abs(good.x).max())
    scales = np.random.default_rng(0).uniform(0, 1, A.shape[0]) ** 40  # a preconditioner that only hurts
    bad = linear_solve(A, b, M=LinearOperator(A.shape, lambda r: scales * r, dtype=float)).raise_for_status()
    assert bad.method == "lu"
    assert bad.info["failed_before"] == ("cg: MAX_ITERATIONS",)
    wrong = linear_solve(A, b, M=LinearOperator(A.shape, lambda r: -r, dtype=float)).raise_for_status()
    assert wrong.info["failed_before"] == ("cg: INDEFINITE",)


def test_a_limit_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="CG: limit is 0"):
        CG(limit=0)


def test_generation_uses_it_and_samples_stay_independent_of_each_other(box_mesh):
    problem = MeshDarcy(mesh=box_mesh(2, 64), permeability=LAW)
    recipe = Recipe.model_validate({"name": "a", "title": "A", "problem": problem, "data": {"dtype": "float64"}})
    together, alone = solve_samples(recipe, 0, [0, 1, 2]), solve_samples(recipe, 0, [2])
    assert [certificate.method for _, certificate in together] == ["cg"] * 3
    assert max(certificate.iterations for _, certificate in together) < 25
    np.testing.assert_array_equal(together[2][0]["pressure"], alone[0][0]["pressure"])
    direct = solve_samples(recipe.model_copy(update={"solver": recipe.solver.model_copy(update={"method": "lu"})}), 0, [2])
    assert direct[0][1].method == "lu"
    np.testing.assert_allclose(alone[0][0]["pressure"], direct[0][0]["pressure"], atol=1e-6 * direct[0][0]["pressure"].max())


def test_a_matrix_that_stays_the_same_needs_no_hierarchy(box_mesh):
    from sciml.problems import MeshPoisson

    problem = MeshPoisson(mesh=box_mesh(2, 64), source={"kind": "gaussian_random_field"})
    system = discretize(problem, problem.sample(seed_words(0, 0, 0)))
    assert system.hierarchy is None
    assert sp.issparse(system.operator)
