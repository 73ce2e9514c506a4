"""Decaying turbulence in the plane: what must fall does, energy goes as viscosity takes it, and vortices grow at the cost of small scales.

Without forcing ``dE/dt = -2 nu Z`` and ``dZ/dt = -2 nu P``, P being the palinstrophy ``<|grad w|^2> / 2``. The centroid of the energy
spectrum moves to longer waves, since the enstrophy goes faster than the energy (McWilliams, J. Fluid Mech. 146 (1984)). A steep spectrum
between k^-3, the cascade of enstrophy (Kraichnan, Phys. Fluids 10 (1967)), and k^-6 is what such flows show; it is drawn, not gated.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from sciml.fields import McWilliamsVorticity
from sciml.grid import Grid
from solvers.flow import VorticityFlow, march
from validation.figures import field, lines
from validation.options import check_between

Array = NDArray[np.float64]
SIDE, END, INTERVALS, NU = 2 * np.pi, 10.0, 1000, 1 / 500
ENERGY, ENSTROPHY, BALANCE = "dE/dt = -2 nu Z", "dZ/dt = -2 nu P", "Z / E falls where energy goes to longer waves"


def run(*, resolution: int = 128, seed: int = 0) -> CheckReport:
    """A flow of McWilliams' law with nu = 1/500 from t = 0.5, when its finest scales are gone, to t = 10.5."""
    check_between("resolution", resolution, 96, 512)
    check_between("seed", seed, 0, 2**63 - 1)
    began = time.perf_counter()
    grid = Grid((resolution, resolution), (SIDE, SIDE))
    flow = VorticityFlow((resolution, resolution), (SIDE, SIDE), NU)
    w0 = McWilliamsVorticity(peak=4.0).sample(grid, np.random.default_rng(seed))
    start = march(flow, flow.to_state(w0), 0.5).raise_for_status().states[-1]
    times = END * np.arange(1, INTERVALS + 1) / INTERVALS
    states = np.array([start, *march(flow, start, times.tolist(), dt=END / INTERVALS / 4).raise_for_status().states])
    energy, enstrophy = flow.energy(states), flow.enstrophy(states)
    palinstrophy = (flow.mode_energies(states) * flow.squares**2).sum(axis=(-2, -1))
    clock = 0.5 + np.append(0.0, times)
    checks = [*judge(energy, enstrophy, palinstrophy), _order(flow, start)]
    k, spectra = flow.spectrum(states[[0, -1]])
    shown = k <= flow.largest[0]
    curves = {f"t = {t:g}": (k[shown], e[shown]) for t, e in zip((0.5, 0.5 + END), spectra, strict=True)}
    slope = (*cascade(k[shown], spectra[0][shown]), "dashed")
    shares = {name: (clock, held / held[0]) for name, held in (("energy", energy), ("enstrophy", enstrophy))}
    figures = [
        lines("Spectrum of energy", "wavenumber", "E(k)", {**curves, "slope k^-3": slope}, log="xy"),
        lines("Energy and enstrophy over their start", "time", "share", shares),
        field("Vorticity at t = 10.5", "vorticity", grid.centers(0), grid.centers(1), flow.to_vorticity(states[-1]).T),
    ]
    return CheckReport("decaying-turbulence", checks, time.perf_counter() - began, {"figures": figures})


def cascade(k: Array, spectrum: Array) -> tuple[Array, Array]:
    """A line of slope -3 that touches the spectrum from above, from its peak on."""
    peak = int(spectrum.argmax())
    level = float((spectrum[peak:] * k[peak:] ** 3).max())
    return k[peak:], level * k[peak:] ** -3.0


def judge(energy: Array, enstrophy: Array, palinstrophy: Array) -> list[Check]:
    """Checks of the three at equally spaced times of a flow of viscosity `NU`, shape (INTERVALS + 1,) each."""
    drops = {"energy": (energy, 2 * NU * enstrophy, ENERGY, 1e-7), "enstrophy": (enstrophy, 2 * NU * palinstrophy, ENSTROPHY, 1e-6)}
    checks = []
    for name, (held, loss, law, gate) in drops.items():
        rise = float(np.diff(held).max())
        checks.append(Check(f"{name}: largest change from one state to the next", rise, "<=", 0.0, reference=law, status="exact"))
        checks.append(
            Check(f"{name}: defect of the budget over what is lost", _defect(held, loss), "<=", gate, reference=law, status="exact")
        )
    fall = float(enstrophy[-1] / energy[-1] / (enstrophy[0] / energy[0]))
    return [*checks, Check("enstrophy over energy, at the end over at the start", fall, "<=", 1.0, reference=BALANCE, status="exact")]


def _order(flow: VorticityFlow, start: Array) -> Check:
    """Of the steps, from differences of three runs over half a unit of time; the longest step is about half of what is stable."""
    dt = 1.6 / flow.shape[0]
    one, two, four = (march(flow, start, 0.5, dt=dt / factor).raise_for_status().states[-1] for factor in (1, 2, 4))
    order = float(np.log2(np.linalg.norm(one - two) / np.linalg.norm(two - four)))
    name = f"order in time, steps {dt:.3g} to {dt / 4:.3g}"
    return Check(name, order, "in", (3.8, 4.2), reference="ETDRK4, fourth order", status="exact")


def _defect(held: Array, loss: Array) -> float:
    """What Simpson's rule over the loss leaves unexplained of the change."""
    lost = END / INTERVALS / 3 * (loss[0] + loss[-1] + 4 * loss[1:-1:2].sum() + 2 * loss[2:-1:2].sum())
    return float(abs(held[0] - held[-1] - lost) / lost)
