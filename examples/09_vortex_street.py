"""Vortices shed by a cylinder in a channel at Re 100, on a staggered grid with a staircase for the circle, with a picture.

The channel of the DFG benchmark 2D-2 (Schaefer and Turek 1996): 2.2 x 0.41 with a circle of diameter 0.1 at (0.2, 0.2), a parabola of mean
1 flowing in, nu = 1/1000. Its Strouhal number is 0.3018 and its largest drag coefficient 3.2274. Twelve cells across the diameter bring
the frequency to half a percent and the drag to one; the lift, which feels the shape of the circle most, stays a fifth too low.
Takes ten seconds. Run: python examples/09_vortex_street.py [--picture FILE.png]
"""

import argparse
import tempfile
from pathlib import Path

import matplotlib
import numpy as np

from solvers.flow import Inflow, MACFlow, Outflow, Wall, march_mac

matplotlib.use("Agg")
import matplotlib.pyplot as plt

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--picture", type=Path, metavar="FILE.png", help="where the picture goes; a temporary folder where left out")
picture = parser.parse_args().picture or Path(tempfile.mkdtemp(), "vortex_street.png")
picture.parent.mkdir(parents=True, exist_ok=True)

DIAMETER, END = 0.1, 7.0
h = DIAMETER / 12
shape = (264, 49)
length, height = shape[0] * h, shape[1] * h  # 2.2 and 0.408
still = (Wall(), Wall())
inflow = Inflow((lambda x, y: 6 * y * (height - y) / height**2, 0.0))
x, y = np.meshgrid((np.arange(shape[0]) + 0.5) * h, (np.arange(shape[1]) + 0.5) * h, indexing="ij")
circle = (x - 0.2) ** 2 + (y - 0.2) ** 2 < (DIAMETER / 2) ** 2
flow = MACFlow(shape, (length, height), 1e-3, [(inflow, Outflow()), still], solid=circle)

times, signal, forces = [], [], []


def watch(state):
    """Velocity across the channel one diameter and a half behind the cylinder, and towards the end the force on it."""
    times.append(state.t)
    signal.append(state.velocity[1][round(0.4 / h), round(0.2 / h)])
    if state.t > END - 1 and len(times) % 4 == 0:
        forces.append(2 / DIAMETER * state.solid_force())


history = march_mac(flow, (0.0, END), callback=watch).raise_for_status()
t, v = np.array(times), np.array(signal)
rising = np.flatnonzero((v[:-1] < 0) & (v[1:] >= 0) & (t[1:] > END - 2))
crossings = t[rising] - v[rising] * (t[rising + 1] - t[rising]) / (v[rising + 1] - v[rising])
strouhal = DIAMETER / np.diff(crossings).mean()
drag, lift = np.array(forces).max(axis=0)
print(f"{history.steps} steps, {len(crossings)} periods: Strouhal number {strouhal:.4f}, the benchmark's is 0.3018")
print(f"largest drag coefficient {drag:.3f} (3.227), largest lift coefficient {lift:.2f} (0.99)")

u, v = history.velocity[0][-1], history.velocity[1][-1]
vorticity = np.diff(v[:, 1:-1], axis=0) / h - np.diff(u[1:-1], axis=1) / h  # in the corners between four cells
blocked = circle[1:, 1:] | circle[:-1, 1:] | circle[1:, :-1] | circle[:-1, :-1]
figure, axes = plt.subplots(figsize=(9, 2.4), layout="constrained")
shown = np.ma.array(vorticity.T, mask=blocked.T)
image = axes.imshow(shown, origin="lower", extent=(h / 2, length - h / 2, h / 2, height - h / 2), cmap="RdBu_r", vmin=-40, vmax=40)
axes.set(xlabel="x", ylabel="y", aspect="equal", title=f"Vorticity at t = {END:g}, Strouhal number {strouhal:.3f}")
axes.set_facecolor("0.4")
figure.colorbar(image, label="vorticity", extend="both")
figure.savefig(picture, dpi=150)
print(f"picture in {picture}")

assert abs(strouhal - 0.3018) < 0.003
assert abs(drag - 3.227) < 0.07
