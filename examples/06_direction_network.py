"""Flow around obstacles: the pressure equation, solved along directions that a network proposes.

The network was trained on 64 x 64 cells without any obstacle. Here it meets obstacles, on a grid four times finer along each axis, and
needs no more than a handful of iterations. The equation has cells of width 1, u = 0 on the walls and no flux into the obstacles.
A few seconds. Run: python examples/06_direction_network.py [--picture FILE.png]
"""

import argparse
import tempfile
from pathlib import Path

import matplotlib
import numpy as np

from sciml.discretize.solids import poisson_around, random_solids
from sciml.training import load_direction
from solvers.linear import ConjugateDirections, linear_solve

matplotlib.use("Agg")
import matplotlib.pyplot as plt

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--picture", type=Path, metavar="FILE.png", help="where the picture goes; a temporary folder where left out")
picture = parser.parse_args().picture or Path(tempfile.mkdtemp(), "directions.png")
picture.parent.mkdir(parents=True, exist_ok=True)

solid = random_solids((256, 256), np.random.default_rng(1))
A = poisson_around(solid)
b = np.where(solid, 0.0, 1.0)

direction = load_direction("direction-2d").on(A)
learned = linear_solve(A, b, ConjugateDirections(direction), rtol=1e-8).raise_for_status()
plain = linear_solve(A, b, "cg", rtol=1e-8).raise_for_status()
print(f"iterations: {learned.iterations} with the network, {plain.iterations} of conjugate gradients")

# Gauss's theorem: all that the source brings in leaves through the walls, half a cell away from the outermost centres
outflow = sum(2 * float(np.take(learned.x, end, axis=axis).sum()) for axis in (0, 1) for end in (0, -1))
print(f"source {b.sum():.0f}, outflow {outflow:.3f}")

assert abs(outflow / b.sum() - 1) < 1e-6
assert learned.iterations <= plain.iterations / 20

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
image = left.imshow(np.ma.array(learned.x.reshape(solid.shape), mask=solid).T, origin="lower")
left.set(xlabel="x in cells", ylabel="y in cells", title="Solution around the obstacles")
left.set_facecolor("0.4")
figure.colorbar(image, label="u")
for name, found in (("network", learned), ("CG", plain)):
    right.loglog(range(1, found.iterations + 1), found.residual_norms[1:] / found.residual_norms[0], label=name)
right.set(xlabel="iteration", ylabel="relative residual", title="Convergence")
right.legend()
figure.savefig(picture, dpi=120)
print(f"picture in {picture}")
