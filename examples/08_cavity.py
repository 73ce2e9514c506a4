"""Flow in a square cavity under a sliding lid at Re = 400, marched to its steady state on a staggered grid, with a picture.

u_t + div(u u) = -grad p + Laplacian u / Re, div u = 0, u = (1, 0) on the lid. Two grids, 48 and 96 cells along each side, give extrapolated
extrema of the velocity on the centre lines that are asserted against converged ones of a spectral method: u_min = -0.328730,
v_max = 0.303833, v_min = -0.454065.
Takes ten seconds. Run: python examples/08_cavity.py [--picture FILE.png]
"""

import argparse
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
from scipy.interpolate import CubicSpline

from solvers.flow import MACFlow, Wall, march_mac

matplotlib.use("Agg")
import matplotlib.pyplot as plt

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--picture", type=Path, metavar="FILE.png", help="where the picture goes; a temporary folder where left out")
picture = parser.parse_args().picture or Path(tempfile.mkdtemp(), "cavity.png")
picture.parent.mkdir(parents=True, exist_ok=True)

CONVERGED = np.array([-0.328730, 0.303833, -0.454065])
still, lid = Wall(), Wall((1.0, 0.0))

found = []
for n in (48, 96):
    flow = MACFlow((n, n), (1.0, 1.0), 1 / 400, [(still, still), (still, lid)])
    history = march_mac(flow, (0.0, 200.0), steady_rate=1e-6).raise_for_status()
    print(f"{n} x {n}: steady at t = {history.ts[-1]:.1f} after {history.steps} steps, |du/dt| = {history.rate:.1e}")
    u, v = history.velocity[0][-1], history.velocity[1][-1]
    points = np.concatenate([[0.0], (np.arange(n) + 0.5) / n, [1.0]])
    line = np.linspace(0, 1, 2001)
    across_y = CubicSpline(points, [0.0, *u[n // 2], 1.0])(line)
    across_x = CubicSpline(points, [0.0, *v[:, n // 2], 0.0])(line)
    found.append([across_y.min(), across_x.max(), across_x.min()])

coarse, fine = np.array(found)
limit = (4 * fine - coarse) / 3
for name, values in (("48 cells", coarse), ("96 cells", fine), ("extrapolated", limit), ("converged", CONVERGED)):
    print(f"{name:>13}: u_min {values[0]:.5f}, v_max {values[1]:.5f}, v_min {values[2]:.5f}")

edges = np.arange(n + 1) / n
streamfunction = np.concatenate([np.zeros((n + 1, 1)), np.cumsum(u, axis=1)], axis=1) / n
speed = np.linalg.norm(history.centred(), axis=0)
figure, axes = plt.subplots(figsize=(5.6, 5), layout="constrained")
image = axes.pcolormesh(edges, edges, speed.T, cmap="viridis", vmax=0.6, rasterized=True)
levels = [-0.11, -0.1, -0.08, -0.06, -0.04, -0.02, -0.005, -1e-4, 1e-5, 1e-4, 4e-4]
axes.contour(edges, edges, streamfunction.T, levels, colors="white", linewidths=0.8, linestyles="solid")
axes.set(xlabel="x", ylabel="y", aspect="equal", title="Speed and streamlines at Re = 400, 96 x 96 cells")
figure.colorbar(image, label="|u|, the lid's being 1", extend="max")
figure.savefig(picture, dpi=150)
print(f"picture in {picture}")

assert np.abs(fine - CONVERGED).max() < 4.5e-3
assert np.abs(limit - CONVERGED).max() < 2e-4
