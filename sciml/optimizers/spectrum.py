"""Singular values of a Jacobian and what the residual is in its left singular vectors, by four routes that agree.

* dense: QR of the longer side, then an SVD of the small triangle. Nothing is squared, so that values down to rounding times the largest
  one are trusted: this is what tight cuts need.
* gram: eigenvalues of ``J J^T``, from what went into each layer and what came back where the residuals know how, else summed up one
  parameter tensor at a time; the whole Jacobian is never held. Squaring loses half of the digits: values below ``sqrt(eps)`` times the
  largest are noise.
* matrix-free: a randomised SVD of given rank (Halko, Martinsson and Tropp 2011, SIAM Review 53, algorithm 4.4 and section 5.1) from
  products with J and its transpose alone; memory grows with rank times (rows + parameters).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.func import jvp, vjp

from sciml.optimizers.residuals import KnowsGram, Parameters, Residuals, numbers

Backend = Literal["auto", "dense", "gram", "matrix-free"]

#: Vectors beyond the rank asked for, and the power iterations, of the randomised SVD.
_OVERSAMPLING, _POWERS = 10, 2
#: Singular values below this part of the largest are rounding of a Gram matrix in float64.
GRAM_FLOOR = 1e-7


@dataclass(frozen=True, eq=False)
class Spectrum:
    """A Jacobian as seen from one residual.

    Attributes
    ----------
    s : singular values, falling, shape (k,).
    coefficients : ``U^T r``, shape (k,).
    back : maps ``c`` of shape (k,) to ``V c``, shape (P,).
    forward : maps a vector of shape (P,) to ``V^T x``, shape (k,).
    """

    s: Tensor
    coefficients: Tensor
    back: Callable[[Tensor], Tensor]
    forward: Callable[[Tensor], Tensor]


def flatten(parameters: Parameters) -> Tensor:
    return torch.cat([value.reshape(-1) for value in parameters.values()])


def unflatten(flat: Tensor, like: Parameters) -> Parameters:
    pieces = torch.split(flat, [value.numel() for value in like.values()])
    return {name: piece.reshape(value.shape) for piece, (name, value) in zip(pieces, like.items(), strict=True)}


def dense(residuals: Residuals, parameters: Parameters, r: Tensor) -> Spectrum:
    J = torch.cat([rows.reshape(len(r), -1) for rows in residuals.jacobian(parameters).values()], dim=1).double()
    r = r.double()
    if J.shape[0] >= J.shape[1]:
        Q, R = torch.linalg.qr(J)
        U, s, Vt = torch.linalg.svd(R)
        return Spectrum(s, U.T @ (Q.T @ r), lambda c: Vt.T @ c, lambda x: Vt @ x)
    Q, R = torch.linalg.qr(J.T)  # J = R^T Q^T
    U, s, Wt = torch.linalg.svd(R.T)
    return Spectrum(s, U.T @ r, lambda c: Q @ (Wt.T @ c), lambda x: Wt @ (Q.T @ x))


def gram(residuals: Residuals, parameters: Parameters, r: Tensor) -> Spectrum:
    if isinstance(residuals, KnowsGram):
        G = residuals.gram(parameters).double()
    else:
        G = torch.zeros(len(r), len(r), dtype=torch.float64, device=r.device)
        for name in parameters:
            rows = residuals.jacobian(parameters, [name])[name].reshape(len(r), -1).double()
            G += rows @ rows.T
    eigenvalues, U = torch.linalg.eigh(G)
    s, U = eigenvalues.flip(0).clamp(min=0).sqrt(), U.flip(1)
    J = Products(residuals, parameters)
    inverse = torch.where(s > 0, 1 / s, 0.0)
    return Spectrum(s, U.T @ r.double(), lambda c: J.transposed(U @ (inverse * c)), lambda x: inverse * (U.T @ J.times(x)))


def matrix_free(residuals: Residuals, parameters: Parameters, r: Tensor, rank: int, generator: torch.Generator) -> Spectrum:
    J = Products(residuals, parameters)
    width = min(rank + _OVERSAMPLING, len(r), numbers(parameters))
    Q = _orthonormal(torch.randn(len(r), width, dtype=torch.float64, generator=generator).to(r.device))
    for _ in range(_POWERS):
        V = _orthonormal(J.transposed_many(Q))
        Q = _orthonormal(J.times_many(V))
        del V  # as large as the Jacobian's rank times its parameters
    V, R = torch.linalg.qr(J.transposed_many(Q))  # J is close to Q Q^T J = Q R^T V^T
    U, s, Wt = torch.linalg.svd(R.T)
    k = min(rank, width)
    U, s, Wt = U[:, :k], s[:k], Wt[:k]
    return Spectrum(s, U.T @ (Q.T @ r.double()), lambda c: V @ (Wt.T @ c), lambda x: Wt @ (V.T @ x))


class Products:
    """Products with a Jacobian and its transpose by forward and reverse differentiation."""

    def __init__(self, residuals: Residuals, parameters: Parameters) -> None:
        self.residuals, self.parameters = residuals, parameters
        self.value, self._pull = vjp(residuals, parameters)[:2]

    def times(self, x: Tensor) -> Tensor:
        tangents = unflatten(x.to(self.value.dtype), self.parameters)
        image: Tensor = jvp(self.residuals, (self.parameters,), (tangents,))[1]
        return image.double()

    def transposed(self, y: Tensor) -> Tensor:
        (found,) = self._pull(y.to(self.value.dtype))
        return flatten(found).double()

    def times_many(self, X: Tensor) -> Tensor:
        """``J X``, one column at a time: a batch of them would hold every intermediate result as often."""
        return torch.stack([self.times(X[:, k]) for k in range(X.shape[1])], dim=1)

    def transposed_many(self, Y: Tensor) -> Tensor:
        found = torch.empty(numbers(self.parameters), Y.shape[1], dtype=torch.float64, device=Y.device)
        for k in range(Y.shape[1]):
            found[:, k] = self.transposed(Y[:, k])
        return found


def _orthonormal(X: Tensor) -> Tensor:
    return torch.linalg.qr(X)[0]
