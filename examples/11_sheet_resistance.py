"""Resistance of a conducting sheet with a right-angled bend, by random walks, with a picture of the potential.

Laplacian u = 0 in an L of width 1 whose two arms reach 1.5 beyond the square at the bend; u = 0 and u = 1 at their ends, insulated
sides. In an arm the potential soon falls linearly, by the current times the distance from the end. The bend itself has the resistance of
1 - (2 / pi) log 2 = 0.5587 squares (by conformal mapping), so that the whole has 3.5587 and the current is 1 / 3.5587. Walks bounce off
the sides, around the reentrant corner, and end at the electrodes: u is what they find there, on average, and has a standard error.
Takes ten seconds. Run: python examples/11_sheet_resistance.py [--picture FILE.png]
"""

import argparse
import math
import tempfile
from pathlib import Path

import matplotlib
import numpy as np

from solvers.montecarlo import Boundary, walk_on_spheres

matplotlib.use("Agg")
import matplotlib.pyplot as plt

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--picture", type=Path, metavar="FILE.png", help="where the picture goes; a temporary folder where left out")
picture = parser.parse_args().picture or Path(tempfile.mkdtemp(), "sheet.png")
picture.parent.mkdir(parents=True, exist_ok=True)

ARM = 1.5
EXACT = 2 * ARM + 1 - 2 / math.pi * math.log(2)
SIDE, LOW, HIGH = 0, 1, 2
end = 1 + ARM
corners = np.array([(0, 0), (end, 0), (end, 1), (1, 1), (1, end), (0, end)], float)
sheet = Boundary(corners, [(k, (k + 1) % 6) for k in range(6)], tags=[SIDE, LOW, SIDE, SIDE, HIGH, SIDE])
problem = {"dirichlet": {LOW: 0.0, HIGH: 1.0}, "neumann": {SIDE: 0.0}, "epsilon": 1e-4}

# around the middle of the lower arm, where u = current * distance; by symmetry 1 - u says the same of the other
across = (np.arange(20) + 0.5) / 20
line = np.stack([np.full(20, end - 0.75), across], axis=1)
found = walk_on_spheres(sheet, np.concatenate([line, line[:, ::-1]]), **problem, n_walks=20_000, seed=1)
falls = np.concatenate([found.mean[:20], 1 - found.mean[20:]])
current = falls.mean() / 0.75
error = np.sqrt((found.standard_error**2).sum()) / len(falls) / 0.75
resistance, uncertain = 1 / current, error / current**2
print(f"current {current:.5f} +- {error:.5f}, resistance {resistance:.4f} +- {uncertain:.4f} squares, exact {EXACT:.4f}")
print(f"the bend: {resistance - 2 * ARM:.4f} squares; {found.mean_steps.mean():.0f} steps a walk, {found.n_truncated.sum()} walks given up")

cells = np.arange(0.05, end, 0.1)
x, y = np.meshgrid(cells, cells, indexing="ij")
inside = sheet.contains(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(x.shape)
potential = np.full(x.shape, np.nan)
potential[inside] = walk_on_spheres(sheet, np.stack([x[inside], y[inside]], axis=1), **problem, n_walks=1000).mean
figure, axes = plt.subplots(figsize=(5.4, 4.6), layout="constrained")
image = axes.pcolormesh(cells, cells, potential.T, cmap="viridis", vmin=0, vmax=1, rasterized=True)
axes.plot(*np.concatenate([corners, corners[:1]]).T, color="black", linewidth=1)
axes.set(xlabel="x", ylabel="y", aspect="equal", title="Potential from 1000 walks a point")
figure.colorbar(image, label="u")
figure.savefig(picture, dpi=150)
print(f"picture in {picture}")

assert found.n_truncated.sum() == 0
assert uncertain < 0.02
assert abs(resistance - EXACT) < 4 * uncertain
