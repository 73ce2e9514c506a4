"""The staggered-grid flow solver: conservation, symmetry, balances, and what it says where it cannot go on."""

import doctest
from dataclasses import replace

import numpy as np
import pytest

from solvers import SolverError
from solvers.flow import CarriedScalar, Inflow, MACFlow, MACStatus, Outflow, Periodic, Slip, Wall, march_mac
from solvers.flow.mac import march as mac_march
from solvers.flow.mac.march import MACState
from solvers.flow.mac.stepper import Stepper

FREE, STILL = (Periodic(), Periodic()), (Wall(), Wall())


def random_velocity(flow, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(tuple(n + (k == c) for k, n in enumerate(flow.shape))) for c in range(flow.dimension)]


def divergence(history, flow):
    total = np.zeros(flow.shape)
    for c, h in enumerate(flow.spacing):
        total += np.diff(history.velocity[c][-1], axis=c) / h
    return total


def flows():
    """One flow of each kind, with what each needs to start."""
    lid = [STILL, (Wall(), Wall((1.0, 0.0)))]
    profile = Inflow(lambda t, x, y: (4 * y * (1 - y) * (1 + 0.5 * np.sin(9 * t)), 0.0))
    square = np.zeros((24, 16), bool)
    square[6:10, 6:9] = True
    cube = np.zeros((10, 8, 8), bool)
    cube[3:5, 2:5, 3:6] = True
    through = (Inflow((1.0, 0.0, 0.0)), Outflow())
    return {
        "lid": MACFlow((16, 20), (1.0, 1.0), 0.01, lid),
        "pulsating inflow and outflow": MACFlow((24, 16), (1.5, 1.0), 0.01, [(profile, Outflow()), STILL]),
        "around a square": MACFlow((24, 16), (1.5, 1.0), 0.01, [(profile, Outflow()), STILL], solid=square),
        "periodic around a square": MACFlow((24, 16), (1.5, 1.0), 0.01, [FREE, FREE], force=(1.0, 0.2), solid=square),
        "periodic around a cube": MACFlow((10, 8, 8), (1.25, 1.0, 1.0), 0.05, [FREE, STILL, FREE], force=(1.0, 0.0, 0.0), solid=cube),
        "around a cube": MACFlow((10, 8, 8), (1.25, 1.0, 1.0), 0.05, [through, (Slip(), Slip()), FREE], solid=cube),
        "lid in space": MACFlow((8, 10, 6), (1.0, 1.0, 0.7), 0.02, [STILL, (Wall(), Wall((1.0, 0.0, 0.5))), STILL]),
    }


@pytest.mark.parametrize("name", flows())
def test_no_divergence_after_any_step(name):
    """Also of a start that is all divergence; as a share of the largest velocity over the smallest cell size."""
    flow, found = flows()[name], []

    def note(state):
        largest = max(np.abs(component).max() for component in state.velocity)
        found.append(np.abs(state.divergence).max() * min(flow.spacing) / largest)

    history = march_mac(flow, (0.0, 0.5), random_velocity(flow), callback=note).raise_for_status()
    assert len(found) == history.steps > 10
    assert max(found) < 1e-12
    assert np.abs(divergence(history, flow)).max() < 1e-12 * 10 / min(flow.spacing)


@pytest.mark.parametrize("sides", [[FREE, FREE, FREE], [(Slip(), Slip()), STILL, FREE]], ids=["periodic", "box"])
def test_convection_makes_no_energy_and_no_momentum(sides):
    """The right-hand side of an inviscid flow is orthogonal to the velocity, whatever that is."""
    flow = MACFlow((6, 8, 7), (1.0, 1.3, 0.8), 0.0, sides)
    stepper = Stepper(flow, 0.0, random_velocity(flow), np.zeros(()))
    stepper.project_start()
    stepper.advance(stepper.other, stepper.u, 0.0, 1.0)
    power, scale = 0.0, 0.0
    for c in range(3):
        where = (c, *(slice(int(a), int(b)) for a, b in zip(stepper.first[c], stepper.last[c], strict=True)))
        power += float((stepper.u[where] * stepper.tendency[where]).sum())
        scale += float(np.abs(stepper.u[where] * stepper.tendency[where]).sum())
        if sides[0] is FREE:
            assert abs(stepper.tendency[where].sum()) < 1e-12 * np.abs(stepper.tendency[where]).sum()
    assert abs(power) < 1e-13 * scale


