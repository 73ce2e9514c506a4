"""`integrate` with local control: SciPy's steps, rows to the bit, events, dense output, both libraries, gradients, honest ends."""

import math

import numpy as np
import pytest
import scipy.integrate
import torch

from solvers import SolverError
from solvers.integrators import (
    EXPLICIT,
    AdditiveNoise,
    BrownianPath,
    Event,
    Implicit,
    IntegrationStatus,
    Operator,
    SemiLinear,
    Split,
    StepControl,
    Stochastic,
    integrate,
    solve_ivp,
)

ADAPTIVE = [name for name, method in EXPLICIT.items() if method.error_order is not None]


def pendulum(t, y):
    return np.array([y[1], -np.sin(y[0]) + 0.3 * np.cos(t) - 0.1 * y[1] ** 3])


START = np.array([1.0, 0.5])


@pytest.mark.parametrize(("method", "theirs"), [("bosh3", "RK23"), ("dopri5", "RK45"), ("dop853", "DOP853")])
@pytest.mark.parametrize("span", [(0.0, 20.0), (3.0, -9.0)])
def test_steps_are_those_of_scipy(method, theirs, span):
    f = pendulum if span[1] > span[0] else lambda t, y: np.array([y[1], -np.sin(y[0]) + 0.3 * np.cos(t)])
    reference = scipy.integrate.solve_ivp(f, span, START, method=theirs, rtol=1e-6, atol=1e-8, dense_output=True)
    found = integrate(f, span, START, method, rtol=1e-6, atol=1e-8, dense=True)
    ours = [span[0], *(float(segment.stop[0]) for segment in found.dense.segments)]
    # the estimate of DOP853 is a small difference of large numbers, which rounding enters by the order of summation
    np.testing.assert_allclose(ours, reference.t, rtol=1e-9 if method != "dop853" else 1e-6, atol=1e-9)
    np.testing.assert_allclose(found.ys[-1], reference.y[:, -1], rtol=1e-10)
    plain = scipy.integrate.solve_ivp(f, span, START, method=theirs, rtol=1e-6, atol=1e-8)
    assert abs(found.stats["evaluations"] - plain.nfev) <= 1
    for t in np.linspace(*span, 17)[1:-1]:
        np.testing.assert_allclose(found.dense(t), reference.sol(t), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("method", "theirs"), [("bosh3", "RK23"), ("dopri5", "RK45"), ("dop853", "DOP853")])
@pytest.mark.parametrize("limits", [{"max_step": 0.3}, {"atol": np.array([1e-2, 1e-8])}, {"atol": [1e-8, 1e-2], "max_step": 0.5}], ids=str)
@pytest.mark.parametrize("span", [(0.0, 5.0), (5.0, 0.0)])
def test_steps_with_a_largest_one_and_a_tolerance_an_entry_are_those_of_scipy(method, theirs, limits, span):
    options = {"rtol": 1e-6, "atol": 1e-8, **limits}
    reference = scipy.integrate.solve_ivp(pendulum, span, START, method=theirs, **options)
    ours = solve_ivp(pendulum, span, START, method=theirs, **options)
    np.testing.assert_allclose(ours.t, reference.t, rtol=1e-9 if method != "dop853" else 1e-6, atol=1e-9)
    assert np.abs(np.diff(ours.t)).max() <= limits.get("max_step", np.inf) * (1 + 1e-12)

    def swinging(t, y):
        return torch.stack([y[1], -torch.sin(y[0]) + 0.3 * math.cos(t) - 0.1 * y[1] ** 3])

    for atol in (options["atol"], torch.as_tensor(options["atol"])):
        found = integrate(swinging, span, torch.as_tensor(START), method, **{**options, "atol": atol})
        np.testing.assert_allclose(found.ys[-1].numpy(), ours.y[:, -1], rtol=1e-10)
        assert found.steps == len(ours.t) - 1


def test_no_step_is_longer_than_asked_for_with_any_control():
    """A pulse of width 0.02 that long steps do not see, from 0 through its middle at 1: the integral is sqrt(pi) / 50."""

    def pulse(t, y):
        return np.exp(-((50 * (t - 1)) ** 2)) + 0 * y

    for method in ("dopri5", "tr_bdf2"):
        assert integrate(pulse, (0.0, 10.0), [0.0], method, rtol=1e-6).ys[0, 0] < 1e-10
        found = integrate(pulse, (0.0, 10.0), [0.0], method, rtol=1e-6, max_step=0.05)
        assert found.ys[0, 0] == pytest.approx(math.sqrt(math.pi) / 50, rel=1e-3)
    doubled = integrate(pulse, (0.0, 10.0), [0.0], "rk4", rtol=1e-6, max_step=0.05)
    assert doubled.steps in [200 * 2**k for k in range(1, 6)]


