"""Steady flow in rectangles by spectral Newton methods for the streamfunction: driven cavities, natural convection."""
