"""Many systems on several threads."""

import itertools
import threading
from unittest import mock

import numpy as np
import pytest

from solvers import Status, linear_solve, linear_solve_each
from solvers.linear import diffusion_operator, each

WALLS = (("dirichlet", "dirichlet"),) * 2


def media(count, n=24):
    rng = np.random.default_rng(5)
    for _ in range(count):
        A = diffusion_operator(np.exp(rng.standard_normal((n, n))), spacing=(1 / n, 1 / n), sides=WALLS)
        yield A, rng.standard_normal((n, n))


@pytest.mark.parametrize("method", ["multigrid_cg", "auto", "lu"])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_solutions_have_the_order_and_the_bits_of_single_solves(method, threads):
    expected = [linear_solve(A, b, method) for A, b in media(12)]
    found = list(linear_solve_each(media(12), method, threads=threads))
    assert len(found) == 12
    for one, other in zip(expected, found, strict=True):
        assert one.status is other.status is Status.SUCCESS
        assert one.x.tobytes() == other.x.tobytes()


def test_solves_run_at_the_same_time():
    """Each of two solves waits for the other: one after the other they would never end."""
    meet = threading.Barrier(2, timeout=20)

    def solve(A, b, *rest, **settings):
        meet.wait()
        return linear_solve(A, b, *rest, **settings)

    with mock.patch.object(each, "linear_solve", solve):
        assert [solution.status for solution in linear_solve_each(media(4), threads=2)] == [Status.SUCCESS] * 4


def test_systems_are_taken_as_they_are_needed():
    taken = itertools.count()
    last = -1

    def endless():
        nonlocal last
        for system in itertools.cycle(media(3)):
            last = next(taken)
            yield system

    solutions = linear_solve_each(endless(), threads=2)
    for _ in range(5):
        next(solutions)
    solutions.close()
    assert last < 12


def test_errors_come_in_their_turn():
    A, b = next(media(1))
    solutions = linear_solve_each([(A, b), (A, b[:-1]), (A, b)], threads=2)
    assert next(solutions).status is Status.SUCCESS
    with pytest.raises(ValueError, match="A has shape"):
        next(solutions)


def test_no_threads_are_refused():
    with pytest.raises(ValueError, match="threads=0 must be at least 1"):
        linear_solve_each(media(1), threads=0)
