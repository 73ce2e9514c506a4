"""A certified dataset of Darcy flow: generate, read back, and check every sample against the equation.

-div(a grad p) = 1 on the unit square, p = 0 on the walls, a = 12 or 3 with a random interface.
Takes seconds. Run: python examples/02_darcy_dataset.py [FOLDER] [--picture FILE.png]
"""

import argparse
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import sciml
from sciml.data.verify import verify

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", nargs="?", metavar="FOLDER", help="of the dataset; a temporary one where left out")
parser.add_argument("--picture", type=Path, metavar="FILE.png", help="where the picture goes; a temporary folder where left out")
arguments = parser.parse_args()
folder = arguments.folder or tempfile.mkdtemp() + "/darcy"
recipe = sciml.load_recipe("darcy", ["problem.resolution=48", "data.shard_samples=32"])
sciml.generate(recipe, folder, samples=64)

train = sciml.open_dataset(folder, "train")
sample, record = train[0], train.provenance(0)
print(f"{len(train)} training samples in {folder}: permeability {sample['permeability'].shape} -> pressure {sample['pressure'].shape}")
print(f"sample 0: {record['method']}, {record['iterations']} iterations, relative residual {record['relative_residual']:.1e}")

report = verify(folder)
for check in report.checks:
    print(f"{'ok  ' if check.passed else 'FAIL'} {check.name}: {check.observed:.3g} {check.relation} {check.expected}")
assert report.passed

figure, panels = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
for panel, name in zip(panels, ("permeability", "pressure"), strict=True):
    image = panel.imshow(sample[name].T, origin="lower", extent=(0, 1, 0, 1))
    panel.set(xlabel="x", ylabel="y", title=f"{name} of sample 0")
    figure.colorbar(image, ax=panel)
picture = arguments.picture or Path(tempfile.mkdtemp(), "darcy.png")
picture.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(picture, dpi=150)
print(f"picture in {picture}")

# The maximum principle bounds the pressure by that of a uniform medium of the lower permeability: max p = 0.07367 / 3.
pressure = train.field("pressure")
print(f"pressure lies in [{pressure.min():.5f}, {pressure.max():.5f}]")
assert pressure.min() > 0
assert np.all(pressure.max(axis=(1, 2)) <= 0.07367 / 3)
