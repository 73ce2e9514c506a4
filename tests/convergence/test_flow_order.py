"""Orders of the flow methods with their constants, and what they conserve to their order."""

from itertools import pairwise

import numpy as np
import pytest

from solvers.flow import VorticityFlow, march
from solvers.flow.periodic.steppers import CNAB2


def forced(n=32):
    """Two crossing shear waves over a random state, at a viscosity for which all modes stay resolved."""
    shape, extent = (n, n), (2 * np.pi, 2 * np.pi)
    x, y = np.meshgrid(*2 * [2 * np.pi * np.arange(n) / n], indexing="ij")
    flow = VorticityFlow(shape, extent, 0.02, drag=0.1, forcing=2 * np.cos(2 * y) + np.sin(x + y))
    return flow, flow.to_state(np.cos(x) * np.sin(2 * y) + 0.5 * np.cos(2 * x + y) + np.sin(3 * x - y))


#: method, order, steps of the coarsest run to t = 2, difference of the last two of five halvings over h^order of the coarser.
ORDERS = [("etdrk4", 4, 32, 2.722), ("cnab2", 2, 320, 1.586)]


@pytest.mark.parametrize(("method", "order", "first", "constant"), ORDERS)
def test_order_with_its_constant(method, order, first, constant):
    """Differences of successive halvings fall like h^order."""
    flow, state = forced()
    ends = [march(flow, state, 2.0, dt=2.0 / (first * 2**k), method=method).raise_for_status().states[-1] for k in range(5)]
    differences = np.array([np.linalg.norm(one - two) for one, two in pairwise(ends)]) / np.linalg.norm(ends[-1])
    slopes = np.log2(differences[:-1] / differences[1:])
    assert np.all(np.abs(slopes - order) < 0.05)
    assert differences[-1] / (2.0 / (first * 8)) ** order == pytest.approx(constant, rel=0.01)


@pytest.mark.parametrize(("method", "order", "first", "largest"), [("etdrk4", 4, 16, 4e-12), ("cnab2", 2, 160, 2e-7)])
def test_inviscid_flow_conserves_energy_and_enstrophy_to_the_order_of_the_step(method, order, first, largest):
    """With aliasing, or a product that is not the convective term, the drift would stay where it is however short the steps."""
    viscous, state = forced()
    flow, drifts = VorticityFlow(viscous.shape, viscous.extent, 0.0), []
    for k in range(3):
        end = march(flow, state, 1.0, dt=1.0 / (first * 2**k), method=method).raise_for_status().states[-1]
        drifts.append([abs(what(end) / what(state) - 1) for what in (flow.energy, flow.enstrophy)])
    found = np.array(drifts)
    assert found[-1].max() < largest
    assert np.log2(found[0] / found[-1]).min() > 2 * (order - 0.25)


def test_adams_bashforth_step_after_a_step_of_another_length():
    """It integrates a rate that is linear in time without error, whatever the two lengths."""
    flow, state = forced(8)
    inviscid = VorticityFlow(flow.shape, flow.extent, 0.0)
    for before, h in ((0.1, 0.1), (0.1, 0.03), (0.02, 0.1)):
        rates = [np.full_like(state, 2 + 3 * t) for t in (0.0, before)]
        end, history = CNAB2().stepper(inviscid, h, state)(state, rates[1], (rates[0], before))
        np.testing.assert_allclose(end - state, 2 * h + 1.5 * ((before + h) ** 2 - before**2), rtol=1e-12)
        assert history[0] is rates[1]
        assert history[1] == h
