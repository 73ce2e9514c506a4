"""DeepXDE on one problem: settings as JSON on standard input, values at the given points and processor seconds as JSON on the last line.

"poisson": ``-lap u = 2 pi^2 sin(pi x) sin(pi y)``, 900 points of its own choice, 64 tanh units. "cavity": velocity and pressure with the
lid speed ``16 x^2 (1 - x)^2``, 1225 points, two layers of 24 tanh units. Conditions are hard, by its output transform. It optimises by
Adam and then by L-BFGS, as its examples do.
"""

import json
import os
import sys
import time
from typing import Any

os.environ.setdefault("DDE_BACKEND", "pytorch")
import deepxde as dde  # reads the variable
import numpy as np
import torch


def poisson(x: Any, u: Any) -> Any:
    return (
        dde.grad.hessian(u, x, i=0, j=0)
        + dde.grad.hessian(u, x, i=1, j=1)
        + 2 * np.pi**2 * torch.sin(np.pi * x[:, :1]) * torch.sin(np.pi * x[:, 1:])
    )


def bubble(x: Any) -> Any:
    return 16 * x[:, :1] * (1 - x[:, :1]) * x[:, 1:] * (1 - x[:, 1:])


def cavity(re: float) -> Any:
    def equations(x: Any, y: Any) -> list[Any]:
        u, v = y[:, :1], y[:, 1:2]
        slope = {(i, j): dde.grad.jacobian(y, x, i=i, j=j) for i in range(3) for j in range(2)}
        laplacian = [dde.grad.hessian(y, x, component=i, i=0, j=0) + dde.grad.hessian(y, x, component=i, i=1, j=1) for i in range(2)]
        momentum = [u * slope[i, 0] + v * slope[i, 1] + slope[2, i] - laplacian[i] / re for i in range(2)]
        return [*momentum, slope[0, 0] + slope[1, 1]]

    return equations


def lid(x: Any, y: Any) -> Any:
    moving = 16 * x[:, :1] ** 2 * (1 - x[:, :1]) ** 2 * x[:, 1:]
    return torch.cat([moving + bubble(x) * y[:, :1], bubble(x) * y[:, 1:2], y[:, 2:]], dim=1)


def main() -> None:
    asked = json.load(sys.stdin)
    torch.set_num_threads(1)
    dde.config.set_default_float("float64")
    dde.config.set_random_seed(asked["seed"])
    square = dde.geometry.Rectangle([0, 0], [1, 1])
    if asked["problem"] == "poisson":
        data = dde.data.PDE(square, poisson, [], num_domain=900)
        network = dde.nn.FNN([2, 64, 1], "tanh", "Glorot normal")
        network.apply_output_transform(lambda x, y: bubble(x) * y)
    else:
        data = dde.data.PDE(square, cavity(asked["re"]), [], num_domain=1225)
        network = dde.nn.FNN([2, 24, 24, 3], "tanh", "Glorot normal")
        network.apply_output_transform(lid)
    model = dde.Model(data, network)
    model.compile("adam", lr=1e-3)
    began = time.process_time()
    model.train(iterations=asked["adam"], display_every=asked["adam"], verbose=0)
    dde.optimizers.set_LBFGS_options(maxiter=asked["lbfgs"])
    model.compile("L-BFGS", verbose=0)
    model.train(display_every=asked["lbfgs"], verbose=0)
    seconds = time.process_time() - began
    print(json.dumps({"values": np.asarray(model.predict(np.array(asked["points"]))).tolist(), "seconds": seconds}))


main()