@pytest.mark.parametrize("method", ADAPTIVE)
def test_error_follows_the_tolerance(method):
    exact = scipy.integrate.solve_ivp(pendulum, (0, 8), START, method="DOP853", rtol=1e-13, atol=1e-14).y[:, -1]
    for rtol in (1e-4, 1e-7):
        found = integrate(pendulum, (0.0, 8.0), START, method, rtol=rtol).raise_for_status()
        assert np.abs(found.ys[-1] - exact).max() < 50 * rtol
        assert found.stats["rejected"] < 0.5 * found.steps


def test_arenstorf_orbit_closes():
    mu = 0.012277471

    def moon(t, y):
        x, z, u, v = y
        one, two = ((x + mu) ** 2 + z**2) ** 1.5, ((x - 1 + mu) ** 2 + z**2) ** 1.5
        return np.array(
            [u, v, x + 2 * v - (1 - mu) * (x + mu) / one - mu * (x - 1 + mu) / two, z - 2 * u - (1 - mu) * z / one - mu * z / two]
        )

    start = np.array([0.994, 0.0, 0.0, -2.00158510637908252240537862224])
    period = 17.0652165601579625588917206249
    for method, allowed in (("dop853", 2e-5), ("tsit5", 2e-5), ("dopri5", 2e-5)):
        found = integrate(moon, (0.0, period), start, method, rtol=1e-13, atol=1e-14)
        assert np.abs(found.ys[-1] - start)[:2].max() < allowed


@pytest.mark.parametrize("method", [*ADAPTIVE, "sdirk4", "ark4", "tr_bdf2"])
def test_rows_do_not_depend_on_their_neighbours(method):
    stiffness = np.array([1.0, 100.0, 5.0, 20.0])

    def oscillators(k):
        return lambda t, y: np.stack([y[:, 1], -k * np.sin(y[:, 0]) + np.cos(np.broadcast_to(t, (len(y), 1))[:, 0])], axis=1)

    starts = np.array([[1.0, 0.0], [1.0, 0.0], [0.5, 0.2], [np.nan, 0.0]])
    options = {"rtol": 1e-5, "save_at": [0.0, 0.4, 1.3, 2.0], "batch": 1}
    together = integrate(oscillators(stiffness), (0.0, 2.0), starts, method, **options)
    for row in range(4):
        alone = integrate(oscillators(stiffness[row : row + 1]), (0.0, 2.0), starts[row : row + 1], method, **options)
        np.testing.assert_array_equal(alone.ys[:, 0], together.ys[:, row])
        assert alone.steps[0] == together.steps[row]
        assert alone.row_status[0] is together.row_status[row]
    assert len(set(together.steps[:3].tolist())) == 3
    assert [status.name for status in together.row_status] == ["SUCCESS"] * 3 + ["NONFINITE"]


def test_rows_meet_events_of_their_own():
    speeds = np.array([[5.0], [10.0], [20.0]])
    balls = np.concatenate([np.zeros((3, 1)), speeds], axis=1)

    def fall(t, y):
        return np.stack([y[:, 1], np.full(len(y), -10.0)], axis=1)

    landing = Event(lambda t, y: y[:, 0], terminal=True, direction=-1)
    top = Event(lambda t, y: y[:, 1])
    found = integrate(fall, (0.0, 3.0), balls, "dopri5", rtol=1e-8, batch=1, events=[landing, top], save_at=[0.5, 1.5, 3.0])
    assert [status.name for status in found.row_status] == ["EVENT", "EVENT", "SUCCESS"]
    np.testing.assert_allclose(found.reached, [1.0, 2.0, 3.0], rtol=1e-12)
    np.testing.assert_allclose(found.last[:, 1], [-5.0, -10.0, -10.0], rtol=1e-10)
    met = {(o.event, o.row): o.t for o in found.occurrences}
    assert met[1, (0,)] == pytest.approx(0.5, rel=1e-12)
    assert met[1, (2,)] == pytest.approx(2.0, rel=1e-12)
    assert (0, (2,)) not in met
    np.testing.assert_allclose(found.ys[1, 1], [1.5 * 10 - 5 * 1.5**2, -5.0], rtol=1e-9)
    assert np.isnan(found.ys[1, 0]).all()  # the first ball had landed
    assert found.raise_for_status() is found


