"""Meshes, elimination order and mistakes of users in flows on triangles."""

from __future__ import annotations

import math
import re

import meshio
import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from numpy.typing import NDArray

from sciml.discretize.triangles import triangle_mesh
from sciml.errors import MeshError
from sciml.mesh import read_mesh
from solvers import SolverError
from solvers.elements import Circle, TriangleMesh, backward_facing_step, channel_with_cylinder, transfinite
from solvers.elements.dissection import nested_dissection
from solvers.elements.triangle import basis, basis_gradients, lattice, quadrature
from solvers.flow import Flow, FlowState, SteadyStatus, TaylorHood, steady_flow, unsteady_flow

SQUARE = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
CELLS = [[0, 1, 2], [0, 2, 3]]
RIM = {"rim": [[0, 1], [1, 2], [2, 3], [3, 0]]}
STILL = (0.0, 0.0)


def inflow(points: np.ndarray, time: float) -> np.ndarray:
    return np.stack([1.2 * points[:, 1] * (0.41 - points[:, 1]) / 0.41**2, 0 * points[:, 1]], axis=1)


def channel(n: int, viscosity: float = 1e-3, **changes) -> Flow:
    given = {"velocity": {"inlet": inflow, "walls": STILL, "cylinder": STILL}, "outflow": ("outlet",)} | changes
    return Flow(channel_with_cylinder(n), viscosity, **given)


@pytest.mark.parametrize("degree", [1, 2, 3, 4, 5])
def test_basis_and_quadrature(degree: int) -> None:
    nodes = lattice(degree)
    np.testing.assert_allclose(basis(degree, nodes[:, 1:]), np.eye(len(nodes)), atol=1e-11)
    points, weights = quadrature(2 * degree)
    x, y = points.T
    for a in range(degree + 1):
        for b in range(degree + 1):  # int x^a y^b = a! b! / (a + b + 2)!
            exact = math.factorial(a) * math.factorial(b) / math.factorial(a + b + 2)
            assert weights @ (x**a * y**b) == pytest.approx(exact, rel=1e-12)
    step = 1e-6
    for axis in (0, 1):
        shift = step * np.eye(2)[axis]
        slope = (basis(degree, points + shift) - basis(degree, points - shift)) / (2 * step)
        np.testing.assert_allclose(basis_gradients(degree, points)[:, axis], slope, atol=1e-7)


def test_the_generators_fill_their_domains() -> None:
    cylinder = channel_with_cylinder(5)
    assert {name: len(edges) for name, edges in cylinder.parts.items()} == {"inlet": 9, "outlet": 9, "walls": 44, "cylinder": 20}
    on_circle = cylinder.points[np.unique(cylinder.edges[cylinder.part("cylinder")])]
    np.testing.assert_allclose(np.linalg.norm(on_circle - 0.2, axis=1), 0.05, rtol=1e-14)
    space = TaylorHood.of(cylinder, 4).velocity
    assert space.at_quadrature(8).weights.sum() == pytest.approx(2.2 * 0.41 - np.pi * 0.05**2, rel=1e-6)
    step = backward_facing_step(3, length=6.0)
    assert TaylorHood.of(step, 2).velocity.at_quadrature(2).weights.sum() == pytest.approx(6.0, rel=1e-13)
    lengths = {name: np.linalg.norm(np.diff(step.points[step.edges[edges]], axis=1), axis=2).sum() for name, edges in step.parts.items()}
    assert lengths == pytest.approx({"step": 0.5, "inlet": 0.5, "outlet": 1, "lower_wall": 6, "upper_wall": 6})


def test_transfinite_interpolation_reproduces_bilinear_maps() -> None:
    s, t = np.meshgrid(np.linspace(0, 1, 5), np.linspace(0, 1, 4), indexing="ij")
    points = np.stack([2 * s + 0.3 * s * t, t - 0.5 * s * t + 0.1 * s], axis=-1)
    np.testing.assert_allclose(transfinite(points[:, 0], points[:, -1], points[0], points[-1]), points, atol=1e-14)


