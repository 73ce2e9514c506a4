"""Order of the staggered-grid solver in space, in time and in both, against exact solutions of the Navier-Stokes equations."""

from itertools import pairwise

import numpy as np
import pytest

from solvers.flow import CarriedScalar, Inflow, MACFlow, Outflow, Periodic, Slip, Wall, march_mac

FREE = (Periodic(), Periodic())
NU = 0.05


def vortices(t, x, y):
    """Taylor-Green vortices, shifted so that no side is a line of symmetry."""
    decay = np.exp(-2 * NU * 4 * t)
    return np.sin(2 * x + 0.3) * np.cos(2 * y + 0.9) * decay, -np.cos(2 * x + 0.3) * np.sin(2 * y + 0.9) * decay


def vortex_pressure(t, x, y):
    return 0.25 * (np.cos(4 * x + 0.6) + np.cos(4 * y + 1.8)) * np.exp(-4 * NU * 4 * t)


def swirling(x, y, z, a=np.pi / 4, d=np.pi / 2):
    """The three-dimensional exact solution of Ethier and Steinman (1994, Int. J. Numer. Meth. Fluids 19), equation 11, at time 0.

    It decays as a whole, by exp(-d^2 nu t).
    """
    return [
        -a * (np.exp(a * p) * np.sin(a * q + d * r) + np.exp(a * r) * np.cos(a * p + d * q))
        for p, q, r in ((x, y, z), (y, z, x), (z, x, y))
    ]


class Averaged:
    """`swirling` averaged over squares of side h across each axis by Gauss' rule, so that fluxes balance far below the grid's error."""

    def __init__(self, h, nu):
        self.rate = -((np.pi / 2) ** 2) * nu
        nodes, weights = np.polynomial.legendre.leggauss(3)
        self.points = [(s * h / 2, w / 2) for s, w in zip(nodes, weights, strict=True)]
        self.known = {}

    def __call__(self, t, *where):
        key = tuple(x.tobytes() + bytes(x.shape) for x in where)
        if key not in self.known:
            self.known[key] = [self.mean(c, where) for c in range(3)]
        return [value * np.exp(self.rate * t) for value in self.known[key]]

    def mean(self, c, where):
        total = 0.0
        for s, ws in self.points:
            for r, wr in self.points:
                shifts = iter((s, r))
                total = total + ws * wr * swirling(*(x if axis == c else x + next(shifts) for axis, x in enumerate(where)))[c]
        return total


def in_box(n):
    """The vortices in a box whose sides all move and let fluid through, time-dependently."""
    side = Inflow(vortices)
    return MACFlow((n, n), (1.0, 1.0), NU, [(side, side), (side, side)])


def in_periods(n):
    return MACFlow((n, n), (np.pi, np.pi), NU, [FREE, FREE])


def errors(flow, t1, **settings):
    """Largest error of the velocity at t1, and root mean square of the pressure's, which is of first order in corners alone."""
    history = march_mac(flow, (0.0, t1), lambda x, y: vortices(0.0, x, y), **settings).raise_for_status()
    wrong = [np.abs(history.velocity[c][-1] - vortices(t1, *flow.faces(c))[c]).max() for c in range(2)]
    exact = vortex_pressure(t1, *flow.centres())
    return np.array([max(wrong), np.sqrt(np.mean((history.pressure[-1] - (exact - exact.mean())) ** 2))])


def orders(found):
    return np.log2(found[:-1] / found[1:])


@pytest.mark.parametrize(("make", "constants"), [(in_periods, (4, 16)), (in_box, (1, 0.2))], ids=["periodic", "moving sides"])
def test_second_order_in_space(make, constants):
    found = np.array([errors(make(n), 0.25, dt=1e-3) for n in (16, 32, 64)])
    assert orders(found)[-1] == pytest.approx([2.0, 2.0], abs=0.1)
    assert (found[-1] < np.array(constants) / 64**2).all()


@pytest.mark.parametrize(("make", "t1"), [(in_periods, 2.0), (in_box, 0.5)], ids=["periodic", "moving sides"])
def test_third_order_in_time(make, t1):
    """Differences of runs with ever smaller steps, on one grid: what is left is the error in time, of the pressure too."""
    flow, states = make(8), []
    for steps in (8, 16, 32, 64):
        history = march_mac(flow, (0.0, t1), lambda x, y: vortices(0.0, x, y), dt=t1 / steps).raise_for_status()
        states.append((history.velocity[0][-1], history.pressure[-1]))
    differences = np.array([[np.abs(a - b).max() for a, b in zip(one, two, strict=True)] for one, two in pairwise(states)])
    assert orders(differences)[-1] == pytest.approx([3.0, 3.0], abs=0.2)


@pytest.mark.parametrize("make", [in_periods, in_box], ids=["periodic", "moving sides"])
def test_second_order_when_step_and_cells_shrink_together(make):
    found = np.array([errors(make(n), 0.25, courant=0.9) for n in (16, 32, 64)])
    assert orders(found)[-1] == pytest.approx([2.0, 2.0], abs=0.1)


def test_second_order_in_three_dimensions():
    """All sides of the cube carry the exact velocity, averaged over faces."""
    found = []
    for n in (16, 32):
        velocity = Averaged(1.0 / n, 0.2)
        side = Inflow(velocity)
        flow = MACFlow((n, n, n), (1.0, 1.0, 1.0), 0.2, [(side, side)] * 3)
        history = march_mac(flow, (0.0, 0.1), lambda *x, velocity=velocity: velocity(0.0, *x), courant=0.9).raise_for_status()
        found.append(np.sqrt(sum(np.mean((history.velocity[c][-1] - velocity(0.1, *flow.faces(c))[c]) ** 2) for c in range(3))))
    assert np.log2(found[0] / found[1]) == pytest.approx(2.0, abs=0.1)
    assert found[-1] < 0.25 / 32**2


