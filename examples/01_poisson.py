"""Poisson's equation in a square and a cube: declare, discretise, solve, compare with a known solution.

-Laplacian u = f on (0, 1)^d with mixed boundary conditions and a manufactured solution; the error falls with the square of the cell.
Takes seconds. Run: python examples/01_poisson.py [--picture FILE.png]
"""

import argparse
import tempfile
from pathlib import Path

import matplotlib
import numpy as np

from sciml.discretize import discretize
from sciml.problems import Poisson
from solvers import linear_solve

matplotlib.use("Agg")
import matplotlib.pyplot as plt

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--picture", type=Path, metavar="FILE.png", help="where the picture goes; a temporary folder where left out")
picture = parser.parse_args().picture or Path(tempfile.mkdtemp(), "poisson.png")
picture.parent.mkdir(parents=True, exist_ok=True)

SIDES = {"x_low": "neumann", "y_low": "periodic", "y_high": "periodic"}  # every other side: u is given
WAVE = {"wavenumbers": (3.0, 2 * np.pi, 1.0), "phases": (0.2, 0.0, 0.5)}


def solved(dimension: int, resolution: int) -> tuple[np.ndarray, float]:
    """The potential in the cells, and its root-mean-square error against the exact solution."""
    solution = {name: values[:dimension] for name, values in WAVE.items()}
    problem = Poisson(dimension=dimension, resolution=resolution, boundary=SIDES, solution=solution)
    system = discretize(problem, {})
    result = linear_solve(system.operator, system.rhs).raise_for_status()
    found = system.unpack(result.x)["potential"]
    print(f"{dimension}-D {resolution:4d} cells an axis: {result.method}, relative residual {result.relative_residual:.1e}", end=", ")
    rms = float(np.sqrt(np.mean((found - problem.exact({})["potential"]) ** 2)))
    print(f"rms error {rms:.2e}")
    return found, rms


figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
for dimension, resolutions in ((2, (32, 64, 128, 256)), (3, (8, 16, 32, 64))):
    fields, errors = zip(*[solved(dimension, n) for n in resolutions], strict=True)
    right.loglog(resolutions, errors, "os"[dimension - 2], label=f"{dimension}-D")
    right.loglog(resolutions, errors[-1] * (resolutions[-1] / np.array(resolutions)) ** 2, "k--", linewidth=1)
    if dimension == 2:
        image = left.imshow(fields[-1].T, origin="lower", extent=(0, 1, 0, 1), cmap="RdBu_r")
    orders = np.diff(-np.log2(errors))
    print(f"{dimension}-D observed orders: {orders.round(2)}")
    assert (abs(orders[-2:] - 2) < 0.05).all()

left.set(xlabel="x", ylabel="y", title="Potential in the square, 256 x 256 cells")
figure.colorbar(image, label="u")
right.set(xlabel="cells an axis", ylabel="rms error", title="Error; dashed: slope -2")
right.legend()
figure.savefig(picture, dpi=120)
print(f"picture in {picture}")
