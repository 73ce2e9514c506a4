"""Orders with their constants, stability functions, and order reduction of the implicit, additive, multistep and exponential methods."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import scipy.sparse as sp
import torch

from solvers.integrators.dirk import DIAGONALLY_IMPLICIT
from solvers.integrators.exponential import EXPONENTIAL
from solvers.integrators.imex_multistep import IMEX_MULTISTEP
from solvers.integrators.linear_part import Operator
from solvers.integrators.newton import Implicit
from solvers.integrators.splitting import Split
from solvers.integrators.terms import SemiLinear

METHODS = {**DIAGONALLY_IMPLICIT, **IMEX_MULTISTEP, **EXPONENTIAL}
START, SPAN = np.array([0.7, 0.2]), (0.0, 2.0)


def march(name, terms, y, times, xp=np):
    """States at the end of given steps."""
    stepper, carry = METHODS[name].bind(terms, xp, 0), None
    for t, end in pairwise(times):
        advance, carry = stepper.step(float(t), y, float(end - t), carry)
        y = advance.y
    return y


def whole(t, y):
    """Nonlinear, and the time enters by more than a forcing."""
    return np.stack([-2 * t * y[0] * y[1], t * (y[0] ** 2 - 1)])


def explicit_half(t, y):
    return np.stack([-2 * t * y[0] * y[1] + 3 * y[0], t * y[0] ** 2])


def implicit_half(t, y):
    return np.stack([-3 * y[0], -t * np.ones_like(y[1])])


L = np.array([[-3.0, 1.0], [0.5, -1.0]])
SEMILINEAR = {
    "diagonal": SemiLinear(np.array([-3.0, -1.0]), lambda t, y: whole(t, y) + np.array([3.0, 1.0]) * y),
    "dense": SemiLinear(Operator(L), lambda t, y: whole(t, y) - L @ y),
    "sparse": SemiLinear(Operator(sp.csr_matrix(L)), lambda t, y: whole(t, y) - L @ y),
    "action": SemiLinear(Operator(sp.linalg.aslinearoperator(L)), lambda t, y: whole(t, y) - L @ y),
}
SPLIT = Split(explicit_half, Implicit(implicit_half, tolerance=1e-13))


@pytest.fixture(scope="module")
def exact():
    return scipy.integrate.solve_ivp(whole, SPAN, START, method="DOP853", rtol=1e-13, atol=1e-15).y[:, -1]


#: method, terms, steps of the coarsest of five runs, error over h^order at the finest.
CASES = [
    ("backward_euler", Implicit(whole, tolerance=1e-13), 80, 2.581),
    ("tr_bdf2", Implicit(whole, tolerance=1e-13), 20, 0.984),
    ("sdirk2", Implicit(whole, tolerance=1e-13), 20, 0.795),
    ("sdirk4", Implicit(whole, tolerance=1e-13), 10, 0.3736),
    ("ark3", Implicit(whole, tolerance=1e-13), 20, 2.431),
    ("ark4", Implicit(whole, tolerance=1e-13), 10, 0.3534),
    ("ark5", Implicit(whole, tolerance=1e-13), 6, 0.3286),
    ("ark3", SPLIT, 40, 1.773),
    ("ark4", SPLIT, 40, 0.781),
    ("ark5", SPLIT, 12, 1.329),
    ("cnab2", SPLIT, 40, 12.00),
    ("sbdf2", SPLIT, 80, 20.15),
    ("sbdf3", SPLIT, 80, 119.3),
    ("sbdf3", SEMILINEAR["dense"], 80, 129.1),
    ("ark4", SEMILINEAR["sparse"], 40, 1.555),
    ("etdrk2", SEMILINEAR["diagonal"], 20, 3.803),
    ("etdrk2", SEMILINEAR["action"], 20, 4.474),
    ("etdrk4", SEMILINEAR["dense"], 10, 2.531),
    ("etdrk4", SEMILINEAR["sparse"], 10, 2.531),
    ("lawson4", SEMILINEAR["diagonal"], 40, 2.906),
    ("lawson4", SEMILINEAR["dense"], 80, 1.922),
]


@pytest.mark.parametrize(("name", "terms", "first", "constant"), CASES)
def test_order_with_its_constant(name, terms, first, constant, exact):
    counts = [first * 2**k for k in range(5)]
    errors = np.array([np.linalg.norm(march(name, terms, START, np.linspace(*SPAN, count + 1)) - exact) for count in counts])
    slopes = np.log2(errors[:-1] / errors[1:])
    order = METHODS[name].order
    assert np.all(np.abs(slopes[-2:] - order) < 0.1)
    assert errors[-1] * (counts[-1] / 2) ** order == pytest.approx(constant, rel=0.02)


@pytest.mark.parametrize("name", DIAGONALLY_IMPLICIT)
def test_the_error_estimate_has_the_order_that_step_control_counts_on(name):
    """Of one step, for which it is ``O(h^(error_order + 1))``."""
    sizes = 0.4 / 2 ** (np.arange(2, 5) if name == "ark5" else np.arange(4, 8))
    estimates = []
    for h in sizes:
        stepper = METHODS[name].bind(Implicit(whole, tolerance=1e-13), np, 0)
        estimates.append(np.linalg.norm(stepper.step(0.9, START, float(h), None)[0].error))
    slopes = -np.diff(np.log2(estimates))
    assert slopes[-1] == pytest.approx(METHODS[name].error_order + 1, abs=0.25)


def rational(tableau, z):
    """``1 + z b^T (I - z A)^-1 1``"""
    A, b = np.array(tableau.A), np.array(tableau.b)
    return 1 + z * (b @ np.linalg.solve(np.eye(len(b)) - z * A, np.ones(len(b))))


@pytest.mark.parametrize("name", DIAGONALLY_IMPLICIT)
def test_a_step_of_a_linear_equation_is_the_stability_function(name):
    """At 200 complex points, by the linear part and by Newton's method with complex states."""
    rng = np.random.default_rng(0)
    z = -rng.exponential(3.0, 200) + 5j * rng.standard_normal(200)
    expected = np.array([rational(DIAGONALLY_IMPLICIT[name].tableau, value) for value in z])
    found = march(name, SemiLinear(z), np.ones(200, complex), [0.0, 1.0])
    np.testing.assert_allclose(found, expected, atol=1e-12)
    by_rows = DIAGONALLY_IMPLICIT[name].bind(Implicit(lambda t, y: z[:, None] * y, tolerance=1e-14), np, 1)
    np.testing.assert_allclose(by_rows.step(0.0, np.ones((200, 1), complex), 1.0, None)[0].y[:, 0], expected, atol=1e-9)


