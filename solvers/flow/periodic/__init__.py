"""Incompressible flow in periodic boxes by Fourier-Galerkin methods."""

from solvers.flow.periodic.march import FlowStatus, FlowTrajectory, march
from solvers.flow.periodic.velocity import VelocityFlow
from solvers.flow.periodic.vorticity import VorticityFlow

__all__ = ["FlowStatus", "FlowTrajectory", "VelocityFlow", "VorticityFlow", "march"]
