"""Incompressible flow."""

from solvers.flow.cavity import CavityExtrema, cavity_extrema, lid_driven_cavity
from solvers.flow.convection import NaturalConvection, natural_convection
from solvers.flow.corner import CornerFlow
from solvers.flow.mac import CarriedScalar, MACFlow
from solvers.flow.mac_march import MACHistory, MACStatus, march_mac
from solvers.flow.mac_sides import Inflow, Outflow, Periodic, Slip, Wall
from solvers.flow.periodic import FlowStatus, FlowTrajectory, VelocityFlow, VorticityFlow, march
from solvers.flow.problem import Flow
from solvers.flow.state import FlowState
from solvers.flow.steady import SteadyFlow, SteadyStatus, steady_flow
from solvers.flow.streamfunction import Side, StreamfunctionProblem
from solvers.flow.streamfunction_newton import StreamfunctionFlow, solve_streamfunction
from solvers.flow.taylor_hood import TaylorHood
from solvers.flow.unsteady import UnsteadyFlow, UnsteadyStatus, unsteady_flow

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
