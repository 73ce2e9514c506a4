import numpy as np
import pytest
import scipy.fft as sfft

from sciml.fields import BinaryField, GaussianRandomField, LogNormal, SmoothStep, Uniform
from sciml.grid import Grid

SQUARE = Grid((24, 24), (1.0, 1.0))


def draws(law, grid, count, seed=0):
    return np.array([law.sample(grid, np.random.default_rng([seed, i])) for i in range(count)])


def test_cosine_law_has_the_published_spectrum():
    """Coefficients of the orthonormal cosine modes are independent with variance tau^(2a-2) (pi^2 |k|^2 + tau^2)^-a, none for k = 0."""
    count = 2000
    samples = draws(GaussianRandomField(alpha=2.0, tau=3.0), SQUARE, count)
    coefficients = sfft.dctn(samples, axes=(1, 2), norm="ortho") / 24  # L2(0,1)^2-orthonormal: ortho DCT times sqrt(cell area)
    k = np.arange(24)
    expected = 3.0**2 * (np.pi**2 * (k[:, None] ** 2 + k[None, :] ** 2) + 9.0) ** -2.0
    expected[0, 0] = 0
    z = (coefficients.var(axis=0)[expected > 0] / expected[expected > 0] - 1) / np.sqrt(2 / count)
    assert abs(coefficients[:, 0, 0]).max() < 1e-12
    assert abs(z.mean()) < 4 / np.sqrt(z.size)
    assert 0.9 < z.std() < 1.1
    np.testing.assert_allclose(coefficients.mean(axis=0) / np.sqrt(np.maximum(expected, 1e-30) / count), 0, atol=5)


def test_periodic_law_has_the_variance_of_the_vorticity_code():
    """7^3 (-Laplacian + 49)^-2.5 has a pointwise rms of 0.185; the prefactor 7^(3/2) that the paper prints would give 0.043."""
    law = GaussianRandomField(alpha=2.5, tau=7.0, boundary="periodic")
    grid = Grid((64, 64), (1.0, 1.0))
    assert np.sqrt(law.eigenvalues(grid).sum()) == pytest.approx(0.185, abs=0.001)
    samples = draws(law, grid, 400)
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(0.185, rel=0.03)
    assert abs(samples.mean(axis=(1, 2))).max() < 1e-14
    pointwise = samples.var(axis=0)
    assert pointwise.max() / pointwise.min() < 2  # stationary: no point of the torus is special


def test_periodic_law_has_its_spectrum_and_no_preferred_phase():
    count, grid = 2000, Grid((16, 12), (2.0, 1.0))
    law = GaussianRandomField(alpha=2.0, tau=4.0, boundary="periodic")
    spectrum = sfft.fftn(draws(law, grid, count), axes=(1, 2)) / (16 * 12)
    kx, ky = 2 * np.pi * sfft.fftfreq(16, 1 / 16) / 2.0, 2 * np.pi * sfft.fftfreq(12, 1 / 12)
    expected = 4.0**2 * (kx[:, None] ** 2 + ky[None, :] ** 2 + 16.0) ** -2.0 / 2.0  # per unit area of a box of area 2
    expected[0, 0] = expected[8, :] = expected[:, 6] = 0
    power = np.mean(np.abs(spectrum) ** 2, axis=0)
    np.testing.assert_allclose(power[expected > 0] / expected[expected > 0], 1, atol=6 / np.sqrt(count))
    assert power[expected == 0].max() < 1e-25
    assert abs(np.mean(spectrum[:, 1, 1] ** 2)) < 5 * expected[1, 1] / np.sqrt(count)  # circular: E c^2 = 0


@pytest.mark.parametrize("boundary", ["neumann", "periodic"])
@pytest.mark.parametrize("shapes", [((16, 16), (32, 32)), ((15, 20), (30, 40)), ((8, 8, 8), (12, 12, 12))])
def test_the_same_numbers_give_the_same_function_on_a_finer_grid(boundary, shapes):
    """Coarse coefficients equal the fine ones mode by mode, whatever the parity of the grids."""
    law = GaussianRandomField(alpha=2.5, tau=3.0, boundary=boundary)
    dimension = len(shapes[0])
    amplitudes = []
    for shape in shapes:
        field = law.sample(Grid(shape, (1.0,) * dimension), np.random.default_rng(5))
        keep = (slice(0, 3),) * dimension
        if boundary == "neumann":
            amplitudes.append(sfft.dctn(field, norm="forward")[keep])
        else:
            spectrum = sfft.fftn(field, norm="forward")
            for axis, n in enumerate(shape):  # refer the phase to the corner of the box, not to the first cell centre
                shift = np.exp(-1j * np.pi * sfft.fftfreq(n, 1 / n) / n)
                spectrum = spectrum * shift.reshape((-1,) + (1,) * (dimension - axis - 1))
            amplitudes.append(spectrum[keep])
    if boundary == "neumann":
        # the orthonormal cosine has the same values on both grids, but the forward DCT of order n sees it through cos(pi k / 2n)
        np.testing.assert_allclose(amplitudes[0], amplitudes[1], rtol=1e-10, atol=1e-13)
    else:
        np.testing.assert_allclose(amplitudes[0], amplitudes[1], rtol=1e-10, atol=1e-13)


def test_derived_fields():
    grid, rng = SQUARE, (lambda: np.random.default_rng(8))
    field = GaussianRandomField()
    g = field.sample(grid, rng())
    np.testing.assert_array_equal(BinaryField(low=3, high=12).sample(grid, rng()), np.where(g > 0, 12.0, 3.0))
    np.testing.assert_allclose(LogNormal(scale=2.0).sample(grid, rng()), 2 * np.exp(g))
    smooth = SmoothStep(low=3, high=12, steepness=4).sample(grid, rng())
    np.testing.assert_allclose(smooth, 3 + 9 / (1 + np.exp(-4 * g)))
    numbers = draws(Uniform(low=-1, high=3), grid, 500)
    assert numbers.shape == (500,)
    assert numbers.mean() == pytest.approx(1, abs=0.2)
    assert numbers.min() >= -1
    assert numbers.max() < 3


def test_both_phases_cover_half_of_the_domain():
    share = np.mean(draws(BinaryField(), SQUARE, 200) == 12.0)
    assert share == pytest.approx(0.5, abs=0.02)
