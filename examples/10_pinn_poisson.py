"""A network on Poisson's equation beside the suite's own solver: one problem, declared once, solved by both, with a picture.

-Laplacian u = 1 in the unit square, u = 0 at x = 1 and y = 1, no flux through x = 0 and y = 0: a quarter of the square (-1, 1)^2, whose
middle is the corner (0, 0). There u = 1/2 - 16 / pi^3 sum of (-1)^((k - 1) / 2) / (k^3 cosh(k pi / 2)) over odd k. The network has the
conditions built in and sees the equation at Gauss points only, no solution.
Takes ten seconds. Run: python examples/10_pinn_poisson.py [--picture FILE.png]
"""

import argparse
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
import torch

from sciml.discretize import discretize
from sciml.models.pinn import PINN, EquationResiduals, collocation
from sciml.optimizers import GeodesicLevenbergMarquardt
from sciml.problems import Poisson
from solvers import linear_solve

matplotlib.use("Agg")
import matplotlib.pyplot as plt

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--picture", type=Path, metavar="FILE.png", help="where the picture goes; a temporary folder where left out")
picture = parser.parse_args().picture or Path(tempfile.mkdtemp(), "poisson.png")
picture.parent.mkdir(parents=True, exist_ok=True)

problem = Poisson(resolution=128, source=1.0, boundary={"x_low": "neumann", "y_low": "neumann"})

system = discretize(problem, {})
solution = linear_solve(system.operator, system.rhs, rtol=1e-10).raise_for_status()
solved = system.unpack(solution.x)["potential"]

torch.manual_seed(0)
pinn = PINN(problem.strong_form({}), width=24, depth=2)
residuals = EquationResiduals(pinn, *collocation(pinn.form, 625))
optimizer = GeodesicLevenbergMarquardt(pinn.network.named_parameters())
for step in range(60):
    loss = optimizer.step(residuals)
    if step % 20 == 19:
        print(f"step {step + 1}: mean square of residuals {loss:.1e}")
centres = np.stack(problem.grid.points(), axis=-1).reshape(-1, 2)
learned = pinn.predict(centres)["potential"].reshape(solved.shape)

k = np.arange(1, 20, 2)
middle = 0.5 - 16 / np.pi**3 * np.sum((-1.0) ** ((k - 1) // 2) / (k**3 * np.cosh(k * np.pi / 2)))
found = pinn.predict(np.zeros((1, 2)))["potential"][0]
apart = np.linalg.norm(learned - solved) / np.linalg.norm(solved)
print(f"u(0, 0): network {found:.7f}, series {middle:.7f}; network and {solution.method} on 128 x 128 cells are {apart:.1e} apart")

figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
for ax, values, title in zip(axes, (solved, learned, learned - solved), ("solver", "network", "network - solver"), strict=True):
    look = (
        {"cmap": "viridis", "vmin": 0.0} if "-" not in title else {"cmap": "RdBu_r", "vmax": abs(values).max(), "vmin": -abs(values).max()}
    )
    image = ax.imshow(values.T, origin="lower", extent=(0, 1, 0, 1), **look)
    ax.set(title=title, xlabel="x", ylabel="y")
    figure.colorbar(image)
figure.savefig(picture, dpi=120)
print(f"picture in {picture}")

wall = np.linspace(0, 1, 50)
on_walls = np.concatenate([np.stack([np.ones(50), wall], axis=1), np.stack([wall, np.ones(50)], axis=1)])
assert np.abs(pinn.predict(on_walls)["potential"]).max() < 1e-15
assert abs(found - middle) < 1e-5
assert apart < 1e-4
