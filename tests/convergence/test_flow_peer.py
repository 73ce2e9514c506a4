"""The periodic flow against exponax, an independent code on JAX (`pip install exponax` in an environment that has `solvers`' packages).

exponax takes ``Laplacian psi = w`` with u = psi_y, v = -psi_x: a velocity whose curl is -w. Its field is compared with the opposite sign.
"""

import numpy as np
import pytest

from solvers.flow import VorticityFlow, march

SIDE = 2 * np.pi


def smooth_start(n):
    """Some twenty waves with |k| <= 4 and random phases."""
    x, y = np.meshgrid(*2 * [SIDE * np.arange(n) / n], indexing="ij")
    rng = np.random.default_rng(0)
    waves = [(kx, ky) for kx in range(-3, 4) for ky in range(4) if 0 < kx**2 + ky**2 <= 16]
    return 0.5 * sum(np.cos(kx * x + ky * y + phase) for (kx, ky), phase in zip(waves, rng.uniform(0, SIDE, len(waves)), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("forced", [False, True])
def test_agrees_with_exponax(forced):
    pytest.importorskip("exponax", reason="exponax, the independent code, is not installed")
    import exponax
    import jax

    jax.config.update("jax_enable_x64", True)
    n, nu, end, steps = 96, 0.05, 1.0, 400
    w0, y = smooth_start(n), SIDE * np.arange(n)[None, :] / n
    settings = {"num_spatial_dims": 2, "domain_extent": SIDE, "num_points": n, "dt": end / steps, "diffusivity": nu, "order": 4}
    if forced:
        stepper = exponax.stepper.KolmogorovFlowVorticity(**settings, drag=-0.1, injection_mode=4, injection_scale=1.0)
    else:
        stepper = exponax.stepper.NavierStokesVorticity(**settings)
    peer = -np.asarray(exponax.repeat(stepper, steps)(jax.numpy.asarray(-w0[None])))[0]
    forcing = np.broadcast_to(4 * np.cos(4 * y), (n, n)) if forced else None
    flow = VorticityFlow((n, n), (SIDE, SIDE), nu, drag=0.1 if forced else 0.0, forcing=forcing)
    ours = flow.to_vorticity(march(flow, flow.to_state(w0), end, dt=end / steps).raise_for_status().states[-1])
    difference = np.linalg.norm(ours - peer) / np.linalg.norm(peer)
    assert difference < 1e-12
