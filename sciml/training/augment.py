"""The symmetries that a dataset declares, as a group of transformations of grids.

A generator mirrors an axis or exchanges two. Their closure is found once; every training sample is then seen through an element
drawn anew in every epoch, inputs and outputs alike, which the solution operator allows by the meaning of a symmetry.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sciml.data.manifest import side_axis
from sciml.errors import DatasetError
from sciml.grid import AXES

_REFLECT = re.compile(r"reflect_(nodes_)?([xyz])")
_SWAP = re.compile(r"swap_([xyz])([xyz])")


@dataclass(frozen=True)
class Symmetry:
    """First the axes are permuted, then some of them are mirrored.

    Parameters
    ----------
    axes : new axis k is the old axis ``axes[k]``.
    mirrored : whether new axis k is reversed.
    nodes : where samples sit, which decides what a mirror image is. False: cell centres, so that sample j goes to n - 1 - j. True:
        nodes j / n with the low end on the boundary and the high end left out, so that j goes to -j modulo n.
    """

    axes: tuple[int, ...]
    mirrored: tuple[bool, ...]
    nodes: bool = False

    def __call__(self, fields: torch.Tensor) -> torch.Tensor:
        """Transform the last axes of `fields`, shape (..., *grid)."""
        lead = fields.ndim - len(self.axes)
        moved = fields.permute(*range(lead), *(lead + axis for axis in self.axes))
        flipped = [lead + k for k, mirror in enumerate(self.mirrored) if mirror]
        if not flipped:
            return moved
        moved = moved.flip(flipped)
        return moved.roll([1] * len(flipped), flipped) if self.nodes else moved

    def after(self, first: Symmetry) -> Symmetry:
        """The element that applies `first` and then this one."""
        axes = tuple(first.axes[axis] for axis in self.axes)
        mirrored = tuple(first.mirrored[axis] != flip for axis, flip in zip(self.axes, self.mirrored, strict=True))
        return Symmetry(axes, mirrored, self.nodes)

    def moves_side(self, axis: int) -> bool:
        """Whether data on a side normal to `axis` would end up on another side."""
        return self.axes[axis] != axis or self.mirrored[axis]


def group(generators: Sequence[str], shape: Sequence[int], inputs: Sequence[str] = ()) -> tuple[Symmetry, ...]:
    """All transformations that the named generators generate, the identity first, in an order that depends on nothing else.

    Parameters
    ----------
    generators : ``"reflect_x"``, ``"swap_xy"``, ...; for samples at the nodes j / n ``"reflect_nodes_x"``.
    shape : the grid; axes that are exchanged need equal lengths.
    inputs : names of the inputs; a ``boundary_<axis>_<low|high>`` among them forbids symmetries that move that side.

    Raises
    ------
    DatasetError
        for a generator that is unknown or does not fit the grid or the inputs.
    """
    nodes = [generator.startswith("reflect_nodes_") for generator in generators if generator.startswith("reflect_")]
    if len(set(nodes)) > 1:
        raise DatasetError(f"symmetries = {list(generators)} mirror about cell centres and about nodes; name the one that the grid has")
    basis = [_generator(name, shape, any(nodes)) for name in generators]
    for name, element in zip(generators, basis, strict=True):
        _check_fit(name, element, shape, inputs)
    elements = [Symmetry(tuple(range(len(shape))), (False,) * len(shape), any(nodes))]
    for element in elements:  # grows while it is walked, until nothing new appears
        elements += [new for new in dict.fromkeys(step.after(element) for step in basis) if new not in elements]
    return tuple(elements)


def _generator(name: str, shape: Sequence[int], nodes: bool) -> Symmetry:
    dimension = len(shape)
    axes, mirrored = list(range(dimension)), [False] * dimension
    named = [k for letter in name.rpartition("_")[2] for k, axis in enumerate(AXES) if axis == letter]
    if not (_REFLECT.fullmatch(name) or _SWAP.fullmatch(name)) or max(named) >= dimension:
        known = "reflect_<axis>, reflect_nodes_<axis> or swap_<axis><axis>"
        raise DatasetError(f"symmetry {name!r} is not one of a {dimension}-D grid; use {known} with axes of {''.join(AXES[:dimension])}")
    if _REFLECT.fullmatch(name):
        mirrored[named[0]] = True
    else:
        one, two = named
        axes[one], axes[two] = two, one
    return Symmetry(tuple(axes), tuple(mirrored), nodes)


def _check_fit(name: str, element: Symmetry, shape: Sequence[int], inputs: Sequence[str]) -> None:
    if [shape[axis] for axis in element.axes] != list(shape):
        raise DatasetError(f"symmetry {name!r} exchanges axes of different lengths, shape = {list(shape)}; remove it from the dataset")
    for field in inputs:
        axis = side_axis(field, AXES[: len(shape)])
        if axis is not None and element.moves_side(axis):
            raise DatasetError(f"symmetry {name!r} would move the side that input {field!r} belongs to; remove it from the dataset")


def transform(fields: torch.Tensor, elements: Sequence[Symmetry], choice: NDArray[Any]) -> torch.Tensor:
    """Apply ``elements[choice[b]]`` to sample b of `fields`, shape (batch, channels, *grid)."""
    result = torch.empty_like(fields)
    for number in np.unique(choice):
        members = torch.from_numpy(np.flatnonzero(choice == number))
        result[members] = elements[number](fields[members])
    return result