@pytest.mark.parametrize("method", ["dopri5", "heun", "tr_bdf2", "rk4"])
def test_events_are_found_with_any_method(method):
    options = {"control": "fixed", "dt": 0.01} if method == "rk4" else {"rtol": 1e-7}
    rising = Event(lambda t, y: y[0], direction=1)
    found = integrate(lambda t, y: np.array([y[1], -y[0]]), (0.0, 10.0), [1.0, 0.0], method, events=[rising], **options)
    np.testing.assert_allclose([o.t for o in found.occurrences], [1.5 * math.pi, 3.5 * math.pi][:1], atol=2e-4)


@pytest.mark.parametrize("method", [*EXPLICIT, "ark4", "etdrk4"])
def test_both_libraries_give_the_same(method):
    fixed = {"control": "fixed", "dt": 0.02} if method not in [*ADAPTIVE, "ark4"] else {"rtol": 1e-6}

    def f(xp):
        return lambda t, y: -0.5 * y + xp.sin(y) * math.cos(2.0) + 0.1 * t

    y0 = np.linspace(-1, 1, 6).reshape(2, 3)
    terms = [
        SemiLinear(x(-0.5 * np.ones(3)), f(xp)) if method == "etdrk4" else f(xp) for xp, x in ((np, np.asarray), (torch, torch.as_tensor))
    ]
    ours = integrate(terms[0], (0.0, 2.0), y0, method, save_at=[0.7, 2.0], **fixed)
    theirs = integrate(terms[1], (0.0, 2.0), torch.as_tensor(y0), method, save_at=[0.7, 2.0], **fixed)
    assert isinstance(theirs.ys, torch.Tensor)
    np.testing.assert_allclose(theirs.ys.numpy(), ours.ys, rtol=1e-12, atol=1e-13)
    assert theirs.steps == ours.steps


def test_gradients_pass_through_adaptive_steps_and_checkpoints():
    w = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)

    def f(t, y):
        return torch.stack([y[:, 1], -torch.sin(y[:, 0]) + w * torch.cos(torch.as_tensor(t)).reshape(-1) - 0.1 * y[:, 1] ** 3], -1)

    y = torch.tensor([[1.0, 0.5], [0.2, 3.0]], dtype=torch.float64, requires_grad=True)
    gradients = []
    for checkpoints in (None, 1, 6):
        found = integrate(f, (0.0, 6.0), y, "tsit5", rtol=1e-7, save_at=[0.0, 1.3, 6.0], batch=1, checkpoints=checkpoints)
        gradients.append(torch.autograd.grad(found.ys.square().sum(), (y, w)))
    for other in gradients[1:]:
        for one, two in zip(gradients[0], other, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)
    h = 1e-5
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            w += sign * h
            moved = integrate(f, (0.0, 6.0), y, "tsit5", rtol=1e-12, save_at=[0.0, 1.3, 6.0], batch=1)
            w -= sign * h
        ends.append(float(moved.ys.square().sum()))
    assert float(gradients[0][1]) == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-4)


