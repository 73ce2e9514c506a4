"""Laws of random parameters: numbers, Gaussian random fields and what is made of them.

A field is a function, not an array: its random coefficients are drawn mode by mode, lowest frequencies first, so the same random
numbers give the same function on every grid, truncated to the modes that the grid can hold.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Annotated, Any, Literal

import numpy as np
import scipy.fft as sfft
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, model_validator

from sciml.errors import DatasetError
from sciml.grid import Grid
from sciml.mesh.points import Points

Support = Grid | Points
"""Where a law gives values: the cell centres of a grid, or points of a mesh."""
Array = NDArray[np.float64]
Positive = Annotated[FiniteFloat, Field(gt=0, le=1e12)]


class _Law(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def is_random(self) -> bool:
        return True


class Constant(_Law):
    """The same known number everywhere and in every sample; never stored with a sample."""

    kind: Literal["constant"] = "constant"
    value: FiniteFloat

    @property
    def is_random(self) -> bool:
        return False

    def sample(self, support: Support, rng: Generator) -> Array:
        return np.asarray(self.value)


class Wave(_Law):
    """The known field ``amplitude prod_k cos(wavenumbers_k x_k + phases_k)``, the same in every sample; never stored with a sample.

    Wavenumbers are angular, one an axis; phases of -pi/2 make sines of it.
    """

    kind: Literal["wave"] = "wave"
    wavenumbers: tuple[FiniteFloat, ...] = Field(min_length=1, max_length=3)
    phases: tuple[FiniteFloat, ...] = Field(min_length=1, max_length=3)
    amplitude: FiniteFloat = 1.0

    @model_validator(mode="after")
    def _same_length(self) -> Wave:
        if len(self.wavenumbers) != len(self.phases):
            raise ValueError(f"wavenumbers = {list(self.wavenumbers)} and phases = {list(self.phases)} must have one entry an axis each")
        return self

    @property
    def is_random(self) -> bool:
        return False

    def sample(self, support: Support, rng: Generator) -> Array:
        return self(*(support.points() if isinstance(support, Grid) else support.coordinates.T))

    def __call__(self, *x: Any) -> Any:
        """The value at coordinates, arrays or quantities with derivatives; further coordinates, such as time, do not matter."""
        return self.amplitude * math.prod(np.cos(k * z + p) for k, z, p in zip(self.wavenumbers, x, self.phases, strict=False))

    def derivative(self, axis: int, *x: Any) -> Any:
        """The derivative along one axis, at coordinates as above."""
        if self.wavenumbers[axis] == 0:
            return 0.0 * self(*x)
        quarter = np.pi / (2 * self.wavenumbers[axis])  # by which a cosine becomes minus a sine
        return self.wavenumbers[axis] * self(*(z + quarter if k == axis else z for k, z in enumerate(x)))

    @property
    def squared_wavenumber(self) -> float:
        """What the negative Laplacian multiplies it with."""
        return sum(k**2 for k in self.wavenumbers)


class Uniform(_Law):
    """One number a sample, uniform on [low, high)."""

    kind: Literal["uniform"] = "uniform"
    low: FiniteFloat
    high: FiniteFloat

    @model_validator(mode="after")
    def _ordered(self) -> Uniform:
        _refuse_disorder(self.low, self.high)
        return self

    def sample(self, support: Support, rng: Generator) -> Array:
        return np.asarray(rng.uniform(self.low, self.high))


class GaussianRandomField(_Law):
    """Centred Gaussian field with covariance ``amplitude^2 tau^(2 alpha - d) (-Laplacian + tau^2)^(-alpha)`` and zero mean over the box.

    ``boundary = "neumann"`` takes the Laplacian with Neumann sides (cosine modes): with alpha = 2, tau = 3 and d = 2 this is the law
    of the Darcy benchmark of Li et al. (2021, "Fourier neural operator", A.3.2). ``"periodic"`` takes Fourier modes: alpha = 2.5 and
    tau = 7 is the law of that paper's vorticity *code*, 7^3 (-Laplacian + 49)^(-2.5); the paper prints the prefactor 7^(3/2),
    which is that of the standard deviation.

    alpha must exceed d/2 for the field to have a finite variance in the limit of fine grids; problems refuse anything else.
    """

    kind: Literal["gaussian_random_field"] = "gaussian_random_field"
    alpha: Annotated[FiniteFloat, Field(gt=0, le=20)] = 2.0
    tau: Positive = 3.0
    boundary: Literal["neumann", "periodic"] = "neumann"
    amplitude: Positive = 1.0

    def eigenvalues(self, grid: Grid) -> Array:
        """Variances of the coefficients of the L2-orthonormal modes that `grid` resolves, in the grid's shape."""
        k2 = _squares(grid, self.boundary)
        variances = self.amplitude**2 * self.tau ** (2 * self.alpha - grid.dimension) * (k2 + self.tau**2) ** -self.alpha
        return _of_kept_modes(variances, self.boundary)

    def sample(self, support: Support, rng: Generator) -> Array:
        grid = support.grid if isinstance(support, Points) else support
        coefficients = _random_coefficients(self.eigenvalues(grid), grid, self.boundary, rng)
        if isinstance(support, Points):  # of which cosine modes only are offered, see `sciml.problems.mesh_elliptic`
            return support.cosine_sum(coefficients)
        if self.boundary == "neumann":
            return np.asarray(sfft.idctn(coefficients * math.sqrt(coefficients.size), norm="ortho"))
        return _periodic_sum(coefficients)


