"""ssim_multiscale: structural similarity at several scales.

Z. Wang, E. P. Simoncelli and A. C. Bovik, "Multiscale structural similarity for image quality
assessment" (Asilomar, 2003).
"""

from __future__ import annotations

from typing import Any

from . import api as hr
from .errors import InvalidArgumentError
from .image_quality import image_pair, ssim_maps
from .tensor import Tensor

__all__ = ["ssim_multiscale"]

_FACTORS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def ssim_multiscale(
    img1: Any,
    img2: Any,
    max_val: Any,
    power_factors: Any = _FACTORS,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
) -> Tensor:
    """The product of the structures of ever smaller images and the similarity of the smallest,
    each to the power of a factor: float32 [...].

    Args:
        img1, img2: [..., height, width, channels].
        max_val: the span of the values.
        power_factors: one per scale, the original size first; each next is half as large.
        filter_size, filter_sigma, k1, k2: as in `ssim`.

    Raises:
        InvalidArgumentError: the smallest scale is smaller than the window.
    """
    x, y, most = image_pair(img1, img2, max_val)
    factors = [float(f) for f in power_factors]
    parts = []
    for k in range(len(factors)):
        if k:
            x, y = _halved(x), _halved(y)
        for n in (x.shape.dims or ())[-3:-1]:
            if n is not None and n < filter_size:
                raise InvalidArgumentError(
                    f"images must be at least filter_size={filter_size} a side at each of "
                    f"{len(factors)} scales, got shape {x.shape} at scale {k} "
                    "[Op:SSIMMultiscale]",
                    op="SSIMMultiscale",
                )
        both, structure = ssim_maps(x, y, most, filter_size, filter_sigma, k1, k2)
        last = k == len(factors) - 1
        parts.append(hr.relu(hr.reduce_mean(both if last else structure, [-3, -2])))
    powers = [p**f for p, f in zip(parts, factors, strict=True)]
    product = powers[0]
    for p in powers[1:]:
        product = product * p
    return hr.reduce_mean(product, [-1])


def _halved(x: Tensor) -> Tensor:
    """Means of 2 x 2 pixels; an odd last row or column is repeated first."""
    lead = hr.shape(x)[:-3]
    flat = hr.reshape(x, hr.concat([[-1], hr.shape(x)[-3:]], 0))
    odd = hr.shape(flat)[1:3] % 2
    after = hr.concat([[0], odd, [0]], 0)
    pads = hr.stack([hr.zeros_like(after), after], axis=1)
    flat = hr.avg_pool2d(hr.pad(flat, pads, "SYMMETRIC"), 2, 2, "VALID")
    return hr.reshape(flat, hr.concat([lead, hr.shape(flat)[1:]], 0))