def test_energy_of_an_inviscid_flow_changes_with_the_step_alone():
    flow = MACFlow((12, 12), (1.0, 1.0), 0.0, [FREE, STILL])
    start = march_mac(flow, (0.0, 1e-9), random_velocity(flow)).velocity
    start = [component[-1] for component in start]

    def energy(velocity):
        return sum((component**2).sum() - (component[-1] ** 2).sum() * (c == 0) for c, component in enumerate(velocity))

    lost = []
    for steps in (50, 100):
        history = march_mac(flow, (0.0, 0.25), start, dt=0.25 / steps).raise_for_status()
        lost.append(1 - energy([component[-1] for component in history.velocity]) / energy(start))
    assert 0 < lost[1] < 1e-3
    assert np.log2(lost[0] / lost[1]) == pytest.approx(3.0, abs=0.3)


def turned(flow, velocity, order):
    """The same flow with its axes in another order."""
    solid = None if flow.solid is None else flow.solid.transpose(order)
    parts = tuple(getattr(flow, name)[k] for k in order for name in ("shape",)), tuple(flow.extent[k] for k in order)
    other = MACFlow(*parts, flow.viscosity, [flow.sides[k] for k in order], [flow.force[k] for k in order], solid)
    return other, [velocity[k].transpose(order) for k in order]


@pytest.mark.parametrize("order", [(1, 2, 0), (2, 0, 1), (0, 2, 1)])
def test_no_axis_is_special(order):
    solid = np.zeros((8, 6, 7), bool)
    solid[2:4, 1:3, 3:5] = True
    flow = MACFlow((8, 6, 7), (1.0, 0.9, 1.1), 0.02, [(Wall(), Slip()), FREE, (Wall(), Outflow())], (0.3, -1.0, 0.7), solid)
    velocity = random_velocity(flow)
    other, start = turned(flow, velocity, order)
    one, two = (march_mac(f, (0.0, 0.2), v, dt=0.01).raise_for_status() for f, v in ((flow, velocity), (other, start)))
    for place, k in enumerate(order):
        assert two.velocity[place][-1] == pytest.approx(one.velocity[k][-1].transpose(order), abs=1e-9)
    assert two.pressure[-1] == pytest.approx(one.pressure[-1].transpose(order), abs=1e-8)


def test_plane_flow_in_space():
    """A cavity that is periodic along its third axis is the plane one."""
    plane = MACFlow((10, 12), (1.0, 1.0), 0.01, [STILL, (Wall(), Wall((1.0, 0.0)))])
    space = MACFlow((10, 12, 3), (1.0, 1.0, 0.3), 0.01, [STILL, (Wall(), Wall((1.0, 0.0, 0.0))), FREE])
    one, two = (march_mac(flow, (0.0, 1.0), dt=0.01).raise_for_status() for flow in (plane, space))
    for c in range(2):
        assert two.velocity[c][-1][..., 1] == pytest.approx(one.velocity[c][-1], abs=1e-12)
    assert np.abs(two.velocity[2]).max() < 1e-13


