"""Color: the RGB-uv log-chroma histogram of HistoGAN, one for each frame."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

BINS = 32  # on each of the axes u and v
BOUND = 3.0  # the axes run from -3 to 3
SIGMA = 0.02  # fall-off of the inverse-quadratic kernel
EPSILON = 1e-6
WIDTH = 3 * BINS * BINS  # numbers of one histogram
# Pixels of one matrix product: so few that the linear algebra library stays on one thread. On more it would spend four
# times the processor time, and the sum's last bits would depend on the machine.
BLOCK = 250

Histogram = npt.NDArray[np.float32]


@functools.cache
def _kernel() -> Histogram:
    """[256 * 256, bins]: 1 / (1 + ((log x - log y - bin) / sigma)^2) for every pair of 8-bit values, at 256 x + y.

    Eight bits leave 65,536 log ratios, so the kernel is computed once and looked up.
    """
    logs = np.log(np.arange(256) / 255.0 + EPSILON)
    ratio = (logs[:, None] - logs[None, :]).reshape(-1, 1)
    bins = np.linspace(-BOUND, BOUND, BINS)
    return (1.0 / (1.0 + ((ratio - bins) / SIGMA) ** 2)).astype(np.float32)


class HistogramMaker:
    """Makes the RGB-uv histograms of frames of one size; its working memory is allocated once, which halves the time.

    For channel R the axes are u = log(R/G), v = log(R/B); for G, log(G/R) and log(G/B); for B, log(B/R) and log(B/G).
    Each pixel adds its intensity sqrt(R^2 + G^2 + B^2) times an inverse-quadratic kernel of sigma 0.02 around each of
    32 x 32 bins in [-3, 3], and the whole is divided by its sum. (Source: Afifi et al., HistoGAN, CVPR 2021, 3.1.)

    Args:
        pixels: of one frame.
    """

    def __init__(self, pixels: int) -> None:
        self._blocks = -(-pixels // BLOCK)
        self._kernel = _kernel()
        self._rg, self._rb, self._gb = np.empty((3, self._blocks, BLOCK, BINS), np.float32)
        self._products = np.empty((self._blocks, BINS, BINS), np.float32)

    def __call__(self, frame: npt.NDArray[np.uint8]) -> Histogram:
        """The histogram of one frame [height, width, 3], RGB.

        Returns:
            [3072], not negative, summing to 1: channel, u, v in this order, v running fastest.
        """
        count = frame.size // 3
        pixels = np.zeros((self._blocks * BLOCK, 3), np.int32)
        pixels[:count] = frame.reshape(-1, 3)
        unit = pixels.astype(np.float32) / 255.0
        intensity = np.sqrt(np.einsum("pc,pc->p", unit, unit) + np.float32(EPSILON))
        intensity[count:] = 0.0  # what fills the last block weighs nothing
        weights = intensity.reshape(-1, BLOCK, 1)
        red, green, blue = pixels.reshape(-1, BLOCK, 3).transpose(2, 0, 1)
        # The bins lie evenly around 0, so the kernel of log(y/x) is that of log(x/y) read backwards: three do for six.
        for ratios, out in (
            (red * 256 + green, self._rg),
            (red * 256 + blue, self._rb),
            (green * 256 + blue, self._gb),
        ):
            self._kernel.take(ratios, axis=0, out=out, mode="clip")  # clipping does nothing but spare a copy
        self._gb *= weights
        of_green = self._product(self._rg, self._gb)[::-1]
        of_blue = self._product(self._rb, self._gb)[::-1, ::-1]
        self._rb *= weights
        of_red = self._product(self._rg, self._rb)
        histogram = np.concatenate([of_red, of_green, of_blue]).reshape(-1)
        return histogram / (histogram.sum(dtype=np.float64) + EPSILON).astype(np.float32)

    def _product(self, u: Histogram, v: Histogram) -> Histogram:
        """[u bins, v bins]: the products of both kernels, summed over all pixels."""
        np.matmul(u.transpose(0, 2, 1), v, out=self._products)
        total: Histogram = self._products.sum(axis=0)
        return total


def color_histograms(frames: npt.NDArray[np.uint8]) -> Histogram:
    """[frames, 3072] from [frames, height, width, 3] RGB: the histogram of each, see `HistogramMaker`."""
    make = HistogramMaker(frames.shape[1] * frames.shape[2])
    return np.stack([make(frame) for frame in frames]) if len(frames) else np.zeros((0, WIDTH), np.float32)