class McWilliamsVorticity(_Law):
    """Vorticity of a random plane flow whose energy lies around one wavenumber, the initial law of decaying turbulence.

    The streamfunction has independent normal coefficients of variance ``|psi_k|^2 ~ |k|^-1 (1 + (|k| / peak)^4)^-1`` (McWilliams,
    "The emergence of isolated coherent vortices in turbulent flow", J. Fluid Mech. 146 (1984), section 2, on a box of side 2 pi with
    peak = 6 and energy = 1/2), so that those of the vorticity have |k|^4 times that. Periodic, in two dimensions.

    Parameters
    ----------
    peak : wavenumber in radians a length.
    energy : expectation of ``<u . u> / 2``, mean over the box, with the modes that a grid cannot hold.
    """

    kind: Literal["mcwilliams"] = "mcwilliams"
    peak: Positive = 6.0
    energy: Positive = 0.5

    def eigenvalues(self, grid: Grid) -> Array:
        """Variances of the coefficients of the L2-orthonormal modes that `grid` resolves, in the grid's shape."""
        k2 = _squares(grid, "periodic")
        scale = self.energy * grid.volume / _mcwilliams_energy(self.peak, grid.extent)
        return _of_kept_modes(scale * k2**1.5 / (1 + k2**2 / self.peak**4), "periodic")

    def sample(self, support: Support, rng: Generator) -> Array:
        grid = support.grid if isinstance(support, Points) else support
        return _periodic_sum(_random_coefficients(self.eigenvalues(grid), grid, "periodic", rng))


@lru_cache(maxsize=32)
def _mcwilliams_energy(peak: float, extent: tuple[float, ...]) -> float:
    """Half the sum of ``|k| / (1 + (|k| / peak)^4)`` over all waves of a rectangle.

    Summed within a square of half side `cut`; outside the summand is ``peak^4 |k|^-3``, whose integral there is 4 sqrt(2) peak^4 / cut.
    """
    spacing = [2 * np.pi / length for length in extent]
    numbers = [math.ceil(max(64 * max(spacing), 16 * peak) / dk) for dk in spacing]
    kx, ky = (dk * np.arange(-n, n + 1) for dk, n in zip(spacing, numbers, strict=True))
    k = np.hypot(kx[:, None], ky[None, :])
    cut = [(n + 0.5) * dk for dk, n in zip(spacing, numbers, strict=True)]
    outside = 4 * peak**4 * math.hypot(*cut) / math.prod(cut) / math.prod(spacing)
    return float(0.5 * ((k / (1 + (k / peak) ** 4)).sum() + outside))


