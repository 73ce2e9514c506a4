"""Interpolation and coarse operators against dense matrices built by the definitions."""

import itertools

import numpy as np
import pytest

from solvers import Status, linear_solve
from solvers.linear import diffusion_operator
from solvers.linear.cg import flexible_cg
from solvers.linear.galerkin import Coarsening, couplings, star
from solvers.linear.islands import find_islands
from solvers.linear.multigrid import Memory, MultigridHierarchy
from solvers.linear.multigrid_plan import full_coarsening, plan
from solvers.linear.multigrid_setup import BLOCK, galerkin, interpolate, split, star_entries
from solvers.linear.stencil import lift
from solvers.linear.system import System

DD, NN, PP, DN = ("dirichlet", "dirichlet"), ("neumann", "neumann"), ("periodic", "periodic"), ("dirichlet", "neumann")
CASES = [
    ((9,), (DD,), (0, 0, 1)),
    ((7, 10), (DD, NN), (0, 1, 1)),
    ((8, 6), (PP, PP), (0, 1, 1)),
    ((6, 7), (NN, DN), (0, 1, 0)),
    ((40, 44), (DN, NN), (0, 1, 1)),  # longer than the blocks that sums run over
    ((5, 6, 7), (DD, NN, DD), (1, 1, 1)),
    ((6, 4, 8), (PP, PP, PP), (1, 1, 1)),
    ((6, 4, 8), (PP, DD, PP), (0, 1, 1)),
    ((9,), (PP,), (0, 0, 1)),  # an odd number of cells around: the first and the last are both kept
    ((7, 9), (PP, PP), (0, 1, 1)),
    ((3, 11), (PP, DD), (0, 1, 1)),
    ((8, 5), (NN, PP), (0, 1, 1)),
    ((7, 5, 9), (PP, PP, PP), (1, 1, 1)),
    ((6, 5, 9), (DN, PP, PP), (1, 0, 1)),
]


def dense(A, layout, stored):
    """The matrix behind padded arrays: every stored coupling joins the cells at `corner` and `corner + offset` from where it lies."""
    number = np.arange(layout.cells).reshape(layout.shape)
    matrix = np.diag(layout.inside(A[0]).ravel().astype(float))
    for offset, array in zip(stored, A[1:], strict=True):
        corner = [max(0, -o) for o in offset]
        for position in np.ndindex(*layout.shape):
            ends = [np.add(position, corner), np.add(position, np.add(corner, offset))]
            inside = [all(p or 0 <= e < n for e, n, p in zip(end, layout.shape, layout.periodic, strict=True)) for end in ends]
            if all(inside):
                one, two = (number[tuple(np.mod(end, layout.shape))] for end in ends)
                matrix[one, two] += layout.inside(array)[position]
                matrix[two, one] += layout.inside(array)[position]
    return matrix


