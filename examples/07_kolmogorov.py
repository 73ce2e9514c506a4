"""Turbulent Kolmogorov flow: w_t + u . grad w = nu Laplacian w - mu w + curl f with f = sin(4 y) along x, nu = 1/500, mu = 1/10.

A square of side 2 pi on 192 x 192 points, marched by ETDRK4 with steps that convection allows, until the flow has forgotten its start.
The energy that the force brings is what viscosity and drag take and what the flow gains. Fifteen seconds on one core.
Run: python examples/07_kolmogorov.py [--picture FILE.png]
"""

import argparse
import tempfile
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt

from sciml.fields import McWilliamsVorticity
from sciml.grid import Grid
from solvers.flow import VorticityFlow, march

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--picture", type=Path, metavar="FILE.png", help="where the picture goes; a temporary folder where left out")
picture = parser.parse_args().picture or Path(tempfile.mkdtemp(), "kolmogorov.png")
picture.parent.mkdir(parents=True, exist_ok=True)

n, side, waves, nu, mu = 192, 2 * np.pi, 4, 1 / 500, 0.1
grid = Grid((n, n), (side, side))
x, y = grid.points()
flow = VorticityFlow(grid.shape, grid.extent, nu, drag=mu, forcing=-waves * np.cos(waves * y))
w0 = McWilliamsVorticity(peak=6.0, energy=0.5).sample(grid, np.random.default_rng(0))

spun_up = march(flow, flow.to_state(w0), 15.0).raise_for_status()
print(f"t = 15: {spun_up.steps} steps, energy {flow.energy(spun_up.states[-1]):.3f}, enstrophy {flow.enstrophy(spun_up.states[-1]):.2f}")

# States close enough for Simpson's rule: then the budget closes as well as the flow is computed.
times = np.linspace(0.0, 2.0, 101)
later = march(flow, spun_up.states[-1], times[1:], dt=0.01).raise_for_status()
states = np.array([spun_up.states[-1], *later.states])
energy = flow.energy(states)
rates = {"force": flow.injection(states), "viscosity": -flow.dissipation(states), "drag": -2 * mu * energy}
simpson = np.array([1, *[4, 2] * 49, 4, 1]) * times[1] / 3
work = {name: float(simpson @ rate) for name, rate in rates.items()}
change = float(energy[-1] - energy[0])
print(f"energy changes by {change:.6f}; " + ", ".join(f"{name} {value:+.6f}" for name, value in work.items()))
defect = abs(change - sum(work.values())) / work["force"]
print(f"defect of the budget over the work of the force: {defect:.1e}")
assert defect < 1e-6

fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
w = flow.to_vorticity(states[-1])
image = left.imshow(w.T, origin="lower", extent=(0, side, 0, side), cmap="RdBu_r", vmin=-0.7 * abs(w).max(), vmax=0.7 * abs(w).max())
fig.colorbar(image, ax=left, label="vorticity")
left.set(title="Vorticity at t = 17", xlabel="x", ylabel="y")
k, spectrum = flow.spectrum(states[-1])
right.loglog(k[: n // 3], spectrum[: n // 3], label="E(k)")
right.loglog(k[6:40], 2 * spectrum[6] * (k[6:40] / k[6]) ** -3, "--", label="slope -3")
right.set(title="Spectrum of energy", xlabel="wavenumber k", ylabel="E(k)")
right.legend()
fig.savefig(picture, dpi=110)
print(f"picture in {picture}")
