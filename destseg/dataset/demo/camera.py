"""The camera over the line: lens, exposure and sensor, from linear light to 8-bit pixels."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from destseg.dataset.demo.field import OVERSAMPLING, Field


@dataclass(frozen=True, kw_only=True)
class Camera:
    """One photograph's conditions, all drawn within what a fixed industrial camera shows from day to day."""

    defocus: float
    """Standard deviation of the blur, in 1/256 of the side."""
    exposure: float
    """Gain before the tone curve."""
    balance: tuple[float, float, float]
    """Gains of red, green and blue."""
    vignetting: float
    """Light lost in the corners, as a share."""
    noise: float
    """Read noise in grey levels; shot noise grows with it."""
    noise_seed: int
    """Seed of the sensor's noise: two exposures with one camera differ only where the scene does."""

    @staticmethod
    def draw(rng: np.random.Generator) -> "Camera":
        """A camera on an ordinary day."""
        return Camera(
            defocus=rng.uniform(0.35, 0.75),
            exposure=float(np.exp(rng.normal(0, 0.06))),
            balance=(rng.normal(1.0, 0.012), 1.0, rng.normal(1.0, 0.015)),
            vignetting=rng.uniform(0.12, 0.28),
            noise=rng.uniform(0.8, 1.6),
            noise_seed=int(rng.integers(2**63)),
        )

    def expose(self, light: Field) -> Field:
        """Grey levels 0 to 255, float [size, size, 3], without noise, of linear light [2 size, 2 size, 3]."""
        size = light.shape[0] // OVERSAMPLING
        image = np.zeros((size, size, 3), np.float32)
        for row in range(OVERSAMPLING):
            for column in range(OVERSAMPLING):
                image += light[row::OVERSAMPLING, column::OVERSAMPLING]
        image /= OVERSAMPLING**2
        sigma = self.defocus * size / 256
        image = gaussian_filter(image, (sigma, sigma, 0), truncate=3)
        axis = np.linspace(-1, 1, size, dtype=np.float32)
        fall_off = 1 - self.vignetting * 0.5 * (axis[:, None] ** 2 + axis[None] ** 2)
        gains = np.asarray(self.balance, np.float32) * np.float32(self.exposure)
        image *= fall_off[..., None] * gains
        # A shoulder for the highlights, as film and cameras have, then the display's gamma.
        return np.asarray(255 * (1 - np.exp(-1.25 * np.maximum(image, 0))) ** (1 / 2.2), dtype=np.float32)

    def develop(self, exposed: Field) -> np.ndarray:
        """uint8 RGB [size, size, 3]: an exposure with this photograph's sensor noise."""
        rng = np.random.default_rng(self.noise_seed)
        grain = 0.75 * rng.standard_normal((*exposed.shape[:2], 1), np.float32)
        grain = grain + 0.6 * rng.standard_normal(exposed.shape, np.float32)
        noisy = exposed + grain * (self.noise * np.sqrt(1 + exposed * np.float32(1 / 60)))
        return np.asarray(np.clip(np.rint(noisy), 0, 255), dtype=np.uint8)