@pytest.mark.parametrize("name", DIAGONALLY_IMPLICIT)
def test_stiff_components_are_gone_after_a_step(name):
    """R(-1e12) = 0 to rounding; backward Euler: 1e-12."""
    assert abs(march(name, SemiLinear(np.array([-1e12])), np.ones(1), [0.0, 1.0])[0]) < 1e-4
    assert abs(march(name, lambda t, y: -1e6 * y, np.ones(1), [0.0, 1.0])[0]) < 1e-4


@pytest.mark.parametrize("name", ["etdrk2", "etdrk4"])
@pytest.mark.parametrize("kind", ["diagonal", "complex", "dense", "sparse"])
def test_linear_equation_with_constant_forcing_is_exact_at_any_step(name, kind):
    """Against the exponential of the matrix that has the forcing as one more unknown."""
    values = np.array([-40.0, -3.0, -1e-3, 0.0, 0.4]) + (1j * np.array([1.0, -3, 2, 0, 1]) if kind == "complex" else 0)
    rotation = np.linalg.qr(np.random.default_rng(1).standard_normal((5, 5)))[0]
    A = np.diag(values) if kind in ("diagonal", "complex") else rotation @ np.diag(values) @ rotation.T
    linear = {"diagonal": values, "complex": values, "dense": Operator(A), "sparse": Operator(sp.csr_matrix(A), rtol=1e-15)}[kind]
    y, forcing = np.array([1.0, -2.0, 0.5, 3.0, 1.0]), np.array([2.0, 1.0, -1.0, 0.3, 0.1])
    exact = (scipy.linalg.expm(np.block([[A, forcing[:, None]], [np.zeros((1, 6))]])) @ np.append(y, 1.0))[:5]
    for steps in (1, 3):
        found = march(name, SemiLinear(linear, lambda t, y: forcing + 0 * y), y + 0 * values, np.linspace(0, 1, steps + 1))
        np.testing.assert_allclose(found, exact, rtol=1e-14, atol=3e-14)


