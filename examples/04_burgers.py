"""Burgers' equation from recipe to trained operator: u_t + u u_x = nu u_xx, periodic, random initial velocity, nu = 0.1.

The solver's states are compared with the Cole-Hopf solution, then an FNO learns the map from u(0) to u(1).
Half a minute on one core. Run: python examples/04_burgers.py [FOLDER] [--picture FILE.png]
"""

import argparse
import tempfile
from pathlib import Path

import matplotlib
import numpy as np

import sciml
from sciml.data.verify import verify
from sciml.training import TrainSettings, evaluate, load_operator, train

matplotlib.use("Agg")
import matplotlib.pyplot as plt

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", nargs="?", metavar="FOLDER", help="where to write; a temporary folder where left out")
parser.add_argument("--picture", type=Path, metavar="FILE.png", help="where the picture goes; a temporary folder where left out")
arguments = parser.parse_args()
folder = arguments.folder or tempfile.mkdtemp()
picture = arguments.picture or Path(folder, "burgers.png")
picture.parent.mkdir(parents=True, exist_ok=True)
recipe = sciml.load_recipe("burgers", ["problem.resolution=64", "solver.rtol=1e-5"])
sciml.generate(recipe, f"{folder}/data", samples=160)
report = verify(f"{folder}/data")
print(f"{sum(report.details['samples'].values())} samples, largest time error {report.details['stored_time_error']['max']:.1e}")
assert report.passed

# Cole and Hopf turn the equation into the heat equation: phi_t = nu phi_xx with u = -2 nu phi_x / phi.
test = sciml.open_dataset(f"{folder}/data", "test")
errors = []
for sample in test:
    exact = test.problem.exact(sample)["velocity"]
    errors.append(np.linalg.norm(sample["velocity"] - exact) / np.linalg.norm(exact))
print(f"largest relative error of {len(test)} stored states against Cole-Hopf: {max(errors):.1e}")
assert max(errors) < recipe.solver.rtol + 6e-8  # the tolerance, and the rounding to float32

train(f"{folder}/data", f"{folder}/run", TrainSettings(model="fno", hidden_channels=24, modes=16, epochs=15))
details = evaluate(f"{folder}/run").details
median, worst = details["relative_l2"]["median"], details["relative_l2"]["worst"]
print(f"FNO: relative L2 error on {len(test)} test samples: median {median:.4f}, worst {worst:.4f}")
assert median < 0.05

# Diffusion alone damps the slowest mode by exp(-nu (2 pi)^2): no state may end with more than that share of its initial energy.
decay = test.field("velocity").std(axis=1) / test.field("initial_velocity").std(axis=1)
print(f"fluctuations decay to {decay.max():.4f} at most; exp(-0.1 (2 pi)^2) = {np.exp(-0.4 * np.pi**2):.4f}")
assert decay.max() <= np.exp(-0.4 * np.pi**2)

predicted = load_operator(f"{folder}/run").predict(test.field("initial_velocity")[:3, None])[:, 0]
(x,) = test.problem.grid.points()
figure, panels = plt.subplots(2, 3, figsize=(12, 6), sharex=True, layout="constrained")
for number, ((above, below), sample) in enumerate(zip(panels.T, test, strict=False)):
    above.plot(x, sample["initial_velocity"])
    above.set(ylabel="u at time 0", title=f"Test sample {number}")
    below.plot(x, sample["velocity"], label="solver")
    below.plot(x[::4], test.problem.exact(sample)["velocity"][::4], "ko", fillstyle="none", label="Cole-Hopf")
    below.plot(x, predicted[number], "--", label="FNO")
    below.set(xlabel="x", ylabel="u at time 1")
panels[1, 0].legend()
figure.savefig(picture, dpi=120)
print(f"picture in {picture}")
