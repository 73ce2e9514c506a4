"""Incompressible flow."""

from solvers.flow.mac import CarriedScalar, MACFlow
from solvers.flow.mac_march import MACHistory, MACStatus, march_mac
from solvers.flow.mac_sides import Inflow, Outflow, Periodic, Slip, Wall
from solvers.flow.periodic import FlowStatus, FlowTrajectory, VelocityFlow, VorticityFlow, march
from solvers.flow.problem import Flow
from solvers.flow.state import FlowState
from solvers.flow.steady import SteadyFlow, SteadyStatus, steady_flow
from solvers.flow.taylor_hood import TaylorHood

__all__ = [
    "CarriedScalar",
    "Flow",
    "FlowState",
    "FlowStatus",
    "FlowTrajectory",
    "Inflow",
    "MACFlow",
    "MACHistory",
    "MACStatus",
    "Outflow",
    "Periodic",
    "Slip",
    "SteadyFlow",
    "SteadyStatus",
    "TaylorHood",
    "VelocityFlow",
    "VorticityFlow",
    "Wall",
    "march",
    "march_mac",
    "steady_flow",
]