def test_lawson4_loses_the_forcing_of_a_stiff_mode():
    """As its description says: y' = -1e3 y + 1e3 has the solution 1, from which Lawson4 departs and ETDRK4 does not."""
    stiff = SemiLinear(np.array([-1e3]), lambda t, y: np.full_like(y, 1e3))
    assert abs(march("lawson4", stiff, np.ones(1), [0.0, 0.1])[0] - 1) > 1
    assert abs(march("etdrk4", stiff, np.ones(1), [0.0, 0.1])[0] - 1) < 1e-12


#: method -> order of the error at a fixed time and order of that of stiff problems with forcing, measured over 1e-6 <= h |lambda|^-1.
REDUCED = {"backward_euler": 1, "tr_bdf2": 2, "sdirk2": 1, "sdirk4": 1, "ark3": 2, "ark4": 2, "ark5": 2}


@pytest.mark.parametrize("name", REDUCED)
def test_order_reduction_on_the_problem_of_prothero_and_robinson(name):
    """y' = lam (y - sin t) + cos t with lam = -1e6: the error is lambda^-1 times something of this order in h."""
    lam = -1e6
    terms = Implicit(lambda t, y: lam * (y - np.sin(t)) + np.cos(t), lambda t, y: np.array([[lam]]), tolerance=1e-15)
    errors = []
    for steps in (10, 20, 40, 80):
        y = march(name, terms, np.array([np.sin(0.3)]), np.linspace(0.3, 1.3, steps + 1))
        errors.append(abs(y[0] - np.sin(1.3)))
    assert np.log2(errors[-2] / errors[-1]) == pytest.approx(REDUCED[name], abs=0.25)


@pytest.mark.parametrize("name", IMEX_MULTISTEP)
def test_multistep_methods_keep_their_order_when_steps_vary(name, exact):
    """Steps alternate by a factor of 1.4 and drift; constant-step coefficients would fall to first order."""
    errors = []
    for count in (160, 320, 640):
        sizes = (1 + 0.4 * (np.arange(count) % 2)) * (1 + 0.5 * np.arange(count) / count)
        times = np.concatenate([[0.0], np.cumsum(sizes)]) / sizes.sum() * 2
        errors.append(np.linalg.norm(march(name, SPLIT, START, times) - exact))
    assert np.log2(errors[-2] / errors[-1]) == pytest.approx(METHODS[name].order, abs=0.1)


def test_equal_steps_give_the_coefficients_of_the_literature():
    """Of SBDF2 and CNAB2 for y' = N(t) + L y, written out, from the second step on."""
    lam, h = -0.7, 0.1
    terms = SemiLinear(np.array([lam]), lambda t, y: np.full_like(y, np.cos(t)))
    for name in ("sbdf2", "cnab2"):
        y = [march(name, terms, np.ones(1), h * np.arange(n + 1))[0] for n in range(4)]
        N = np.cos(h * np.arange(3))
        if name == "sbdf2":
            expected = (2 * y[2] - y[1] / 2 + h * (2 * N[2] - N[1])) / (1.5 - h * lam)
        else:
            expected = ((1 + h * lam / 2) * y[2] + h * (1.5 * N[2] - 0.5 * N[1])) / (1 - h * lam / 2)
        assert y[3] == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("name", METHODS)