def test_abc_flow_in_periods():
    """Arnold, Beltrami and Childress: convection is a gradient, so that the flow decays by exp(-nu t) without changing its shape."""
    found = []
    for n in (12, 24):
        flow = MACFlow((n, n, n), (2 * np.pi,) * 3, NU, [FREE] * 3)
        start = lambda x, y, z: (np.sin(z) + 0.7 * np.cos(y), 0.4 * np.sin(x) + np.cos(z), 0.7 * np.sin(y) + 0.4 * np.cos(x))  # noqa: E731
        history = march_mac(flow, (0.0, 0.5), start).raise_for_status()
        exact = [np.exp(-NU * 0.5) * start(*flow.faces(c))[c] for c in range(3)]
        found.append(max(np.abs(history.velocity[c][-1] - exact[c]).max() for c in range(3)))
    assert np.log2(found[0] / found[1]) == pytest.approx(2.0, abs=0.1)
    assert found[-1] < 5 / 24**2


def pulsating(alpha, t, y):
    """Womersley's flow between plates at y = +-1 under the pressure gradient -cos t, with nu = 1 / alpha^2."""
    root = np.sqrt(1j) * alpha
    return np.real((1 - np.cosh(root * y) / np.cosh(root)) / 1j * np.exp(1j * t))


def in_channel(alpha, n, dt):
    """Largest error against `pulsating` after a quarter of a period, and the velocity itself."""
    plates = (Wall(), Wall())
    flow = MACFlow((2, n), (1.0, 2.0), alpha**-2, [FREE, plates], force=lambda t, x, y: (np.cos(t), 0.0))
    start = lambda x, y: (pulsating(alpha, 0.0, y - 1) + 0 * x, 0.0)  # noqa: E731
    u = march_mac(flow, (0.0, 1.5), start, dt=dt).raise_for_status().velocity[0][-1][0]
    exact = pulsating(alpha, 1.5, (np.arange(n) + 0.5) * 2 / n - 1)
    return np.abs(u - exact).max(), u


@pytest.mark.parametrize("alpha", [1.0, 4.0, 10.0])
def test_pulsating_channel(alpha):
    stable = 0.6 * (2 / 16) ** 2 * alpha**2 / 2  # 2.51 / 4 of it is the limit with two cells across x, which are far larger
    states = [in_channel(alpha, 16, min(stable, 0.25) / k)[1] for k in (1, 2, 4)]
    differences = [np.abs(one - two).max() for one, two in pairwise(states)]
    coarse = 32 if alpha > 4 else 16  # cells across the channel: some in the layers of thickness sqrt(2) / alpha
    found = [in_channel(alpha, n, min(stable, 0.25) / 4 * (16 / n) ** 2)[0] for n in (coarse, 2 * coarse)]
    assert np.log2(differences[0] / differences[1]) == pytest.approx(3.0, abs=0.3)
    assert np.log2(found[0] / found[1]) == pytest.approx(2.0, abs=0.1)


def test_carried_scalar():
    """A wave that a uniform flow carries across the cells while it decays: second order in space."""
    kappa, t1, found = 0.03, 0.8, []
    for n in (24, 48):
        flow = MACFlow((n, n), (2 * np.pi, 2 * np.pi), 0.01, [FREE, FREE], scalar=CarriedScalar(kappa))
        history = march_mac(flow, (0.0, t1), lambda x, y: (1.0, 0.5), scalar=lambda x, y: np.sin(x) * np.cos(2 * y)).raise_for_status()
        x, y = flow.centres()
        exact = np.sin(x - t1) * np.cos(2 * (y - 0.5 * t1)) * np.exp(-5 * kappa * t1)
        found.append(np.abs(history.scalar[-1] - exact).max())
        assert history.velocity[1][-1] == pytest.approx(0.5, abs=1e-13)
    assert np.log2(found[0] / found[1]) == pytest.approx(2.0, abs=0.1)
    assert found[-1] < 20 / 48**2  # phases are wrong by k^3 h^2 t / 6


def test_carried_scalar_between_slip_walls_from_inflow_to_outflow():
    """Upstream of a boundary layer: s'' kappa = u s' with s = 1 flowing in and a wall-like outflow gives s = 1; a wave keeps its mean."""
    sides = [(Inflow((1.0, 0.0), scalar=lambda t, x, y: 1 + np.sin(4 * t)), Outflow()), (Slip(), Slip())]
    flow = MACFlow((64, 2), (2.0, 0.1), 0.01, sides, scalar=CarriedScalar(0.02))
    ts = np.linspace(4.0, 4.0 + np.pi / 2, 41)[1:]
    history = march_mac(flow, (0.0, ts[-1]), lambda x, y: (1.0, 0.0), save_at=ts).raise_for_status()
    assert history.velocity[0] == pytest.approx(1.0, abs=1e-12)
    assert history.scalar.mean(axis=0) == pytest.approx(np.ones(flow.shape), abs=2e-3)
    # a plane wave exp(4 i t + k x): kappa k^2 - k - 4 i = 0
    k = (1 - np.sqrt(1 + 16j * 0.02)) / 0.04
    x = flow.centres()[0][:32]
    exact = 1 + np.imag(np.exp(4j * ts[:, None, None] + k * x))
    assert np.abs(history.scalar[:, :32] - exact).max() < 0.02
