"""One time step of a flow on a staggered grid, and what can be asked of its state."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from solvers.flow.mac import kernels
from solvers.flow.mac.flow import MACFlow
from solvers.flow.mac.pressure import PressureSolver
from solvers.flow.mac.sides import SideValues, component, kinds, pressure_sides, spread
from solvers.flow.mac.solids import Solids

Array = NDArray[np.float64]
_DECAY, _WEIGHT, _TIME = (0.0, -5 / 9, -153 / 128), (1 / 3, 15 / 16, 8 / 15), (1 / 3, 3 / 4, 1.0)
#: Net flow through sides that are all prescribed, over the flow through them, that is left to rounding.
_BALANCED = 1e-10
#: Root mean square of divergence times cell size over velocity that iterations may leave; relative residual of a pressure asked for.
_DIVERGENCE, _ACCURACY = 5e-14, 1e-12
#: The same of a divergence that no pressure can remove.
_CUT_OFF = 1e-8
_TINY = float(np.finfo(float).tiny)


class Imbalance(Exception):
    """By how much the sides do not balance, as a sentence."""


class Stepper:
    """The state of a flow, advanced in place; only transforms, factorised solves and a caller's functions allocate.

    Parameters
    ----------
    flow : the problem.
    t : time of the state.
    velocity : components on their faces; None is at rest.
    scalar : broadcast to the cells.
    """

    def __init__(self, flow: MACFlow, t: float, velocity: Sequence[Array] | None, scalar: Array) -> None:
        self.flow, self.t = flow, t
        d = flow.dimension
        self.missing = 3 - d
        carried = flow.scalar is not None
        layers = (1,) * self.missing + tuple(n + 2 for n in flow.shape)
        self.sizes = np.array((1,) * self.missing + tuple(flow.shape))
        self.kinds = kinds(flow.sides, carried)
        self.u, self.spare, self.other = (np.zeros((d + carried, *layers)) for _ in range(3))
        self.tendency = np.zeros_like(self.u)
        self.first = np.ones((d + carried, 3), np.int64)
        self.last = np.tile(self.sizes + 1, (d + carried, 1))
        self.first[:, : self.missing], self.last[:, : self.missing] = 0, 1
        for c in range(d):  # the face on a high side is no unknown where its velocity is given
            self.last[c, c + self.missing] -= self.kinds[c, c + self.missing, 1] == kernels.VALUE
        self.scales = np.array((0.0,) * self.missing + tuple(1 / h for h in flow.spacing))
        self.coefficients = self._coefficients()
        self.force = np.zeros((0, 1, 1, 1))
        self.positions = [self._positions(c) for c in range(d + carried)]
        self.values = SideValues(flow.sides, self.positions, flow.extent, t)
        self.solids = None if flow.solid is None else Solids(flow.solid, self.u.shape, self.first, self.last, self.kinds, self._friction())
        self.pressure = PressureSolver(flow.shape, flow.spacing, pressure_sides(flow.sides), flow.solid)
        self.rhs = np.zeros(tuple(self.sizes))
        self.lanes = np.zeros((d + carried, self.u.shape[3]))
        self.speeds = np.zeros(d)
        self.rate, self.dt, self.finite = 0.0, 1.0, True
        self._force_set = False
        if velocity is not None:
            for c, values in enumerate(velocity):
                self.faces(c)[...] = values
        if carried:
            self.scalar[...] = np.broadcast_to(scalar, flow.shape)

    def _coefficients(self) -> Array:
        flow, table = self.flow, np.zeros((self.u.shape[0], 8))
        table[:, self.missing : 3] = 0.25 * self.scales[self.missing :]
        table[:, 3 + self.missing : 6] = flow.viscosity * self.scales[self.missing :] ** 2
        if flow.scalar is not None:
            table[-1, 3 + self.missing : 6] = flow.scalar.diffusivity * self.scales[self.missing :] ** 2
            table[: flow.dimension, 7] = flow.scalar.buoyancy or 0.0
        return table

    def _friction(self) -> Array:
        """Rate at which a wall half a cell away across each axis slows a face down, beyond what a face at rest one cell away does."""
        return self.flow.viscosity * self.scales**2

    def _positions(self, c: int) -> list[Array]:
        """Coordinates of all layers of a component along each axis of the grid."""
        shift = [1.0 if axis == c else 0.5 for axis in range(self.flow.dimension)]
        layers = zip(self.flow.shape, self.flow.spacing, shift, strict=True)
        return [h * (np.arange(n + 2.0) - 1 + offset) for n, h, offset in layers]

    @property
    def _cells(self) -> tuple[slice, ...]:
        return tuple(slice(0, 1) if axis < self.missing else slice(1, -1) for axis in range(3))

    def faces(self, c: int) -> Array:
        """A component on its n + 1 faces along its own axis, a view of the grid's dimension."""
        slices = list(self._cells)
        slices[c + self.missing] = slice(0, -1)
        view = self.u[c][tuple(slices)]
        return view[0] if self.missing else view

    @property
    def scalar(self) -> Array:
        """The carried scalar in the centres, a view of the grid's dimension."""
        if self.flow.scalar is None:
            raise ValueError("the flow carries no scalar: give MACFlow(scalar=CarriedScalar(...))")
        view = self.u[self.flow.dimension][self._cells]
        return view[0] if self.missing else view

    def find_divergence(self) -> Array:
        kernels.divergence(self.u, self.scales, self.rhs)
        return -self.rhs.reshape(self.flow.shape)

    def project_start(self) -> None:
        """Make the first state fit its sides and divergence-free."""
        if self.pressure.closed:
            self._refuse_imbalance(self.t)
        if self.solids is not None:
            self.solids.refuse_inflow(self.values)
            kernels.close_faces(self.u.reshape(-1), self.solids.closed)
        np.maximum(np.abs(self.u[: self.flow.dimension]).max(axis=(1, 2, 3)), self.values.largest, out=self.speeds)
        self._project(self.u, 0.0, self.t)
        self.finite = self._survey(self.u)
        if self.finite and self.solids is not None:
            left = float(np.abs(self.find_divergence()).max())
            if left > _CUT_OFF * float(self.speeds.max() * self.scales.max()):
                raise Imbalance("solids cut an inflow off from every outflow: leave a way through, or set its velocity to 0")

    def largest_step(self) -> float:
        return self.flow.largest_step(self.speeds)

    def step(self, dt: float, t1: float, *, measure: bool = False) -> bool:
        """Advance to t1; False where the new state is not finite, which leaves the old one in place.

        `measure` notes in `rate` how fast the old state changed: the first stage is an explicit Euler step.
        """
        begun, t0 = self.u, self.t
        source = begun
        for stage, target in enumerate((self.spare, self.other, self.spare)):
            self._set_force(t0 + (dt * _TIME[stage - 1] if stage else 0.0))
            weight = _WEIGHT[stage] * dt
            self.advance(target, source, _DECAY[stage], weight)
            self._project(target, weight, t1 if stage == 2 else t0 + _TIME[stage] * dt)
            if stage == 0 and measure:
                change = kernels.largest_change(target, source, self.first, self.last) / weight
            source = target
        if not self._survey(source):
            self.forget_step()
            return False
        self.u, self.spare, self.t, self.dt = source, begun, t1, dt
        if measure:
            self.rate = change / max(float(self.speeds.max()), _TINY)
        return True

    def forget_step(self) -> None:
        """Clean up after a step that failed: the state is the one before it."""
        self.values.update(self.t)
        self.tendency.fill(0.0)  # what is not finite there would outlive a factor of zero

    def advance(self, target: Array, source: Array, decay: float, weight: float) -> None:
        """``tendency = decay tendency + F(source)``, ``target = source + weight tendency``, neither projected nor with its sides."""
        factors = (decay, weight)
        kernels.advance(target, source, self.tendency, self.force, self.first, self.last, self.coefficients, factors)
        kernels.resist_backflow(
            target, source, self.tendency, weight, self.kinds, self.sizes, self.first, self.last, self.scales
        )  # fmt: skip
        if self.solids is not None:
            flat = (target.reshape(-1), source.reshape(-1), self.tendency.reshape(-1))
            kernels.block(*flat, weight, self.solids.walls, self.solids.drags, self.solids.closed)

    def _set_force(self, t: float) -> None:
        """Force at time t: numbers go into the coefficients, fields into an array of their own."""
        flow, d = self.flow, self.flow.dimension
        if callable(flow.force) or not self._force_set:
            self._force_set = True
            for c in range(d):
                where = self._unknown_positions[c]
                given = component(flow.force, c, d, t, where)
                value, varies = spread(f"force[{c}]", given, where), np.ndim(given) > 0
                self.coefficients[c, 6] = 0.0 if varies else given
                if varies and self.force.shape[0] == 0:
                    self.force = np.zeros_like(self.u)
                if self.force.shape[0]:
                    self.force[c][self._unknowns(c)] = value if varies else 0.0

    def _unknowns(self, c: int) -> tuple[slice, ...]:
        return tuple(slice(int(a), int(b)) for a, b in zip(self.first[c], self.last[c], strict=True))

    @cached_property
    def _unknown_positions(self) -> list[list[Array]]:
        """Coordinates of the unknowns of each component, ready to broadcast."""
        d, found = self.flow.dimension, []
        for c in range(d):
            along = [self.positions[c][axis][self._unknowns(c)[axis + self.missing]] for axis in range(d)]
            found.append([values.reshape((1,) * axis + (-1,) + (1,) * (d - axis - 1)) for axis, values in enumerate(along)])
        return found

    def _project(self, u: Array, weight: float, t: float) -> None:
        """Set the sides of u for time t and make it divergence-free."""
        if self.values.update(t) and self.pressure.closed:
            self._refuse_imbalance(t)
        kernels.fill_sides(u, self.kinds, self.sizes, self.values.arrays, True)
        kernels.divergence(u, self.scales, self.rhs)
        allowed = _DIVERGENCE * float(self.speeds.max() * self.scales.max()) * self.rhs.size**0.5
        psi = self.pressure.solve(self.rhs.reshape(self.flow.shape), weight, allowed).reshape(self.rhs.shape)
        kernels.subtract_gradient(u, psi, self.kinds, self.scales)
        if self.solids is not None:
            kernels.close_faces(u.reshape(-1), self.solids.closed)
        kernels.fill_sides(u, self.kinds, self.sizes, self.values.arrays, False)

    def _survey(self, u: Array) -> bool:
        """Note the largest speeds of u; whether it is finite."""
        energy = kernels.survey(u, self.first, self.last, self.lanes)
        d = self.flow.dimension
        np.maximum(self.lanes[:d].max(axis=1), self.values.largest, out=self.speeds)
        return bool(np.isfinite(energy))

    def _refuse_imbalance(self, t: float) -> None:
        inflow, outflow = self.values.flow_through(self.flow.spacing)
        if abs(inflow - outflow) > _BALANCED * max(inflow, outflow):
            raise Imbalance(
                f"{inflow:.8g} flows in through the sides at t = {t:.6g} and {outflow:.8g} out, a difference of {inflow - outflow:.3g}: "
                "balance their velocities, or let one side be an Outflow"
            )

    def rate_now(self) -> float:
        """Largest ``|du/dt|`` over the largest velocity, with the sides as they are."""
        self._set_force(self.t)
        self.advance(self.other, self.u, 0.0, 1.0)
        self._project(self.other, 1.0, self.t)
        return float(kernels.largest_change(self.other, self.u, self.first, self.last)) / max(float(self.speeds.max()), _TINY)

    @property
    def _normal_kinds(self) -> NDArray[np.int64]:
        """What happens on the sides of each axis to the component along it, shape (3, 2)."""
        return np.stack([self.kinds[max(axis - self.missing, 0), axis] for axis in range(3)])

    def find_pressure(self) -> Array:
        """The pressure of the state, from its velocity, of the grid's shape."""
        self._set_force(self.t)
        self.advance(self.other, self.u, 0.0, 1.0)
        rates = self.values.rates(self.t, 1e-2 * self.dt)
        kernels.fill_sides(self.tendency, self.kinds, self.sizes, rates, True)
        kernels.divergence(self.tendency, self.scales, self.rhs)
        rhs = self.rhs.reshape(self.flow.shape)
        pressure = self.pressure.solve(rhs, 1.0, _ACCURACY * float(np.linalg.norm(rhs))).copy()
        fluid = np.ones(self.flow.shape, bool) if self.flow.solid is None else ~self.flow.solid
        if self.pressure.closed:
            pressure -= pressure[fluid].mean()
        pressure[~fluid] = 0.0
        return pressure

    def find_solid_force(self, pressure: Array) -> Array:
        """Force of the fluid on all solids: the momentum that closed faces would have taken up, had they been free.

        With the flux form every face gives what its neighbour gets: this sum and the fluxes through the sides are the whole balance.
        """
        if self.solids is None:
            raise ValueError("the flow has no solid, hence none that a force acts on: give MACFlow(solid=...)")
        flow, d = self.flow, self.flow.dimension
        free = self.coefficients.copy()
        free[:, 6:] = 0.0
        kernels.advance(self.other, self.u, self.tendency, self.force[:0], self.first, self.last, free, (0.0, 1.0))
        padded = np.zeros(self.u.shape[1:])
        padded[self._cells] = pressure.reshape(tuple(self.sizes))
        kernels.fill_cells(padded, self._normal_kinds, self.sizes)
        taken = self.solids.split(self.tendency.reshape(-1)[self.solids.closed], 0)
        rubbed = self.solids.split(self.solids.drags * self.u.reshape(-1)[self.solids.walls], 1)
        faces = self.solids.split(self.solids.closed, 0)
        force = np.zeros(d)
        for c in range(d):
            axis = c + self.missing
            gradient = (np.roll(padded, -1, axis) - padded) * self.scales[axis]
            inside = faces[c] - c * padded.size
            force[c] = taken[c].sum() + rubbed[c].sum() - gradient.reshape(-1)[inside].sum()
        return force * float(np.prod(flow.spacing))


class MACState:
    """A state during a march: what a callback gets. Its arrays are views that the next step overwrites."""

    def __init__(self, stepper: Stepper) -> None:
        self._stepper = stepper

    @property
    def t(self) -> float:
        return self._stepper.t

    @property
    def velocity(self) -> tuple[Array, ...]:
        """Components on their faces."""
        return tuple(self._stepper.faces(c) for c in range(self._stepper.flow.dimension))

    @property
    def scalar(self) -> Array:
        """The carried scalar in the centres."""
        return self._stepper.scalar

    @property
    def divergence(self) -> Array:
        """In the cells; zero to rounding."""
        return self._stepper.find_divergence()

    def pressure(self) -> Array:
        """In the centres; costs one solve."""
        return self._stepper.find_pressure()

    def solid_force(self) -> Array:
        """Force on all solids together, one component an axis; costs one solve."""
        return self._stepper.find_solid_force(self._stepper.find_pressure())