def test_nested_dissection_eliminates_halves_before_what_separates_them() -> None:
    spaces = TaylorHood.of(channel_with_cylinder(5), 2)
    centres = spaces.velocity.geometry.nodes[:, :3].mean(axis=1)
    rank, level = nested_dissection(centres, spaces.cells, spaces.n)
    cut = np.flatnonzero(level == 0)
    assert 0 < len(cut) < 0.1 * spaces.n
    assert rank[cut].min() > np.delete(rank, cut).max()
    # without the outermost separator the unknowns fall apart into halves
    matrix = spaces.jacobian(1.0)
    rest = np.flatnonzero(level > 0)
    pieces, owner = sp.csgraph.connected_components(matrix[rest][:, rest])
    assert pieces >= 2
    assert np.bincount(owner).max() < 0.6 * len(rest)


def test_the_order_keeps_the_factors_smaller_than_column_minimum_degree() -> None:
    result = steady_flow(channel(6)).raise_for_status()
    spaces = result.state.spaces
    fixed = np.unique(np.concatenate([spaces.velocity.nodes_on(part) for part in ("inlet", "walls", "cylinder")]))
    free = np.setdiff1d(np.arange(spaces.n), np.concatenate([fixed, spaces.velocity.n + fixed]))
    assert result.unknowns == len(free)
    columns = spla.splu(spaces.jacobian(1e-3, result.state.velocity)[free][:, free].tocsc())
    assert result.fill < 0.75 * (columns.L.nnz + columns.U.nnz)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"points": SQUARE[:, :1]}, "must be"),
        ({"points": np.where(SQUARE > 0.5, np.nan, SQUARE)}, "not finite"),
        ({"triangles": [[0, 1, 2], [0, 2, 4]]}, "node numbers go from 0 to 4"),
        ({"triangles": [[0, 1, 2]], "parts": {"rim": [[0, 1], [1, 2], [2, 0]]}}, "belong to no triangle"),
        ({"triangles": [[0, 1, 2], [0, 3, 2]]}, "1 of 2 cells are inverted"),
        ({"parts": {"rim": RIM["rim"][:3]}}, "1 boundary edges are in no part"),
        ({"parts": {**RIM, "again": [[0, 1]]}}, "1 in more than one"),
        ({"parts": {**RIM, "inner": [[0, 2]]}}, "edges inside the domain"),
        ({"parts": {"rim": [*RIM["rim"], [1, 3]]}}, "not sides of a triangle"),
        ({"curves": {"hole": Circle((0, 0), 1)}}, "no part 'hole'; the mesh has rim"),
        ({"curves": {"rim": Circle((0, 0), 1)}}, "off its curve"),
    ],
)
def test_bad_meshes_are_refused(changes: dict, sentence: str) -> None:
    given = {"points": SQUARE, "triangles": CELLS, "parts": RIM} | changes
    with pytest.raises(ValueError, match=sentence):
        TriangleMesh.build(**given)