def test_checkpoints_keep_less():
    stored = []

    def count(tensor):
        stored.append(tensor.numel())
        return tensor

    peak = []
    for checkpoints in (None, 10):
        stored.clear()
        y = torch.ones(1000, dtype=torch.float64, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            integrate(lambda t, y: torch.sin(y), (0.0, 10.0), y, "rk4", control="fixed", dt=0.1, checkpoints=checkpoints)
        peak.append(sum(stored))
    assert peak[1] < 0.1 * peak[0]


def test_float32_and_complex_states_stay_what_they_are():
    found = integrate(lambda t, y: -y, (0.0, 1.0), np.ones(3, np.float32), rtol=1e-5, save_at=[0.3, 1.0])
    assert found.ys.dtype == np.float32
    np.testing.assert_allclose(found.ys[:, 0], np.exp([-0.3, -1.0]), rtol=2e-5)
    turning = integrate(lambda t, y: 1j * y, (0.0, 3.0), np.array([1.0 + 0j]), rtol=1e-9)
    np.testing.assert_allclose(turning.ys[-1], np.exp(3j), rtol=1e-8)


def test_a_stiff_problem_takes_few_steps_of_an_implicit_method():
    def van_der_pol(t, y):
        return np.array([y[1], 1e3 * ((1 - y[0] ** 2) * y[1]) - y[0]])

    found = integrate(Implicit(van_der_pol), (0.0, 200.0), [2.0, 0.0], "sdirk4", rtol=1e-6).raise_for_status()
    reference = scipy.integrate.solve_ivp(van_der_pol, (0, 200), [2.0, 0.0], method="Radau", rtol=1e-10, atol=1e-12).y[:, -1]
    np.testing.assert_allclose(found.ys[-1], reference, rtol=1e-5, atol=1e-7)
    assert found.steps < 200


@pytest.mark.parametrize("method", ["sdirk4", "ark4", "tr_bdf2"])
def test_components_of_very_different_size_are_resolved(method):
    """Robertson's reaction: the second substance is there to a part in 10^5, and tolerated to 10^-10."""

    def reaction(t, y):
        slow, fast, faster = 0.04 * y[0], 1e4 * y[1] * y[2], 3e7 * y[1] ** 2
        return np.array([fast - slow, slow - fast - faster, faster])

    start = np.array([1.0, 0.0, 0.0])
    found = integrate(reaction, (0.0, 1e4), start, method, rtol=1e-6, atol=1e-10).raise_for_status()
    exact = scipy.integrate.solve_ivp(reaction, (0, 1e4), start, method="Radau", rtol=1e-10, atol=1e-14).y[:, -1]
    np.testing.assert_allclose(found.ys[-1], exact, rtol=3e-4)
    assert found.ys[-1].sum() == pytest.approx(1.0, abs=1e-9)
    assert found.steps < 600


def test_smoother_control_rejects_less_where_stability_limits_the_step():
    def stiff(t, y):
        return -200.0 * (y - np.cos(t))

    plain = integrate(stiff, (0.0, 10.0), [0.0], "dopri5", rtol=1e-4)
    smooth = integrate(stiff, (0.0, 10.0), [0.0], "dopri5", rtol=1e-4, control=StepControl(p=0.4, i=0.3))
    assert smooth.stats["rejected"] < 0.5 * plain.stats["rejected"]


def test_a_first_step_may_be_an_integer():
    for dt in (1, 1.0, np.int64(1)):
        found = integrate(lambda t, y: -y, (0, 5), np.ones(2), rtol=1e-8, dt=dt).raise_for_status()
        np.testing.assert_allclose(found.ys[-1], math.exp(-5), rtol=1e-6)


def test_noise_takes_fixed_steps():
    noise = AdditiveNoise(lambda t, y: -y, lambda t: 0.5, BrownianPath((0.0, 1.0), (4,), 0))
    one = integrate(noise, (0.0, 1.0), np.ones(4), "sra1", dt=1 / 64, save_at=[0.5, 1.0])
    two = integrate(noise, (0.0, 1.0), np.ones(4), "sra1", dt=1 / 256, save_at=[0.5, 1.0])
    assert one.status is IntegrationStatus.SUCCESS
    assert 0 < np.abs(one.ys - two.ys).max() < 2e-3  # the same path


def test_ends_are_said_and_what_was_reached_is_kept():
    blown = integrate(lambda t, y: y**2, (0.0, 2.0), [1.0], rtol=1e-8, save_at=[0.5, 1.5])
    assert blown.status in (IntegrationStatus.STEP_UNDERFLOW, IntegrationStatus.NONFINITE)
    assert blown.ys[0, 0] == pytest.approx(2.0, rel=1e-6)
    assert float(blown.reached) == pytest.approx(1.0, abs=1e-6)
    with pytest.raises(SolverError, match=r"at t = 1, entries up to \d(\.\d+)?e\+\d\d: .* blows up"):
        blown.raise_for_status()
    short = integrate(pendulum, (0.0, 20.0), START, rtol=1e-8, max_steps=20, save_at=[0.1, 20.0])
    assert short.status is IntegrationStatus.MAX_STEPS
    assert np.isfinite(short.ys[0]).all()
    assert np.isfinite(short.last).all()
    broken = integrate(lambda t, y: y * np.where(t > 0.5, np.nan, 1.0), (0.0, 1.0), [1.0], rtol=1e-6)
    assert broken.status is IntegrationStatus.NONFINITE
    assert float(broken.reached) <= 0.5
    fixed = integrate(lambda t, y: y * np.where(t > 0.5, np.nan, 1.0), (0.0, 1.0), [1.0], "rk4", control="fixed", dt=0.1)
    assert fixed.status is IntegrationStatus.NONFINITE
    assert np.isfinite(fixed.last).all()


def test_the_facade_is_scipys():
    def hit(t, y):
        return y[0]

    hit.terminal, hit.direction = True, -1
    for method in ("RK45", "RK23", "DOP853"):
        options = {"events": [hit], "dense_output": True, "rtol": 1e-7, "atol": 1e-9, "method": method}
        ours, theirs = solve_ivp(pendulum, (0, 20), START, **options), scipy.integrate.solve_ivp(pendulum, (0, 20), START, **options)
        np.testing.assert_allclose(ours.t, theirs.t, rtol=1e-6)
        np.testing.assert_allclose(ours.y, theirs.y, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(ours.t_events[0], theirs.t_events[0], rtol=1e-9)
        np.testing.assert_allclose(ours.y_events[0], theirs.y_events[0], rtol=1e-7, atol=1e-9)
        assert (ours.status, ours.success) == (theirs.status, theirs.success)
        np.testing.assert_allclose(ours.sol(1.0), theirs.sol(1.0), rtol=1e-8)
    at = np.linspace(0, 3, 7)
    ours = solve_ivp(pendulum, (0, 3), START, t_eval=at, rtol=1e-7, atol=1e-9)
    theirs = scipy.integrate.solve_ivp(pendulum, (0, 3), START, t_eval=at, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(ours.y, theirs.y, rtol=1e-8, atol=1e-10)
    stiff = solve_ivp(lambda t, y, k: -k * (y - np.cos(t)), (0, 1), [0.0], "sdirk4", args=(1e5,), jac=lambda t, y, k: [[-k]], rtol=1e-6)
    assert stiff.success
    assert stiff.y[0, -1] == pytest.approx(math.cos(1), abs=1e-4)
    for method in ("Radau", "BDF", "LSODA"):
        with pytest.raises(ValueError, match=f"method = '{method}' is SciPy's alone: take 'sdirk4'"):
            solve_ivp(pendulum, (0, 1), START, method)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"control": "pid"}, "control = 'pid' is not known"),
        ({"control": "fixed"}, "needs dt"),
        ({"method": "rk4", "control": StepControl()}, "estimates no error"),
        ({"span": (0.0, math.inf)}, "is no interval"),
        ({"span": (1.0, 0.0), "save_at": [0.2, 0.5]}, "decreasing"),
        ({"events": [Event(lambda t, y: y)]}, "return one number"),
        ({"events": [Event(lambda t, y: y[0] < 0.5)]}, "passes through zero"),
        ({"events": [Event(lambda t, y: np.nan)]}, "returned NaN at t = 0"),
        ({"events": [pendulum]}, r"give a list of Event\(function\)"),
        ({"events": None}, r"give a list of Event\(function\)"),
        ({"checkpoints": 3}, "needs a torch state"),
        ({"atol": -1.0}, "neither may be negative"),
        ({"atol": [1.0, -1.0]}, "neither may be negative"),
        ({"atol": [1.0, 0.0], "rtol": 0.0}, "one must be positive"),
        ({"atol": [1.0, 1.0, 1.0]}, r"atol has shape \(3,\) for a state of shape \(2,\): give one number, or one an entry"),
        ({"atol": [1.0, 1.0], "control": "global"}, "bounds the norm of a row: give one number"),
        ({"max_step": 0.0}, "max_step = 0.0 is no step"),
        ({"max_step": 1e-16}, "lost in the rounding of times up to 1"),
        ({"max_step": 0.1, "dt": 0.1, "control": "fixed"}, "where every step is dt: leave it out"),
        ({"max_steps": 0}, "max_steps = 0: give 1 at least"),
        ({"terms": lambda t, y: y[:1]}, r"returned shape \(1,\)"),
        ({"terms": lambda t, y: 1j * y}, "give y0 as complex"),
        ({"terms": SemiLinear(-np.ones(3))}, r"linear has shape \(3,\) for a state of shape \(2,\): give the diagonal of L"),
        ({"terms": SemiLinear(-np.ones((4, 2))), "method": "etdrk4"}, r"linear has shape \(4, 2\) for a state of shape \(2,\)"),
        ({"terms": SemiLinear(Operator(np.eye(3))), "method": "sbdf2"}, "the linear part acts on 3 entries"),
        ({"terms": SemiLinear(-1.0, lambda t, y: np.ones(3)), "method": "etdrk4"}, r"nonlinear returned shape \(3,\)"),
        ({"terms": SemiLinear(-1.0, lambda t, y: np.ones(3)), "method": "ark4"}, r"nonlinear returned shape \(3,\)"),
        ({"terms": Split(pendulum, np.ones(3)), "method": "ark4"}, r"Split.implicit has shape \(3,\)"),
        (
            {"terms": Split(lambda t, y: y[:1], np.ones(2)), "method": "sbdf2", "dt": 0.1, "control": "fixed"},
            r"explicit returned shape \(1,\)",
        ),
        ({"terms": Implicit(lambda t, y: y[:1]), "method": "tr_bdf2", "dt": 0.1, "control": "fixed"}, "implicit part returned shape"),
        (
            {"terms": Implicit(pendulum, lambda t, y: np.eye(3)), "method": "tr_bdf2"},
            r"jacobian returned an array of shape \(3, 3\), .* 2 unknowns",
        ),
    ],
)
def test_arguments_that_make_no_sense(change, message):
    arguments = {"terms": pendulum, "span": (0.0, 1.0), "y0": START, **change}
    with pytest.raises(ValueError, match=message):
        integrate(**arguments)
    with pytest.raises(ValueError, match=r"p \+ i \+ d > 0"):
        StepControl(i=0.0)
    with pytest.raises(ValueError, match="is no function"):
        Event(3.0)
    for times in ([0.0, 11.0], [5.0, 1.0], [-1.0, 2.0]):
        with pytest.raises(ValueError, match="in that order"):
            solve_ivp(pendulum, (0, 10), START, t_eval=times)
    with pytest.raises(TypeError, match="Split"):
        integrate(Split(pendulum, pendulum), (0.0, 1.0), START, "dopri5")