def test_torch_agrees_with_numpy(name):
    """Whole step sequences to rounding; the linear part diagonal, and dense where one is solved for."""

    def nonlinear(t, y):
        return -(y**2) * (1 + t)

    y = np.array([[0.3, 0.5], [1.0, -0.2]])
    matrix = Operator(np.array([[-2.0, 1.0], [0.5, -3.0]]))
    for linear in (np.array([-1.0, -2.0]), matrix):
        times = np.linspace(0, 1, 8)
        ours = march(name, SemiLinear(linear, nonlinear), y, times)
        theirs = march(name, SemiLinear(linear, nonlinear), torch.tensor(y), times, torch)
        assert theirs.dtype is torch.float64
        np.testing.assert_allclose(theirs.numpy(), ours, rtol=1e-12)
    single = march(name, SemiLinear(np.array([-1.0, -2.0]), nonlinear), torch.tensor(y, dtype=torch.float32), times, torch)
    assert single.dtype is torch.float32
    np.testing.assert_allclose(single.numpy(), march(name, SemiLinear(np.array([-1.0, -2.0]), nonlinear), y, times), rtol=3e-5)


@pytest.mark.parametrize("name", [*DIAGONALLY_IMPLICIT, "sbdf2", "cnab2"])
def test_torch_agrees_with_numpy_through_newton(name):
    times = np.linspace(0, 1, 9)
    ours = march(name, lambda t, y: -(y**3) - t * y, np.array([1.0, 0.4]), times)
    theirs = march(name, lambda t, y: -(y**3) - t * y, torch.tensor([1.0, 0.4], dtype=torch.float64), times, torch)
    np.testing.assert_allclose(theirs.numpy(), ours, rtol=1e-12)


def test_complex_states_with_a_right_hand_side_that_is_not_analytic():
    """Newton's method must treat real and imaginary parts apart: they decay at rates of 1000 and 10, then y' = 3i y - |y|^2 y."""
    decay = march("sdirk4", lambda t, y: -505 * y - 495 * y.conj(), np.array([1.0 + 1j]), [0.0, 0.1])[0]
    tableau = DIAGONALLY_IMPLICIT["sdirk4"].tableau
    assert decay == pytest.approx(rational(tableau, -100.0) + 1j * rational(tableau, -1.0), abs=1e-8)

    def oscillator(t, y):
        return 3j * y - abs(y) ** 2 * y

    exact = np.exp(6j) / np.sqrt(5)
    for name, bound in (("sdirk4", 2e-6), ("ark5", 2e-7), ("tr_bdf2", 5e-3)):
        assert abs(march(name, oscillator, np.array([1.0 + 0j]), np.linspace(0, 2, 81))[0] - exact) < bound
    for name, bound in (("ark4", 1e-5), ("sbdf3", 2e-2), ("etdrk4", 1e-5)):
        split = SemiLinear(np.array([3j]), lambda t, y: -(abs(y) ** 2) * y)
        assert abs(march(name, split, np.array([1.0 + 0j]), np.linspace(0, 2, 81))[0] - exact) < bound


@pytest.mark.parametrize(
    ("name", "terms", "message"),
    [
        ("sdirk4", SPLIT, "method 'sdirk4' has no explicit half for the split terms: take one of 'ark3', 'ark4', 'ark5'"),
        ("etdrk4", SPLIT, "method 'etdrk4' needs SemiLinear terms"),
        ("etdrk2", whole, "method 'etdrk2' needs SemiLinear terms"),
        ("ark4", 3.0, "method 'ark4' cannot integrate float"),
        ("sbdf2", "terms", "method 'sbdf2' cannot integrate str"),
    ],
)
def test_terms_that_do_not_fit_are_named(name, terms, message):
    with pytest.raises(TypeError, match=message):
        METHODS[name].bind(terms, np, 0)