def black_box(matrix, layout, axes):
    """Interpolation by Dendy's rule, cell by cell from the dense matrix: cells odd along few axes first."""
    coarse = layout.coarsened(axes)
    coarse_number = np.arange(coarse.cells).reshape(coarse.shape)
    number = np.arange(layout.cells).reshape(layout.shape)
    P = np.zeros((layout.cells, coarse.cells))
    odd = {cell: tuple(i % 2 if flag else 0 for i, flag in zip(cell, axes, strict=True)) for cell in np.ndindex(*layout.shape)}
    for cell in sorted(odd, key=lambda c: sum(odd[c])):
        row = number[cell]
        if not any(odd[cell]):
            P[row, coarse_number[tuple(i // 2 if flag else i for i, flag in zip(cell, axes, strict=True))]] = 1
            continue
        centre, taken = 0.0, np.zeros(coarse.cells)
        for step in itertools.product((-1, 0, 1), repeat=3):
            there = np.add(cell, step)
            if any(not p and not 0 <= t < n for t, n, p in zip(there, layout.shape, layout.periodic, strict=True)):
                continue
            entry = matrix[row, number[tuple(np.mod(there, layout.shape))]]
            towards = [s if o else 0 for s, o in zip(step, odd[cell], strict=True)]
            if not any(towards):
                centre += entry
            else:  # summed over the axes along which the cell does not lie between coarse cells
                taken += entry * P[number[tuple(np.mod(np.add(cell, towards), layout.shape))]]
        P[row] = -taken / centre
    return P


def finest(operator):
    """Layout, and padded diagonal and couplings in units of the mean diagonal."""
    layout = MultigridHierarchy(operator, Memory()).grid
    A = np.full((1 + layout.dimension, layout.size), np.nan)
    star_entries(operator.lifted_faces, lift(operator.reaction), 1 / operator.diagonal.mean(), A, layout.numbers)
    return layout, A


@pytest.mark.parametrize(("shape", "sides", "axes"), CASES, ids=str)
def test_two_coarsenings_equal_the_dense_definitions(shape, sides, axes):
    axes = tuple(map(bool, axes))
    rng = np.random.default_rng(4)
    operator = diffusion_operator(np.exp(rng.standard_normal(shape)), spacing=(0.1,) * len(shape), sides=sides, reaction=0.2)
    (layout, A), stored = finest(operator), star(len(shape))
    matrix = operator.to_csr().toarray() / operator.diagonal.mean()
    np.testing.assert_allclose(dense(A, layout, stored), matrix, atol=1e-14)
    matrix = dense(A, layout, stored)
    made = plan(layout, full_coarsening(layout, (axes, axes)))
    for how, level, coarse_level, row in zip(made.steps[:2], made.levels, made.levels[1:], made.index, strict=False):
        coarse = how.coarse
        parts = np.full((len(A), len(how.parts), coarse.size), np.nan)
        for array, its_parts in zip(A, parts, strict=True):
            split(array, its_parts, level, coarse_level)
        W = np.full((len(how.children) + len(how.masked), coarse.size), np.nan)
        product = np.full((1 + len(couplings(layout.dimension)), coarse.size), np.nan)
        interpolate(parts.reshape(-1, coarse.size), made.tables, row, coarse_level, np.empty(2 * BLOCK), W)
        galerkin(parts.reshape(-1, coarse.size), W, made.tables, row, coarse_level, product)
        P = np.zeros((layout.cells, coarse.cells))
        number, coarse_number = np.arange(layout.cells).reshape(layout.shape), np.arange(coarse.cells).reshape(coarse.shape)
        for J in np.ndindex(*coarse.shape):
            for child, weights in zip(how.children, W[: len(how.children)], strict=True):
                cell = [(2 * j if flag else j) + c for j, c, flag in zip(J, child, axes, strict=True)]
                if all(p or 0 <= i < n for i, n, p in zip(cell, layout.shape, layout.periodic, strict=True)):
                    P[number[tuple(np.mod(cell, layout.shape))], coarse_number[J]] += coarse.inside(weights)[J]
                else:
                    assert coarse.inside(weights)[J] == 0
        np.testing.assert_allclose(P, black_box(matrix, layout, axes), atol=1e-13)
        expected = P.T @ matrix @ P
        np.testing.assert_allclose(dense(product, coarse, couplings(layout.dimension)), expected, atol=1e-13 * abs(expected).max())
        A, layout, stored, matrix = product, coarse, couplings(layout.dimension), expected
        if any(n < 3 for n, flag in zip(layout.shape, axes, strict=True) if flag):
            break


def test_islands_are_the_strong_parts_that_do_not_follow_a_coarse_cell():
    """Pockets of conductance 10^4 in a medium of 1; coarse cells have even numbers along both axes."""
    a = np.ones((24, 24))
    a[3, 4:6] = a[7, 5] = 1e4  # a pair beside coarse cells, and a single cell, which smoothing deals with
    a[11:14, 11:14] = 1e4  # holds the coarse cell (12, 12)
    a[17, 3:12] = 1e4  # a strip between two lines of coarse cells
    a[21, 14:20] = a[20, 14] = 1e4  # such a strip with a coarse cell at one end, which the nearest two cells follow
    operator = diffusion_operator(a, spacing=(1.0, 1.0), sides=(DD, DD))
    layout, A = finest(operator)
    found = find_islands(A, Coarsening(layout, (False, True, True), star(2)))
    rows, columns = np.divmod(found.cells, layout.array_shape[1])
    parts = [
        {(int(i) - 1, int(k) - 1) for i, k in zip(rows[begin:end], columns[begin:end], strict=True)}
        for begin, end in zip([0, *found.ends[:-1]], found.ends, strict=True)
    ]
    assert sorted(parts, key=len) == [{(3, 4), (3, 5)}, {(21, k) for k in range(16, 20)}, {(17, k) for k in range(3, 12)}]
    matrix = operator.to_csr().toarray() / operator.diagonal.mean()
    inverses = iter(np.split(found.inverses, np.cumsum([len(part) ** 2 for part in parts])))
    begins = [0, *found.ends[:-1]]
    for part, begin, end, inverse in zip(parts, begins, found.ends, inverses, strict=False):
        cells = (rows[begin:end] - 1) * 24 + columns[begin:end] - 1
        assert len(part) == end - begin
        exact = np.linalg.inv(matrix[np.ix_(cells, cells)])
        np.testing.assert_allclose(inverse.reshape(exact.shape), exact, rtol=1e-3)


@pytest.mark.parametrize("sides", [(DD, DD), (PP, DN), (NN, PP)], ids=str)
def test_islands_cost_no_iterations(sides):
    """Strips of high conductance, each of its own length, between the coarse lines of level 0: without their correction 50 iterations."""
    a = np.ones((65, 65))
    for number, i in enumerate(range(3, 62, 6)):
        a[i, number + 2 : 3 * number + 6] = 1e4
    operator = diffusion_operator(a, spacing=(1.0, 1.0), sides=sides)
    b = np.random.default_rng(0).standard_normal(a.shape)
    solution = linear_solve(operator, b - b.mean(), "multigrid_cg")
    assert solution.status is Status.SUCCESS
    assert solution.iterations <= 22


def test_w_cycles_in_space_are_symmetric_positive_and_better_than_v_cycles():
    """A medium that jumps by 10^4 between random bricks of 3 x 3 x 3 cells."""
    rng = np.random.default_rng(1)
    a = np.where(rng.random((8, 8, 8)) < 0.5, 1.0, 1e4).repeat(3, 0).repeat(3, 1).repeat(3, 2)
    operator = diffusion_operator(a, spacing=(1.0,) * 3, sides=(DD, NN, PP))
    hierarchy = MultigridHierarchy(operator)
    assert (hierarchy.visits[0, 1:] == 2).all()
    r, s = rng.standard_normal((2, *a.shape))
    Mr, Ms = hierarchy.precondition(r), hierarchy.precondition(s)
    assert np.vdot(r, Mr) > 0
    assert abs(np.vdot(s, Mr) - np.vdot(r, Ms)) < 1e-4 * np.sqrt(np.vdot(r, Mr) * np.vdot(s, Ms))
    b = np.ones(a.size)
    system = System(operator, b, None, None, 1e-8 * np.linalg.norm(b), None, None)
    twice = flexible_cg(system, hierarchy.precondition, limit=100).iterations
    hierarchy.visits[0] = 1
    assert twice < flexible_cg(system, hierarchy.precondition, limit=100).iterations


@pytest.mark.parametrize("sides", [(DD, PP), (PP, DD), (NN, PP), (PP, PP)], ids=str)
def test_jumps_beside_a_periodic_side_leave_the_smoothing_steps_alone(sides):
    """``D^-1 |A|`` has row sums of at most 2, and of 2 where no wall is near: the steps of Chebyshev smoothing follow from that."""
    a = np.where(np.random.default_rng(0).random((16, 16)) < 0.5, 1.0, 1e4).repeat(3, 0).repeat(3, 1)
    operator = diffusion_operator(a, spacing=(1.0, 1.0), sides=sides)
    steps = [1 / (1.25 + sign * 0.75 * np.sqrt(0.5)) for sign in (1, -1)]
    np.testing.assert_allclose(MultigridHierarchy(operator).roots[0], steps, rtol=1e-3)
    assert linear_solve(operator, a - a.mean(), "multigrid_cg").iterations <= 20  # 40 to 200 with steps for another bound


def test_a_thread_remembers_few_grids():
    memory = Memory()
    for n in range(8, 108):
        MultigridHierarchy(diffusion_operator(np.linspace(1.0, 2.0, n), spacing=(1.0,), sides=(DD,)), memory)
    assert len(memory.axes) <= 32