@pytest.mark.parametrize("dimension", [2, 3])
def test_eddies_that_reach_the_outflow_do_not_blow_up(dimension):
    """A short channel at a high Reynolds number, whose obstacle throws eddies back through the outlet."""
    n = 16 if dimension == 2 else 12
    shape = (2 * n, n, 4)[:dimension]
    solid = np.zeros(shape, bool)
    solid[5 * n // 12 : 7 * n // 12, n // 3 : 2 * n // 3] = True
    inflow = Inflow((lambda *x: 6 * x[1] * (1 - x[1]), *(0.0,) * (dimension - 1)))
    flow = MACFlow(shape, (2.0, 1.0, 0.3)[:dimension], 1e-4, [(inflow, Outflow()), STILL, FREE][:dimension], solid=solid)
    lowest = []
    done = march_mac(flow, (0.0, 8.0), callback=lambda state: lowest.append(state.velocity[0][-1].min()), max_steps=4000)
    done.raise_for_status()
    assert min(lowest) < -0.1  # fluid did come back
    assert np.abs(done.velocity[0]).max() < 8.0


def test_poiseuille_flow_passes_from_inflow_to_outflow():
    """The parabola that second differences and the ghosts beyond walls agree on is left alone, and its pressure falls linearly to zero."""
    n, nu = 12, 0.1
    y = (np.arange(n) + 0.5) / n
    parabola = 4 * y * (1 - y) + 1 / n**2  # h^2 of 4 y (1 - y) more: the ghost opposite the first point sees the wall at rest
    side = Inflow(lambda t, x, y: (4 * y * (1 - y) + 1 / n**2, 0.0))
    flow = MACFlow((18, n), (1.5, 1.0), nu, [(side, Outflow()), STILL])
    history = march_mac(flow, (0.0, 40.0), steady_rate=1e-12).raise_for_status()
    assert history.status is MACStatus.STEADY
    assert history.velocity[0][-1] == pytest.approx(np.broadcast_to(parabola, (19, n)), abs=1e-10)
    assert history.velocity[1][-1] == pytest.approx(0.0, abs=1e-10)
    x = flow.centres()[0]
    assert history.pressure[-1] == pytest.approx(np.broadcast_to(8 * nu * (1.5 - x), flow.shape), abs=1e-8)


def test_force_on_a_solid_balances_the_force_on_the_fluid():
    """In a periodic channel at rest in the mean, what drives the fluid is taken up by the walls and the solid, to rounding."""
    solid = np.zeros((24, 16), bool)
    solid[6:11, 5:9] = True
    flow = MACFlow((24, 16), (1.5, 1.0), 0.05, [FREE, STILL], force=(0.5, 0.0), solid=solid)
    found = []
    history = march_mac(flow, (0.0, 60.0), steady_rate=1e-11, callback=found.append).raise_for_status()
    force = found[-1].solid_force()
    u, h = history.velocity[0][-1], 1 / 16
    walls = 0.05 * (2 * u[1:, 0] + 2 * u[1:, -1]).sum()
    driven = (~(solid | np.roll(solid, -1, 0))).sum() * h * h * 0.5
    assert driven == pytest.approx(force[0] + walls, rel=1e-9)
    assert force[0] > 0.2 * driven
    assert abs(force[1]) > 1e-4 * force[0]  # the solid is off the centre line


def test_force_on_a_solid_from_pressure_and_friction():
    """Of a slow flow around a box the force is the pressure on its sides and the friction along them, summed here face by face."""
    solid = np.zeros((20, 16), bool)
    solid[7:10, 6:10] = True
    flow = MACFlow((20, 16), (1.25, 1.0), 50.0, [FREE, STILL], force=(1.0, 0.0), solid=solid)
    states = []
    history = march_mac(flow, (0.0, 1.0), steady_rate=1e-9, callback=states.append).raise_for_status()
    u, p, h = history.velocity[0][-1], history.pressure[-1], 1 / 16
    normal = (p[6, 6:10] - p[10, 6:10]).sum() * h + 50.0 * (u[6, 6:10] + u[11, 6:10]).sum()
    along = 50.0 * 2 * (u[8:10, 5].sum() + u[8:10, 10].sum())  # faces between two solid cells: half a cell above the side
    corners = 50.0 * (u[[7, 10], 5].sum() + u[[7, 10], 10].sum())  # over an edge the neighbour on the surface is at rest
    assert states[-1].solid_force()[0] == pytest.approx(normal + along + corners, rel=1e-6)


def test_lid_driven_cavity_against_converged_extrema():
    """Botella and Peyret's kind of figures at Re = 100 (Marchi et al. 2009: -0.2140424, 0.1795728, -0.253803), second order in h."""
    found = []
    for n in (16, 32):
        flow = MACFlow((n, n), (1.0, 1.0), 0.01, [STILL, (Wall(), Wall((1.0, 0.0)))])
        history = march_mac(flow, (0.0, 60.0), steady_rate=1e-6).raise_for_status()
        u, v = history.velocity[0][-1][n // 2], history.velocity[1][-1][:, n // 2]
        found.append([_vertex(u, np.argmin(u)), _vertex(v, np.argmax(v)), _vertex(v, np.argmin(v))])
    coarse, fine = np.abs(np.array(found) - [-0.2140424, 0.1795728, -0.253803])
    assert (fine < 6e-3).all()
    assert (coarse / fine > 3.0).all()


def _vertex(values, k):
    """Extremum of the parabola through three points around number k."""
    low, mid, high = values[k - 1 : k + 2]
    return mid - (high - low) ** 2 / (8 * (high - 2 * mid + low))


def test_natural_convection_in_a_square():
    """Nusselt numbers of de Vahl Davis' cavity, 1.11779 at Ra = 1000 (converged; published as 1.118), extrapolated from two grids."""
    means, centres = [], []
    for n in (12, 24):
        sides = [(Wall(scalar=1.0), Wall(scalar=0.0)), STILL]
        flow = MACFlow((n, n), (1.0, 1.0), 0.71, sides, scalar=CarriedScalar(1.0, (0.0, 1000 * 0.71)))
        history = march_mac(flow, (0.0, 3.0), scalar=0.5, steady_rate=1e-7).raise_for_status()
        T, u = history.scalar[-1], history.velocity[0][-1]
        hot = (2 * n * (1.0 - T[0])).mean()
        middle = (n * (T[n // 2 - 1] - T[n // 2]) + u[n // 2] * (T[n // 2 - 1] + T[n // 2]) / 2).mean()
        assert hot == pytest.approx(middle, abs=1e-6)  # what enters at the hot wall passes every section
        means.append(hot)
        centres.append(np.abs(history.velocity[0][-1][n // 2]).max())
    assert (4 * means[1] - means[0]) / 3 == pytest.approx(1.11779, abs=1e-3)
    assert centres[1] == pytest.approx(3.64945, rel=0.01)


def test_steps_are_stable_up_to_the_limit():
    """The half ellipse that steps are limited by lies inside the region of stability of third-order Runge-Kutta methods."""
    angle = np.linspace(np.pi / 2, np.pi, 2001)
    z = 2.51 * np.cos(angle) + 1j * 3**0.5 * np.sin(angle)
    assert np.abs(1 + z + z**2 / 2 + z**3 / 6).max() < 1 + 1e-12
    assert abs(1 - 2.52 + 2.52**2 / 2 - 2.52**3 / 6) > 1


def test_step_beyond_the_limit_is_refused_with_the_largest():
    flow = flows()["lid"]
    history = march_mac(flow, (0.0, 1.0), dt=0.5)
    assert history.status is MACStatus.UNSTABLE_STEP
    allowed = float(history.diagnosis.split("at most ")[1])
    assert allowed == pytest.approx(flow.largest_step([1.0, 0.0]), rel=1e-5)
    assert history.steps == 0
    with pytest.raises(SolverError, match=r"dt = 0.5 is unstable at t = 0: take dt=None, or at most"):
        history.raise_for_status()
    shortened = march_mac(flow, (0.0, 1.0), dt=0.3, save_at=[0.5, 1.0])
    assert shortened.diagnosis.startswith("dt = 0.3, shortened to 0.25 so that equal steps meet t = 0.5, is unstable at t = 0: ")
    assert march_mac(flow, (0.0, 0.2), dt=0.9 * allowed).status is MACStatus.SUCCESS


def test_blow_up_is_told_where_it_happens_and_the_last_good_state_returned():
    flow = MACFlow((8, 8), (1.0, 1.0), 0.1, [FREE, STILL], force=lambda t, x, y: (np.inf if t > 0.05 else 1.0, 0.0))
    history = march_mac(flow, (0.0, 1.0), dt=0.01)
    assert history.status is MACStatus.NONFINITE
    assert 0.04 <= history.ts[-1] <= 0.05
    assert all(np.isfinite(component).all() for component in history.velocity)
    assert history.velocity[0][-1].mean() == pytest.approx(0.05, rel=0.4)
    assert march_mac(flow, (0.0, 1.0), [np.full((9, 8), np.nan), np.zeros((8, 9))]).status is MACStatus.NONFINITE


def test_sides_that_do_not_balance():
    flow = MACFlow((8, 4), (2.0, 1.0), 0.1, [(Inflow((1.0, 0.0)), Inflow((0.9, 0.0))), STILL])
    history = march_mac(flow, (0.0, 1.0))
    assert history.status is MACStatus.IMBALANCE
    assert "1 flows in" in history.diagnosis
    assert "0.9 out" in history.diagnosis
    later = Inflow(lambda t, x, y: (1.0 if t < 0.5 else 1.25, 0.0))
    history = march_mac(MACFlow((8, 4), (2.0, 1.0), 0.1, [(later, Inflow((1.0, 0.0))), STILL]), (0.0, 1.0))
    assert history.status is MACStatus.IMBALANCE
    assert history.ts[-1] == pytest.approx(0.5, abs=0.1)


def test_solids_that_close_the_channel():
    dam = np.zeros((8, 6), bool)
    dam[np.arange(2, 8), np.arange(6)] = True
    dam[np.arange(2, 7), np.arange(1, 6)] = True
    flow = MACFlow((8, 6), (1.0, 1.0), 0.1, [(Inflow((1.0, 0.0)), Outflow()), STILL], solid=dam)
    history = march_mac(flow, (0.0, 1.0))
    assert history.status is MACStatus.IMBALANCE
    assert "cut an inflow off" in history.diagnosis
    dam[4, 2:4] = dam[3, 2] = False  # a way through
    assert march_mac(replace(flow, solid=dam), (0.0, 0.1)).status is MACStatus.SUCCESS


@pytest.mark.parametrize("dimension", [2, 3])
def test_all_ways_to_the_pressure_agree(dimension, monkeypatch):
    """Around random solids that also enclose pockets, and touch sides: capacitance matrix, factors or multigrid give the same flow."""
    shape = (12, 10, 8)[:dimension]
    solid = np.random.default_rng(1).random(shape) < 0.1 * dimension
    solid[0] = solid[-1] = False
    solid[4:7, 3:6] = True
    solid[5, 4] = False
    inflow = Inflow((1.0, *(0.0,) * (dimension - 1)))
    flow = MACFlow(shape, (1.2, 1.0, 0.8)[:dimension], 0.1, [(inflow, Outflow()), STILL, FREE][:dimension], solid=solid)
    states = []
    for largest in (2000, 0):
        monkeypatch.setattr("solvers.flow.mac.pressure._LARGEST_CAPACITANCE", {dimension: largest})
        states.append(march_mac(flow, (0.0, 0.05), dt=2e-3).raise_for_status())
    assert (states[1].info["pressure_iterations"] > 0) == (dimension == 3)
    scale = np.abs(states[0].velocity[0]).max()
    for c in range(dimension):
        assert states[1].velocity[c] == pytest.approx(states[0].velocity[c], abs=1e-10 * scale)


def test_limit_on_steps_and_times_that_are_kept():
    flow = flows()["lid"]
    history = march_mac(flow, (0.0, 1.0), save_at=[0.25, 0.5, 1.0])
    assert history.ts.tolist() == [0.25, 0.5, 1.0]
    assert history.velocity[0].shape == (3, 17, 20)
    alone = march_mac(flow, (0.0, 0.25))
    assert np.array_equal(alone.velocity[0][0], history.velocity[0][0])
    assert march_mac(flow, (0.0, 1.0), max_steps=3).status is MACStatus.MAX_STEPS


def test_centred_velocity():
    flow = flows()["lid"]
    history = march_mac(flow, (0.0, 0.5))
    assert history.centred().shape == (2, 16, 20)
    assert history.centred()[1][3, 4] == pytest.approx(history.velocity[1][-1][3, 4:6].mean())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"viscosity": -1.0}, "viscosity = -1.0"),
        ({"shape": (8, 1)}, "shape"),
        ({"extent": (1.0, -1.0)}, "extent"),
        ({"sides": [STILL]}, "does not fit 2 axes"),
        ({"sides": [(Periodic(), Wall()), STILL]}, "only one side of x is periodic"),
        ({"sides": [(Outflow(), Wall()), STILL]}, "low side of x is an outflow"),
        ({"force": (1.0,)}, "force"),
        ({"solid": np.ones((8, 8), bool)}, "covers all cells"),
        ({"solid": np.zeros((4, 8), bool)}, r"shape \(8, 8\)"),
        ({"extent": (1.0, np.nan)}, r"extent\[1\] = nan: give one positive length"),
        ({"force": (np.nan, 0.0)}, r"force\[0\] = nan: give a finite number"),
        ({"solid": [[True] * 8] * 8}, "solid is a list: give an array of booleans"),
        ({"sides": STILL}, "does not fit 2 axes"),
        ({"sides": [STILL, (Wall(), Wall((1.0, 0.0, 0.0)))]}, "Wall.velocity on the high side of y has 3 components: give 2"),
        ({"sides": [(Wall((1.0, 0.0)), Wall()), STILL]}, "no fluid passes a wall"),
        ({"sides": [STILL, (Wall(scalar=1.0), Wall())]}, "Wall.scalar = 1.0 on the low side of y, but the flow carries no scalar"),
        ({"sides": [(Inflow((1.0, 0.0), 0.5), Outflow()), STILL]}, "Inflow.scalar = 0.5 on the low side of x, but the flow carries no"),
        ({"scalar": CarriedScalar(1.0, (1.0,))}, "scalar.buoyancy"),
        ({"scalar": CarriedScalar(1.0), "solid": np.eye(8, dtype=bool)}, "drop one of them"),
    ],
)
def test_flows_that_make_no_sense(change, sentence):
    settings = {"shape": (8, 8), "extent": (1.0, 1.0), "viscosity": 0.1, "sides": [STILL, STILL]} | change
    with pytest.raises(ValueError, match=sentence):
        MACFlow(**settings)


@pytest.mark.parametrize(
    ("make", "kind", "sentence"),
    [
        (lambda: Wall(1.0), TypeError, r"^Wall.velocity = 1.0 is no vector: give one number or function an axis, as \(1.0, 0.0\)"),
        (lambda: Wall("a"), TypeError, "^Wall.velocity = 'a' is no vector"),
        (lambda: Wall((np.nan, 0.0)), ValueError, r"^Wall.velocity\[0\] = nan: give a finite number"),
        (lambda: Wall(("a", 0.0)), TypeError, r"^Wall.velocity\[0\] = 'a' is no number"),
        (lambda: Wall(scalar=np.nan), ValueError, "^Wall.scalar = nan: give a finite number"),
        (lambda: Wall(scalar=(1.0, 2.0)), TypeError, r"^Wall.scalar = \(1.0, 2.0\) is no number"),
        (lambda: Inflow(1.0), TypeError, "^Inflow.velocity = 1.0 is no vector"),
        (lambda: Inflow((np.inf, 0.0)), ValueError, r"^Inflow.velocity\[0\] = inf"),
        (lambda: Inflow(()), ValueError, r"^Inflow.velocity = \(\) says nothing"),
        (lambda: CarriedScalar(-1.0), ValueError, "^scalar.diffusivity = -1.0: it must be"),
        (lambda: CarriedScalar("a"), TypeError, "^scalar.diffusivity = 'a' is no number"),
        (lambda: CarriedScalar(0.1, 1.0), TypeError, r"^scalar.buoyancy = 1.0: give one number an axis, or \(\)"),
        (lambda: CarriedScalar(0.1, (0.0, np.nan)), ValueError, r"^scalar.buoyancy\[1\] = nan"),
        (lambda: MACFlow((8.0, 8), (1.0, 1.0), 0.1, [STILL, STILL]), TypeError, r"^shape\[0\] = 8.0 is no whole number: give two or three"),
        (lambda: MACFlow(8, (1.0, 1.0), 0.1, [STILL, STILL]), TypeError, "^shape = 8: give two or three whole numbers"),
        (lambda: MACFlow((8, 8), 1.0, 0.1, [STILL, STILL]), TypeError, "^extent = 1.0: give one positive length an axis"),
        (lambda: MACFlow((8, 8), (1.0, 1.0), "a", [STILL, STILL]), TypeError, "^viscosity = 'a' is no number"),
        (lambda: MACFlow((8, 8), (1.0, 1.0), 0.1, [STILL, STILL], force=1.0), TypeError, "^force = 1.0 is no vector"),
        (lambda: MACFlow((8, 8), (1.0, 1.0), 0.1, [STILL, STILL], scalar=1.0), TypeError, "^scalar = 1.0 is nothing that a flow carries"),
    ],
)
def test_what_cannot_bound_or_drive_a_flow_is_refused_where_it_is_made(make, kind, sentence):
    with pytest.raises(kind, match=sentence):
        make()


@pytest.mark.parametrize(
    ("settings", "kind", "sentence"),
    [
        ({"flow": None}, TypeError, "^flow = None is no MACFlow: give one; march takes periodic flows"),
        ({"span": 5.0}, TypeError, "^span = 5.0 is no interval"),
        ({"velocity": 1.0}, ValueError, "^velocity = 1.0: give 2 components on their faces"),
        ({"velocity": (1.0, 0.0, 0.0)}, ValueError, "give 2 components"),
        ({"scalar": 1.0}, ValueError, "^scalar is given, but the flow carries none"),
        ({"dt": "a"}, TypeError, "^dt = 'a' is no number"),
        ({"save_at": "a"}, TypeError, "^save_at = 'a' is not made of numbers"),
        ({"callback": 3}, TypeError, "^callback = 3 is no function"),
        ({"max_steps": 1.5}, TypeError, "^max_steps = 1.5 is no whole number"),
    ],
)
def test_what_cannot_be_marched_is_named(settings, kind, sentence):
    with pytest.raises(kind, match=sentence):
        march_mac(**{"flow": MACFlow((8, 8), (1.0, 1.0), 0.1, [STILL, STILL]), "span": (0.0, 0.1), **settings})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sides": [STILL, (Wall(), Wall(lambda t, x, y: np.sin(t)))]}, "velocity or force returned .*: return 2 components"),
        ({"sides": [STILL, (Wall(), Wall((lambda x, y: np.ones(3), 0.0)))]}, r"^Wall.velocity\[0\] has shape \(3,\) at points of shape"),
        ({"force": lambda t, x, y: 1.0}, "returned 1.0: return 2 components"),
        ({"force": (lambda x, y: np.ones(3), 0.0)}, r"^force\[0\] has shape \(3,\) at points of shape \(7, 8\)"),
        (
            {"scalar": CarriedScalar(0.1), "sides": [STILL, (Wall(), Wall(scalar=lambda t, x, y: np.ones(3)))]},
            r"^Wall.scalar has shape \(3,\)",
        ),
    ],
)
def test_functions_that_return_other_shapes_are_named(changes, sentence):
    flow = MACFlow(**{"shape": (8, 8), "extent": (1.0, 1.0), "viscosity": 0.1, "sides": [STILL, STILL], **changes})
    with pytest.raises(ValueError, match=sentence):
        march_mac(flow, (0.0, 0.1))


def test_a_history_prints_as_one_line():
    history = march_mac(MACFlow((8, 6), (1.0, 1.0), 0.1, [STILL, STILL]), (0.0, 0.1))
    assert repr(history) == f"MACHistory(SUCCESS, 8 x 6 cells, ts of shape (1,) up to t = 0.1, {history.steps} steps, rate = 0)"


def test_marches_that_make_no_sense():
    flow = MACFlow((8, 8), (1.0, 1.0), 0.1, [STILL, STILL])
    for settings, sentence in (
        ({"dt": 0.0}, "dt = 0.0"),
        ({"courant": 1.5}, "courant = 1.5"),
        ({"save_at": [2.0]}, "save_at"),
        ({"max_steps": 0}, "max_steps"),
        ({"velocity": [np.zeros((8, 8)), np.zeros((8, 9))]}, r"velocity\[0\] has shape \(8, 8\)"),
    ):
        with pytest.raises(ValueError, match=sentence):
            march_mac(flow, (0.0, 1.0), **settings)
    with pytest.raises(ValueError, match="is no interval"):
        march_mac(flow, (1.0, 0.0))
    with pytest.raises(TypeError, match="on a side of x"):
        MACFlow((8, 8), (1.0, 1.0), 0.1, [("wall", "wall"), STILL])
    through = Wall(lambda t, x, y: (1.0, 0.0))
    with pytest.raises(ValueError, match="no fluid passes a wall"):
        march_mac(MACFlow((8, 8), (1.0, 1.0), 0.1, [(through, Wall()), STILL]), (0.0, 1.0))
    solid = np.zeros((8, 8), bool)
    solid[0, 3] = True
    with pytest.raises(ValueError, match="solid touches the low side of x"):
        march_mac(MACFlow((8, 8), (1.0, 1.0), 0.1, [(Inflow((1.0, 0.0)), Outflow()), STILL], solid=solid), (0.0, 1.0))


def test_no_solid_no_force():
    states: list[MACState] = []
    march_mac(MACFlow((8, 8), (1.0, 1.0), 0.1, [STILL, STILL]), (0.0, 0.01), callback=states.append)
    with pytest.raises(ValueError, match="no solid"):
        states[-1].solid_force()
    with pytest.raises(ValueError, match="no scalar"):
        _ = states[-1].scalar


def test_a_flow_at_rest_stays_so_until_the_end():
    flow = MACFlow((8, 8), (1.0, 1.0), 0.1, [STILL, STILL])
    history = march_mac(flow, (0.0, 1.0), save_at=[0.5, 1.0])
    assert (history.status, history.ts.tolist(), history.rate) == (MACStatus.SUCCESS, [0.5, 1.0], 0.0)
    assert march_mac(flow, (0.0, 1.0), steady_rate=1e-6).status is MACStatus.STEADY


def test_docstrings_run():
    result = doctest.testmod(mac_march)
    assert (result.attempted > 2, result.failed) == (True, 0)


def test_no_divergence_where_a_force_sets_a_fluid_in_motion():
    """From rest in a closed channel with a sphere, where iterations have no velocity to measure by, and residuals add up in one cell."""
    x, y, z = np.meshgrid(*[(np.arange(n) + 0.5) / 16 for n in (24, 16, 16)], indexing="ij")
    sphere = (x - 0.5) ** 2 + (y - 0.5) ** 2 + (z - 0.5) ** 2 < 0.2**2
    flow = MACFlow((24, 16, 16), (1.5, 1.0, 1.0), 0.01, [FREE, STILL, FREE], force=(1.0, 0.0, 0.0), solid=sphere)
    found = []

    def note(state):
        found.append(np.abs(state.divergence).max() / 16 / max(np.abs(component).max() for component in state.velocity))

    history = march_mac(flow, (0.0, 1.0), max_steps=8, callback=note)
    assert history.info["pressure_iterations"] > 0
    assert max(found) < 1e-12
