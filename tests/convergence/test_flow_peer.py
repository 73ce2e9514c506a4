"""The periodic flow against exponax, an independent code on JAX (`pip install exponax` in an environment that has `solvers`' packages)."""

import numpy as np
import pytest

from validation.benchmarks.navier_stokes import beside_exponax
from validation.peers import exponax_flow


@pytest.mark.slow
@pytest.mark.skipif(exponax_flow.missing() is not None, reason=str(exponax_flow.missing()))
@pytest.mark.parametrize("kolmogorov", [False, True])
def test_agrees_with_exponax(kolmogorov):
    ours, peer = beside_exponax(kolmogorov)
    assert np.linalg.norm(ours - peer) / np.linalg.norm(peer) < 1e-12
