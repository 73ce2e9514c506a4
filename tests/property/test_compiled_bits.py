"""Code that Numba's cache gives back computes the bits that freshly compiled code did: data must not depend on which of them ran."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import hashlib
import numpy as np
from solvers import GCRODR, linear_solve, solve_sequence
from solvers.flow import MACFlow, Wall, march_mac
from solvers.linear import diffusion_operator, make_preconditioner

def tell(name, *arrays):
    print(name, hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()[:16])

rng = np.random.default_rng(0)
zero = ("dirichlet", "dirichlet")
for shape in ((40, 33), (14, 12, 17)):
    A = diffusion_operator(np.exp(rng.standard_normal(shape)), spacing=(0.1,) * len(shape), sides=(zero,) * len(shape))
    b = rng.standard_normal(shape)
    for method in ("multigrid_cg", "cg", "minres"):
        tell(f"{method} {len(shape)}-D", linear_solve(A, b, method).x)
    M = make_preconditioner(A.to_csr(), "ic0")
    tell(f"ic0 {len(shape)}-D", linear_solve(A.to_csr(), b.ravel(), "cg", M=M).x)
for kind in (1.0, 1.0 + 0.3j):
    media = np.exp(0.3 * rng.standard_normal((3, 20, 20)))
    matrices = [diffusion_operator(a, spacing=(0.1, 0.1), sides=(zero, zero)).to_csr() * kind for a in media]
    b = rng.standard_normal(400) * kind
    tell(f"gcrodr {kind}", *(s.x for s in solve_sequence([(A, b) for A in matrices], GCRODR(20, 6))))
for n in (2, 3):
    still, lid = Wall(), Wall((1.0,) + (0.0,) * (n - 1))
    flow = MACFlow((12,) * n, (1.0,) * n, 0.01, [(still, still)] * (n - 1) + [(still, lid)])
    tell(f"mac {n}-D", *(component[-1] for component in march_mac(flow, (0.0, 0.1)).velocity))
"""


@pytest.mark.slow
def test_cold_and_warm_caches_give_the_same_bits(tmp_path: Path) -> None:
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    told = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stderr
        told.append(done.stdout.splitlines())
    assert len(told[0]) == 12
    assert told[0] == told[1]