def test_a_curve_that_turns_cells_inside_out_is_refused() -> None:
    def far(points: np.ndarray) -> np.ndarray:  # keeps the corners and pulls the middle of the lower side through the cell
        return points + np.stack([0 * points[:, 0], 40 * points[:, 0] * (1 - points[:, 0])], axis=1) * (points[:, 1:] < 1e-9)

    rim = {"low": [[0, 1]], "rest": RIM["rim"][1:]}
    mesh = TriangleMesh.build(SQUARE, CELLS, rim, {"low": far})
    with pytest.raises(ValueError, match="inverted or flat"):
        TaylorHood.of(mesh, 2)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"viscosity": -1e-3}, "viscosity is -0.001; it must be positive"),
        ({"viscosity": math.nan}, "viscosity is nan"),
        ({"velocity": {"inlet": inflow, "walls": STILL}}, "says nothing of cylinder"),
        ({"velocity": {"inlet": inflow, "walls": STILL, "sphere": STILL}}, "no boundary part 'sphere'; its parts are cylinder, inlet, out"),
        ({"outflow": ("outlet", "walls")}, "a part has one of the two"),
        ({"velocity": {"inlet": (1.0, 0.0, 0.0), "walls": STILL, "cylinder": STILL}}, r"velocity\['inlet'\] = .*: give two finite numbers"),
        ({"velocity": {"inlet": (math.nan, 0.0), "walls": STILL, "cylinder": STILL}}, r"velocity\['inlet'\]\[0\] = nan"),
    ],
)
def test_bad_flows_are_refused(changes: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        channel(2, **changes)


@pytest.mark.parametrize(
    ("slip", "sentence"),
    [
        (lambda: channel(2, "a"), "^viscosity = 'a' is no number"),
        (
            lambda: channel(2, velocity={"inlet": 1.0, "walls": STILL, "cylinder": STILL}),
            r"^velocity\['inlet'\] = 1.0: give two finite numbers",
        ),
        (lambda: channel(2, velocity=[STILL]), "^velocity = .*: give a dict of boundary parts"),
        (lambda: channel(2, outflow="outlet"), r"^outflow = 'outlet': give a tuple of boundary parts"),
        (lambda: Flow(3, 1e-3, {}), "^mesh = 3 is no mesh"),
        (lambda: Flow(channel_with_cylinder(2), 1e-3, {}, force=(1.0, 0.0)), "^force = .* is no function"),
        (lambda: steady_flow(None), "^flow = None is no flow on triangles"),
        (lambda: unsteady_flow(None, (0.0, 1.0), 0.1), "^flow = None is no flow on triangles"),
        (lambda: unsteady_flow(channel(2), 5.0, 0.1), "^t_span = 5.0 is no interval"),
        (lambda: unsteady_flow(channel(2), (0.0, 1.0), "a"), "^dt = 'a' is no number"),
        (lambda: steady_flow(channel(2), degree=2.5), "^degree = 2.5 is no whole number"),
        (lambda: steady_flow(channel(2), viscosities=5.0), "^viscosities = 5.0: give them in a list"),
        (lambda: steady_flow(channel(2), guess=3), "^guess = 3 is no state"),
    ],
)
def test_things_of_another_kind_are_named(slip, sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        slip()


def test_a_force_of_another_shape_is_named() -> None:
    with pytest.raises(ValueError, match=r"force at time 0 has shape \(\) instead of"):
        steady_flow(channel(2, force=lambda points, time: 1.0), degree=2)


def test_results_print_as_one_line() -> None:
    found = steady_flow(channel(2), degree=2)
    assert re.fullmatch(r"SteadyFlow\(SUCCESS at viscosity 0.001, residual \S+ after \d iterations, \d+ unknowns\)", repr(found))
    assert re.fullmatch(
        r"FlowState\(viscosity 0.001, time 0, speeds up to \S+, TaylorHood\(degree 2, \d+ triangles, \d+ unknowns\)\)", repr(found.state)
    )
    assert "parts cylinder, inlet, outlet, walls" in repr(channel_with_cylinder(2))
    moving = unsteady_flow(channel(2), (0.0, 0.02), 0.01, degree=2)
    assert re.fullmatch(r"UnsteadyFlow\(SUCCESS, 2 steps up to t = 0.02, \d+ unknowns, .*\)", repr(moving))


@pytest.mark.parametrize(
    ("velocity", "sentence"),
    [(lambda p, t: np.full(p.shape, np.nan), "at time 0 is not finite"), (lambda p, t: p[:, 0], "has shape")],
)
def test_bad_boundary_velocities_are_refused(velocity, sentence: str) -> None:
    flow = channel(2, velocity={"inlet": velocity, "walls": STILL, "cylinder": STILL})
    with pytest.raises(ValueError, match=sentence):
        steady_flow(flow, degree=2)


def test_an_enclosed_flow_that_gains_fluid_is_refused() -> None:
    flow = channel(3, velocity={"inlet": inflow, "walls": STILL, "cylinder": STILL, "outlet": (0.1, 0.0)}, outflow=())
    with pytest.raises(ValueError, match=r"net outflow of the enclosed domain is -0\.04.*outlet 0\.041"):
        steady_flow(flow, degree=2)


def test_an_enclosed_flow_that_is_balanced_is_solved() -> None:
    flow = channel(3, velocity={"inlet": inflow, "walls": STILL, "cylinder": STILL, "outlet": inflow}, outflow=())
    state = steady_flow(flow, degree=2).raise_for_status().state
    assert state.flux("outlet") == pytest.approx(0.2 * 0.41, rel=1e-12)
    assert abs(state.spaces.pressure_shares @ state.pressure) < 1e-15
    assert state.wall_force("cylinder")[0] * 500 == pytest.approx(5.58, rel=5e-3)  # far from the outlet nothing changes


def test_newton_that_diverges_says_where_and_keeps_the_last_good_flow() -> None:
    result = steady_flow(channel(2, 1e-6), degree=2, viscosities=(2e-3,), maxiter=8)
    assert result.status is SteadyStatus.DIVERGED
    assert result.state.viscosity == 2e-3
    assert np.isfinite(result.state.velocity).all()
    with pytest.raises(SolverError, match=r"at viscosity 1e-06, .*the flow of viscosity 0\.002"):
        result.raise_for_status()
    good = steady_flow(channel(2, 2e-3), degree=2).raise_for_status().state
    np.testing.assert_allclose(result.state.velocity, good.velocity, atol=1e-9)


def test_streamfunction_vorticity_and_separation_of_a_known_velocity() -> None:
    """psi = sin(2 x) (y - y^2)^2 vanishes at both walls, whose shear psi_yy = 2 sin(2 x) changes its sign at pi/2, pi ...

    Cubic velocities: order 4 in the streamfunction and the velocity, 3 in what takes a derivative.
    """

    def psi(p: np.ndarray) -> np.ndarray:
        return np.sin(2 * p[:, 0]) * (p[:, 1] - p[:, 1] ** 2) ** 2

    def velocity(p: np.ndarray) -> np.ndarray:
        x, y = p.T
        bump = y - y**2
        return np.stack([2 * np.sin(2 * x) * bump * (1 - 2 * y), -2 * np.cos(2 * x) * bump**2], axis=1)

    def vorticity(p: np.ndarray) -> np.ndarray:
        bump = p[:, 1] - p[:, 1] ** 2
        return np.sin(2 * p[:, 0]) * (4 * bump**2 - 2 * (1 - 2 * p[:, 1]) ** 2 + 4 * bump)

    points = np.random.default_rng(1).uniform((0, 0), (6, 1), (400, 2))
    errors = []
    for n in (6, 12):
        spaces = TaylorHood.of(backward_facing_step(n, length=6.0), 3)
        u = velocity(spaces.velocity.coordinates)
        state = FlowState(spaces, 1.0, 0.0, u, np.zeros(spaces.pressure.n), np.zeros_like(u))
        walls = [state.separation_points(wall) - np.pi / 2 * np.arange(1, 4) for wall in ("lower_wall", "upper_wall")]
        errors.append(
            [
                np.abs(state.streamfunction("lower_wall") - psi(spaces.velocity.coordinates)).max(),
                np.abs(state.velocity_at(points) - velocity(points)).max(),
                np.abs(state.vorticity_at(points) - vorticity(points)).max(),
                np.abs(walls).max(),
            ]
        )
    rates = np.log2(np.array(errors[0]) / errors[1])
    assert (rates > (3.6, 3.6, 2.6, 2.6)).all(), (rates, errors)
    assert (np.array(errors[1]) < (1e-5, 1e-4, 5e-3, 1e-3)).all(), errors
    assert np.isnan(state.pressure_at([[-0.1, 0.5], [3.0, 1.1]])).all()


def test_damped_steps_lead_where_full_ones_diverge() -> None:
    """From Re 400 to 600 behind a step on a mesh this coarse, full Newton steps go astray."""

    def parabola(points: np.ndarray, time: float) -> np.ndarray:
        return np.stack([24 * (points[:, 1] - 0.5) * (1 - points[:, 1]), 0 * points[:, 1]], axis=1)

    walls = dict.fromkeys(("step", "lower_wall", "upper_wall"), STILL)
    flow = Flow(backward_facing_step(4), 1 / 600, {**walls, "inlet": parabola}, ("outlet",))
    result = steady_flow(flow, degree=2, viscosities=(1 / 100, 1 / 200, 1 / 400)).raise_for_status()
    norms = np.array(result.residual_norms[-1])
    assert (norms[1:] < norms[:-1]).all()
    assert len(norms) > 8


@pytest.mark.parametrize(
    ("options", "sentence"),
    [({"degree": 1}, "at least 2"), ({"viscosities": (1e-4,)}, "must descend"), ({"viscosities": (0.1, 0.1)}, "must descend")],
)
def test_bad_options_are_refused(options: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        steady_flow(channel(2), **options)


def test_continuation_and_guesses_lead_to_the_same_flow() -> None:
    direct = steady_flow(channel(3), degree=2).raise_for_status()
    staged = steady_flow(channel(3), degree=2, viscosities=(4e-3, 2e-3)).raise_for_status()
    np.testing.assert_allclose(staged.state.velocity, direct.state.velocity, atol=1e-9)
    assert staged.viscosities == (4e-3, 2e-3, 1e-3)
    spaces = direct.state.spaces
    again = steady_flow(Flow(spaces.velocity.geometry.mesh, 1e-3, channel(3).velocity, ("outlet",)), spaces=spaces, guess=direct.state)
    assert len(again.residual_norms[0]) == 1
    with pytest.raises(ValueError, match="other spaces"):
        steady_flow(channel(3), degree=2, guess=direct.state)


def test_a_mesh_file_with_named_boundaries_gives_the_same_flow(tmp_path) -> None:
    own = channel_with_cylinder(3)
    names = list(own.parts)
    lines = np.concatenate([own.edges[own.parts[name]] for name in names])
    groups = [np.repeat(np.arange(1, 5), [len(own.parts[name]) for name in names]), np.full(len(own.triangles), 9)]
    file = meshio.Mesh(
        np.pad(own.points, ((0, 0), (0, 1))),
        [("line", lines), ("triangle", own.triangles)],
        cell_data={"gmsh:physical": groups, "gmsh:geometrical": groups},
        field_data={name: np.array([k + 1, 1]) for k, name in enumerate(names)} | {"fluid": np.array([9, 2])},
    )
    meshio.write(tmp_path / "channel.msh", file, file_format="gmsh22", binary=False)
    mesh = read_mesh(tmp_path / "channel.msh")
    triangles = triangle_mesh(mesh, {"cylinder": Circle((0.2, 0.2), 0.05)})
    flow = Flow(triangles, 1e-3, {"inlet": inflow, "walls": STILL, "cylinder": STILL}, ("outlet",))
    forces = [steady_flow(f, degree=2).raise_for_status().state.wall_force("cylinder") for f in (flow, channel(3))]
    np.testing.assert_allclose(*forces, rtol=1e-8)
    with pytest.raises(MeshError, match=r"'channel\.msh': curves: there is no part 'wing'; the mesh has cylinder, inlet"):
        triangle_mesh(mesh, {"wing": Circle((0, 0), 1)})


def test_a_mesh_of_tetrahedra_is_refused(box_mesh) -> None:
    with pytest.raises(MeshError, match="3 dimensions"):
        triangle_mesh(box_mesh(3, 1))


def test_fluid_at_rest_is_set_in_motion_at_once_by_steps_of_any_length() -> None:
    """The factors of the first guess, which moves at the sides alone, lead Newton's method nowhere; long steps of Euler's come to rest."""

    def inflow(points: NDArray[np.float64], time: float) -> NDArray[np.float64]:
        y = points[:, 1]
        return np.stack([1.2 * y * (0.41 - y) / 0.41**2, 0 * y], axis=1)

    flow = Flow(channel_with_cylinder(4), 1e-3, {"inlet": inflow, "walls": (0, 0), "cylinder": (0, 0)}, ("outlet",))
    steady = steady_flow(flow, degree=2).raise_for_status().state
    for dt in (1.0, 5.0):
        state = unsteady_flow(flow, (0.0, 25 * dt), dt, degree=2, order=1).raise_for_status().state
        np.testing.assert_allclose(state.velocity, steady.velocity, atol=1e-5)
