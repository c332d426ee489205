"""Color: the RGB-uv log-chroma histogram of HistoGAN, computed for each frame."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

BINS = 32  # bins on each of the axes u and v
BOUND = 3.0  # the axes run from -3 to 3
SIGMA = 0.02  # fall-off of the inverse-quadratic kernel
EPSILON = 1e-6
WIDTH = 3 * BINS * BINS  # values of one histogram
# Pixels of one matrix product: few enough that the linear algebra library stays on one thread. With more pixels it
# would spend four times the processor time, and the last bits of the sum would depend on the machine.
BLOCK = 250

Histogram = npt.NDArray[np.float32]


@functools.cache
def _kernel() -> Histogram:
    """Returns [256 * 256, bins]: 1 / (1 + ((log x - log y - bin) / sigma)^2) in row 256 x + y, for all 8-bit x and y.

    With eight bits there are only 65,536 log ratios, so the kernel is computed once and then looked up.
    """
    logs = np.log(np.arange(256) / 255.0 + EPSILON)
    ratio = (logs[:, None] - logs[None, :]).reshape(-1, 1)
    bins = np.linspace(-BOUND, BOUND, BINS)
    return (1.0 / (1.0 + ((ratio - bins) / SIGMA) ** 2)).astype(np.float32)


class HistogramMaker:
    """Computes the RGB-uv histograms of frames of one size. Its memory is allocated only once, which halves the time.

    For channel R the axes are u = log(R/G), v = log(R/B); for G, log(G/R) and log(G/B); for B, log(B/R) and log(B/G).
    Each pixel adds its intensity sqrt(R^2 + G^2 + B^2) times an inverse-quadratic kernel of sigma 0.02 around each of
    32 x 32 bins in [-3, 3], and the histogram is divided by its sum. (Source: Afifi et al., HistoGAN, CVPR 2021, 3.1.)

    Args:
        pixels: number of pixels of a frame.
    """

    def __init__(self, pixels: int) -> None:
        self._blocks = -(-pixels // BLOCK)
        self._kernel = _kernel()
        self._rg, self._rb, self._gb = np.empty((3, self._blocks, BLOCK, BINS), np.float32)
        self._products = np.empty((self._blocks, BINS, BINS), np.float32)

    def __call__(self, frame: npt.NDArray[np.uint8]) -> Histogram:
        """Computes the histogram of one frame [height, width, 3], RGB.

        Returns:
            [3072] values, not negative, with the sum 1, in the order channel, u, v, where v changes fastest.
        """
        count = frame.size // 3
        pixels = np.zeros((self._blocks * BLOCK, 3), np.int32)
        pixels[:count] = frame.reshape(-1, 3)
        unit = pixels.astype(np.float32) / 255.0
        intensity = np.sqrt(np.einsum("pc,pc->p", unit, unit) + np.float32(EPSILON))
        intensity[count:] = 0.0  # the padding of the last block has no weight
        weights = intensity.reshape(-1, BLOCK, 1)
        red, green, blue = pixels.reshape(-1, BLOCK, 3).transpose(2, 0, 1)
        # The bins lie symmetrically around 0, so the kernel of log(y/x) is that of log(x/y) reversed: three kernels
        # serve for six.
        for ratios, out in (
            (red * 256 + green, self._rg),
            (red * 256 + blue, self._rb),
            (green * 256 + blue, self._gb),
        ):
            self._kernel.take(ratios, axis=0, out=out, mode="clip")  # mode "clip" changes nothing here but saves a copy
        self._gb *= weights
        green_plane = self._product(self._rg, self._gb)[::-1]
        blue_plane = self._product(self._rb, self._gb)[::-1, ::-1]
        self._rb *= weights
        red_plane = self._product(self._rg, self._rb)
        histogram = np.concatenate([red_plane, green_plane, blue_plane]).reshape(-1)
        return histogram / (histogram.sum(dtype=np.float64) + EPSILON).astype(np.float32)

    def _product(self, u: Histogram, v: Histogram) -> Histogram:
        """Returns [u bins, v bins]: the products of both kernels, summed over all pixels."""
        np.matmul(u.transpose(0, 2, 1), v, out=self._products)
        total: Histogram = self._products.sum(axis=0)
        return total


def color_histograms(frames: npt.NDArray[np.uint8]) -> Histogram:
    """Returns the histograms [frames, 3072] of frames [frames, height, width, 3], RGB; see `HistogramMaker`."""
    make = HistogramMaker(frames.shape[1] * frames.shape[2])
    return np.stack([make(frame) for frame in frames]) if len(frames) else np.zeros((0, WIDTH), np.float32)