PATH = BrownianPath((0.0, 1.0), (2,), 0)


def decay(t, y):
    return -y


@pytest.mark.parametrize(
    ("terms", "method", "message"),
    [
        (
            Stochastic(decay, lambda t, y: np.ones(3), PATH),
            "euler_maruyama",
            r"diffusion returned shape \(3,\) for a state of shape \(2,\)",
        ),
        (Stochastic(lambda t, y: y[:1], lambda t, y: y, PATH), "euler_maruyama", r"drift returned shape \(1,\)"),
        (Stochastic(decay, lambda t, y: y, PATH, lambda t, y: np.ones(3)), "milstein", r"derivative returned shape \(3,\)"),
        (AdditiveNoise(decay, lambda t: np.ones((4, 2)), PATH), "sra1", r"diffusion returned shape \(4, 2\)"),
        (AdditiveNoise(SemiLinear(-np.ones(3)), lambda t: 1.0, PATH), "exponential_euler", r"linear has shape \(3,\)"),
        (Stochastic(decay, lambda t, y: y, BrownianPath((0.0, 1.0), (3,), 0)), "milstein", r"brownian has shape \(3,\)"),
    ],
)
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
def test_shapes_of_noise_that_do_not_fit_are_named(terms, method, message, kind):
    with pytest.raises(ValueError, match=message):
        integrate(terms, (0.0, 1.0), kind(START), method, dt=0.1)


