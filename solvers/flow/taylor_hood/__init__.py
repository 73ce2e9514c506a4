"""Incompressible flow on triangles with curved sides: Taylor-Hood elements, steady by Newton's method or in time."""
