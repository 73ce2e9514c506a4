"""Incompressible flow."""

from solvers.flow.problem import Flow
from solvers.flow.state import FlowState
from solvers.flow.steady import SteadyFlow, SteadyStatus, steady_flow
from solvers.flow.taylor_hood import TaylorHood

__all__ = ["Flow", "FlowState", "SteadyFlow", "SteadyStatus", "TaylorHood", "steady_flow"]