@pytest.mark.parametrize(
    ("slip", "message"),
    [
        (lambda: integrate(pendulum, 5.0, START), r"^span = 5.0 is no interval: give a pair of times \(t0, t1\)$"),
        (lambda: integrate(pendulum, (0, 1, 2), START), r"^span = \(0, 1, 2\) is no interval"),
        (lambda: integrate(pendulum, "ab", START), r"^span\[0\] = 'a' is no number"),
        (lambda: integrate(pendulum, (0.0, 1.0), "abc"), "^y0 = 'abc' is not made of numbers: give the state as an array"),
        (lambda: integrate(pendulum, (0.0, 1.0), None), "^y0 = None is not made of numbers"),
        (lambda: integrate(pendulum, (0.0, 1.0), [[1, 2], [3]]), "^y0 = .* is not made of numbers"),
        (lambda: integrate(pendulum, (0.0, 1.0), START, save_at="abc"), "^save_at = 'abc' is not made of numbers: give times"),
        (lambda: integrate(pendulum, (0.0, 1.0), START, rtol="1e-3"), "^rtol = '1e-3' is no number"),
        (
            lambda: integrate(pendulum, (0.0, 1.0), START, rtol=[1e-3, 1e-3]),
            "^rtol = .* is no number: give one number; atol takes one an entry",
        ),
        (lambda: integrate(pendulum, (0.0, 1.0), START, atol="1e-3"), "^atol = '1e-3' is not made of numbers"),
        (lambda: integrate(pendulum, (0.0, 1.0), START, dt="1"), "^dt = '1' is no number"),
        (lambda: integrate(pendulum, (0.0, 1.0), START, max_step=None), "^max_step = None is no number"),
        (lambda: integrate(pendulum, (0.0, 1.0), START, batch="a"), "^batch = 'a' is no whole number"),
        (lambda: integrate(pendulum, (0.0, 1.0), START, max_steps=1.5), "^max_steps = 1.5 is no whole number"),
        (lambda: integrate(lambda t, y: "ab", (0.0, 1.0), START), r"^terms\(t, y\) = 'ab' is not made of numbers"),
        (lambda: integrate("f", (0.0, 1.0), START), "^terms = 'f': give a function"),
        (lambda: SemiLinear("a"), "^SemiLinear.linear = 'a' is not made of numbers: give the diagonal of L"),
        (lambda: SemiLinear(-1.0, 3.0), "^SemiLinear.nonlinear = 3.0 is no function"),
        (lambda: Implicit(np.eye(2)), "^Implicit.function = an array of shape"),
        (lambda: Implicit(pendulum, np.eye(2)), "^Implicit.jacobian = an array of shape .*: give jacobian"),
        (lambda: Split("a", pendulum), "^Split.explicit = 'a' is no function"),
        (lambda: Split(pendulum, "a"), "^Split.implicit = 'a' is not made of numbers"),
        (lambda: Operator("abc"), "^Operator.A = 'abc' is no operator"),
        (lambda: Operator(np.eye(2), factor="a"), "^Operator.factor = 'a' is no number"),
        (lambda: Stochastic(pendulum, 0.1, PATH), "^Stochastic.diffusion = 0.1 is no function: .* lambda t, y: 0.1"),
        (lambda: Stochastic(pendulum, pendulum, 3), "^Stochastic.brownian = 3 is no path"),
        (lambda: AdditiveNoise(pendulum, 0.1, PATH), "^AdditiveNoise.diffusion = 0.1 is no function"),
        (lambda: solve_ivp(pendulum, 5.0, START), "^t_span = 5.0 is no interval"),
        (lambda: solve_ivp(pendulum, (0.0, 1.0), START, t_eval="ab"), "^t_eval = 'ab' is not made of numbers"),
        (lambda: integrate(pendulum, (0.0, 1.0), START, dense=True).dense("now"), "^t = 'now' is not made of numbers"),
    ],
)
def test_things_of_another_kind_are_named(slip, message):
    with pytest.raises(TypeError, match=message):
        slip()


