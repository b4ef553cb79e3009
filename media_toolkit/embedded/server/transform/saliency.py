"""Which part of a picture automatic gravity keeps."""

from __future__ import annotations

import numpy as np
from PIL import Image

from .geometry import Size


def busiest_window(
    image: Image.Image, size: Size, width: float, height: float
) -> tuple[float, float]:
    """Where a window of that size holds the most detail: edges, preferring the middle a little.

    Works on a copy of at most 96 pixels a side. `size` is what `width` and `height` are measured
    in; so is the answer, (left, top).
    """
    small = image.convert("L")
    small.thumbnail((96, 96), Image.Resampling.BOX)
    values = np.asarray(small, dtype=np.float64)
    detail = np.zeros_like(values)
    detail[:, 1:] += np.abs(np.diff(values, axis=1))
    detail[1:, :] += np.abs(np.diff(values, axis=0))
    rows, columns = values.shape
    fall_off = np.hanning(columns + 2)[1:-1][None, :] + np.hanning(rows + 2)[1:-1][:, None]
    detail = (detail + 1e-3) * (1.0 + 0.25 * fall_off)
    left = _best_start(detail.sum(axis=0), width / size[0])
    top = _best_start(detail.sum(axis=1), height / size[1])
    return left * size[0], top * size[1]


def _best_start(weights: np.ndarray, share: float) -> float:
    """Where a window of `share` of the length starts, as a share, to weigh the most."""
    length = len(weights)
    window = max(1, min(length, round(share * length)))
    sums = np.convolve(weights, np.ones(window), mode="valid")
    best = np.flatnonzero(sums >= sums.max() * (1 - 1e-9))
    start = best[len(best) // 2] / length
    return float(min(max(start, 0.0), 1.0 - share)) if share < 1 else 0.0