class LogNormal(_Law):
    """``scale * exp(field)``: positive, smooth where the field is."""

    kind: Literal["log_normal"] = "log_normal"
    field: GaussianRandomField = GaussianRandomField()
    scale: Positive = 1.0

    def sample(self, support: Support, rng: Generator) -> Array:
        return self.scale * np.exp(self.field.sample(support, rng))


class BinaryField(_Law):
    """`high` where the field is positive, `low` elsewhere: two phases with a random interface."""

    kind: Literal["binary"] = "binary"
    field: GaussianRandomField = GaussianRandomField()
    low: FiniteFloat = 3.0
    high: FiniteFloat = 12.0

    @model_validator(mode="after")
    def _ordered(self) -> BinaryField:
        _refuse_disorder(self.low, self.high)
        return self

    def sample(self, support: Support, rng: Generator) -> Array:
        return np.where(self.field.sample(support, rng) > 0, self.high, self.low)


class SmoothStep(_Law):
    """``low + (high - low) / (1 + exp(-steepness field))``: two phases with a smooth transition."""

    kind: Literal["smooth_step"] = "smooth_step"
    field: GaussianRandomField = GaussianRandomField()
    low: FiniteFloat = 3.0
    high: FiniteFloat = 12.0
    steepness: Positive = 4.0

    @model_validator(mode="after")
    def _ordered(self) -> SmoothStep:
        _refuse_disorder(self.low, self.high)
        return self

    def sample(self, support: Support, rng: Generator) -> Array:
        return self.low + (self.high - self.low) / (1 + np.exp(-self.steepness * self.field.sample(support, rng)))


class Disks(_Law):
    """1 inside any of `count` random disks (balls, in space), 0 elsewhere.

    Centres are uniform in the part of the box between `low` and `high` of each side length, radii uniform in `radii` times the shortest
    side. Disks may overlap. A finer grid shows the same disks.
    """

    kind: Literal["disks"] = "disks"
    count: Annotated[int, Field(ge=1, le=1000)] = 3
    radii: tuple[Positive, Positive] = (0.05, 0.12)
    low: tuple[FiniteFloat, ...] = (0.2, 0.15)
    high: tuple[FiniteFloat, ...] = (0.6, 0.85)

    @model_validator(mode="after")
    def _ordered(self) -> Disks:
        _refuse_disorder(*self.radii, "radii[0]", "radii[1]")
        if len(self.low) != len(self.high):
            raise ValueError(f"low = {list(self.low)} and high = {list(self.high)} differ in length: give one number an axis in each")
        for axis, (low, high) in enumerate(zip(self.low, self.high, strict=True)):
            _refuse_disorder(low, high, f"low[{axis}]", f"high[{axis}]")
        return self

    def sample(self, support: Support, rng: Generator) -> Array:
        if isinstance(support, Points) or support.dimension != len(self.low):
            raise DatasetError(f"low = {list(self.low)} of disks does not fit {support}: give low and high one number an axis")
        drawn = rng.random((self.count, support.dimension + 1))
        centres = np.array(self.low) + drawn[:, 1:] * (np.array(self.high) - np.array(self.low))
        radii = min(support.extent) * (self.radii[0] + drawn[:, 0] * (self.radii[1] - self.radii[0]))
        inside = np.zeros(support.shape, bool)
        for centre, radius in zip(centres * np.array(support.extent), radii, strict=True):
            inside |= np.asarray(sum((x - c) ** 2 for x, c in zip(support.points(), centre, strict=True)) < radius**2)
        return inside.astype(np.float64)


def _refuse_disorder(low: float, high: float, name: str = "low", other: str = "high") -> None:
    if not low < high:
        raise ValueError(f"{name} = {low} must be smaller than {other} = {high}")


