"""Orders of the flow methods with their constants, and what they conserve to their order."""

from itertools import pairwise

import numpy as np
import pytest

from solvers.flow import VorticityFlow, march


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


def test_steps_of_changing_length_keep_the_second_order():
    """CNAB2 between times that make each interval's step another; as one step for all it would be first order."""
    flow, state = forced()
    times = [0.3, 0.35, 0.8, 1.0]
    sure = march(flow, state, times, dt=0.005).raise_for_status().states[-1]
    errors = [
        np.linalg.norm(march(flow, state, times, dt=dt, method="cnab2").raise_for_status().states[-1] - sure) for dt in (4e-3, 2e-3, 1e-3)
    ]
    slopes = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(np.abs(slopes - 2) < 0.15)
