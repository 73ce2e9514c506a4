"""`integrate` with global control and methods for stiff problems: success means accuracy, rows apart, terms that fit."""

import numpy as np
import pytest
import scipy.sparse as sp

from solvers.integrators import AdditiveNoise, BrownianPath, Implicit, Operator, SemiLinear, Split
from solvers.integrators import integrate as integrate_by


def integrate(*arguments, **options):
    return integrate_by(*arguments, control="global", **options)


def relaxation(t, y):
    """The solution from 1 at 0 is cos t."""
    return -1e4 * (y - np.cos(t)) - np.sin(t)


MILD = Split(lambda t, y: -np.sin(t) + 0 * y, lambda t, y: -1e4 * (y - np.cos(t)))
SPLIT = Split(lambda t, y: 1e4 * np.cos(t) - np.sin(t) + 0 * y, np.array([-1e4]))
STIFF = SemiLinear(np.array([-1e4]), SPLIT.explicit)


@pytest.mark.parametrize(
    ("method", "terms"),
    [
        ("backward_euler", relaxation),
        ("tr_bdf2", relaxation),
        ("sdirk2", Implicit(relaxation)),
        ("sdirk4", Implicit(relaxation, lambda t, y: np.array([[-1e4]]))),
        ("ark3", relaxation),
        ("ark4", MILD),
        ("ark5", MILD),
        ("sbdf2", SPLIT),
        ("sbdf3", STIFF),
        ("cnab2", STIFF),
        ("etdrk2", STIFF),
        ("etdrk4", SemiLinear(Operator(np.array([[-1e4]])), SPLIT.explicit)),
    ],
)
def test_success_means_that_the_error_meets_the_tolerance(method, terms):
    """In fewer steps than the five thousand that stability would ask of an explicit method."""
    rtol = 1e-4 if method == "backward_euler" else 1e-5
    found = integrate(terms, (0.0, 1.0), [1.0], method, rtol=rtol, save_at=[0.5, 1.0], max_steps=4096).raise_for_status()
    np.testing.assert_allclose(found.ys[:, 0], np.cos([0.5, 1.0]), rtol=rtol)
    assert found.stats["evaluations"] > 0


@pytest.mark.parametrize("method", ["sdirk4", "ark4"])
def test_rows_do_not_depend_on_their_neighbours(method):
    """The rows end in different runs, and one has no solution over the whole interval."""

    def logistic(t, y):
        return 5 * y - 5 * y**2

    starts = np.array([[0.02], [0.99], [-0.5], [np.nan]])
    together = integrate(logistic, (0.0, 1.0), starts, method, rtol=1e-6, batch=1, max_steps=400)
    for row, start in enumerate(starts):
        alone = integrate(logistic, (0.0, 1.0), start, method, rtol=1e-6, max_steps=400)
        assert together.row_status[row] is alone.status
        np.testing.assert_array_equal(together.ys[:, row], alone.ys)
    assert [status.name for status in together.row_status] == ["SUCCESS", "SUCCESS", "NONFINITE", "NONFINITE"]


def test_heat_conduction_with_a_sparse_matrix():
    """The slowest mode of 50 points decays as its eigenvalue says, by an exponential and by an implicit method."""
    n = 50
    A = sp.diags_array([1.0, -2.0, 1.0], offsets=[-1, 0, 1], shape=(n, n)).tocsr() * (n + 1) ** 2
    mode = np.sin(np.pi * np.arange(1, n + 1) / (n + 1))
    rate = -4 * (n + 1) ** 2 * np.sin(np.pi / 2 / (n + 1)) ** 2
    for method in ("etdrk4", "ark4", "sdirk4"):
        found = integrate(SemiLinear(Operator(A)), (0.0, 0.1), mode, method, rtol=1e-7).raise_for_status()
        np.testing.assert_allclose(found.ys[0], np.exp(0.1 * rate) * mode, rtol=2e-7)


@pytest.mark.parametrize(
    ("terms", "method", "error", "message"),
    [
        (SPLIT, "sdirk4", TypeError, "method 'sdirk4' has no explicit half for the split terms"),
        (relaxation, "etdrk4", TypeError, "method 'etdrk4' needs SemiLinear terms"),
        (SPLIT, "etdrk2", TypeError, "method 'etdrk2' needs SemiLinear terms"),
        (3, "ark4", TypeError, "method 'ark4' cannot integrate int"),
        (relaxation, "sdirk4 ", ValueError, "method = 'sdirk4 ' is not known"),
        (AdditiveNoise(relaxation, np.sin, BrownianPath((0.0, 1.0), (1,), 0)), "sdirk4", TypeError, "cannot integrate AdditiveNoise"),
    ],
)
def test_terms_that_do_not_fit_are_named(terms, method, error, message):
    with pytest.raises(error, match=message):
        integrate(terms, (0.0, 1.0), [1.0], method)


def test_a_negative_step_is_named():
    with pytest.raises(ValueError, match=r"dt = -0.1 is no step"):
        integrate(relaxation, (0.0, 1.0), [1.0], "sdirk4", dt=-0.1)