def _number_is_constant(value: Any) -> Any:
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return {"kind": "constant", "value": value} if plain else value


Law = Annotated[
    Annotated[
        Constant | Wave | Uniform | GaussianRandomField | LogNormal | BinaryField | SmoothStep | Disks,
        Field(discriminator="kind"),
    ],
    BeforeValidator(_number_is_constant),
]
"""Any law; a plain number stands for `Constant`."""


def law_range(law: Any) -> tuple[float, float]:
    """Smallest and largest value that a law can give."""
    if isinstance(law, Constant):
        return law.value, law.value
    if isinstance(law, Wave):
        return -abs(law.amplitude), abs(law.amplitude)
    if isinstance(law, (Uniform, BinaryField, SmoothStep)):
        return law.low, law.high
    if isinstance(law, Disks):
        return 0.0, 1.0
    return (0.0 if isinstance(law, LogNormal) else -math.inf), math.inf


def _squares(grid: Grid, boundary: str) -> Array:
    """|k|^2 of all modes, in the grid's shape."""
    factor = np.pi if boundary == "neumann" else 2 * np.pi
    waves = (_wavenumbers(n, boundary) / length for n, length in zip(grid.shape, grid.extent, strict=True))
    return np.asarray(sum(((factor * k) ** 2).reshape((-1,) + (1,) * (grid.dimension - axis - 1)) for axis, k in enumerate(waves)))


def _of_kept_modes(variances: Array, boundary: str) -> Array:
    """`variances` without the constant mode, and without Nyquist modes, which have no partner of opposite sign."""
    for axis, n in enumerate(variances.shape):
        if boundary == "periodic" and n % 2 == 0:
            variances[(slice(None),) * axis + (n // 2,)] = 0.0
    variances.flat[0] = 0.0
    return variances


def _random_coefficients(variances: Array, grid: Grid, boundary: str, rng: Generator) -> Array:
    """Coefficients of modes whose mean square is 1, drawn from the lowest on."""
    normal = np.empty(grid.shape)
    normal.flat[_lowest_first(grid.shape, boundary)] = rng.standard_normal(normal.size)
    return np.asarray(np.sqrt(variances / grid.volume) * normal)


def _periodic_sum(coefficients: Array) -> Array:
    """Values at the cell centres: cos + sin of 2 pi k.x over all signed k is an orthonormal basis (Hartley), half a cell off the origin."""
    shifted: NDArray[Any] = coefficients
    for axis, n in enumerate(coefficients.shape):
        shift = np.exp(1j * np.pi * _wavenumbers(n, "periodic") / n)
        shifted = shifted * shift.reshape((-1,) + (1,) * (coefficients.ndim - axis - 1))
    waves = sfft.ifftn(shifted) * coefficients.size
    return np.asarray(waves.real + waves.imag)


def _wavenumbers(n: int, boundary: str) -> NDArray[np.int64]:
    k = np.arange(n)
    return k if boundary == "neumann" else np.where(k <= (n - 1) // 2, k, k - n)


@lru_cache(maxsize=32)
def _lowest_first(shape: tuple[int, ...], boundary: str) -> NDArray[np.int64]:
    """Flat positions of the modes ordered by their largest wavenumber, ties by signed wavenumbers: the order of drawing.

    The order of two modes does not depend on the grid, so a finer grid continues a coarser one's sequence.
    """
    numbers = np.meshgrid(*(_wavenumbers(n, boundary) for n in shape), indexing="ij")
    shell = np.max(np.abs(numbers), axis=0).ravel()
    for axis, n in enumerate(shape):
        if boundary == "periodic" and n % 2 == 0:  # unpaired Nyquist modes carry no variance: they draw last
            shell = np.where(numbers[axis].ravel() == -(n // 2), max(shape), shell)
    return np.lexsort([*(k.ravel() for k in reversed(numbers)), shell])
