"""Incompressible flow on staggered grids, by projection: walls, inflow and outflow, solids, a carried scalar."""