def test_dense_output_takes_several_times_and_says_where_it_was_not_kept():
    found = integrate(pendulum, (0.0, 3.0), START, dense=True)
    times = np.array([0.3, 1.7, 2.9])
    np.testing.assert_array_equal(found.dense(times), np.stack([found.dense(t) for t in times]))
    reference = scipy.integrate.solve_ivp(pendulum, (0.0, 3.0), START, dense_output=True, rtol=1e-10, atol=1e-10)
    ours = solve_ivp(pendulum, (0.0, 3.0), START, dense_output=True, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(ours.sol(times), reference.sol(times), rtol=1e-8)
    with pytest.raises(ValueError, match="dense output was not kept: integrate with dense=True"):
        integrate(pendulum, (0.0, 3.0), START).dense(0.5)


def test_a_trajectory_prints_as_one_line():
    found = integrate(pendulum, (0.0, 3.0), START, save_at=[1.0, 3.0])
    assert (
        repr(found) == f"Trajectory(SUCCESS, ys of shape (2, 2) up to t = 3, {found.steps} steps, {found.stats['evaluations']} evaluations)"
    )
    assert "4 rows, ys of shape (1, 4, 2)" in repr(integrate(lambda t, y: -y, (0.0, 3.0), np.ones((4, 2)), batch=1))
