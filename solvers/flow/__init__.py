"""Incompressible flow."""

from solvers.flow.mac.flow import CarriedScalar, MACFlow
from solvers.flow.mac.march import MACHistory, MACStatus, march_mac
from solvers.flow.mac.sides import Inflow, Outflow, Periodic, Slip, Wall
from solvers.flow.periodic import FlowStatus, FlowTrajectory, VelocityFlow, VorticityFlow, march
from solvers.flow.stability import Stability
from solvers.flow.streamfunction.cavity import CavityExtrema, cavity_extrema, lid_driven_cavity
from solvers.flow.streamfunction.convection import NaturalConvection, natural_convection
from solvers.flow.streamfunction.corner import CornerFlow
from solvers.flow.streamfunction.galerkin import Side, StreamfunctionProblem
from solvers.flow.streamfunction.steady import StreamfunctionFlow, solve_streamfunction
from solvers.flow.taylor_hood.problem import Flow
from solvers.flow.taylor_hood.spaces import TaylorHood
from solvers.flow.taylor_hood.state import FlowState
from solvers.flow.taylor_hood.steady import SteadyFlow, SteadyStatus, steady_flow
from solvers.flow.taylor_hood.unsteady import UnsteadyFlow, UnsteadyStatus, unsteady_flow

__all__ = [
    "CarriedScalar",
    "CavityExtrema",
    "CornerFlow",
    "Flow",
    "FlowState",
    "FlowStatus",
    "FlowTrajectory",
    "Inflow",
    "MACFlow",
    "MACHistory",
    "MACStatus",
    "NaturalConvection",
    "Outflow",
    "Periodic",
    "Side",
    "Slip",
    "Stability",
    "SteadyFlow",
    "SteadyStatus",
    "StreamfunctionFlow",
    "StreamfunctionProblem",
    "TaylorHood",
    "UnsteadyFlow",
    "UnsteadyStatus",
    "VelocityFlow",
    "VorticityFlow",
    "Wall",
    "cavity_extrema",
    "lid_driven_cavity",
    "march",
    "march_mac",
    "natural_convection",
    "solve_streamfunction",
    "steady_flow",
    "unsteady_flow",
]
