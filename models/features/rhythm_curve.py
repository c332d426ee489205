"""The rhythm of music: peaks, accents, the rhythm curve on the time grid of the latents, beat and tempo."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import conv1d

from models.features.audio import HOP, SAMPLE_RATE, attack_strength, decibels, mel_power, mono, rises

Floats = npt.NDArray[np.float64]

FLOOR_DB = -45.0
"""The level below which mel bands count as silent in rhythm curves: about 75 dB below loud music, for every clip."""
ONSET_SCALE = 2.75
"""The onset strength in dB that becomes 1 in a rhythm curve: its standard deviation in composed music."""
ENERGY_DB, ENERGY_SCALE, ENERGY_RANGE = -15.0, 6.0, 3.0
"""The RMS level that becomes 0 in a rhythm curve, the dB that become 1, and the largest value to either side of 0."""
ENERGY_SECONDS = 0.5
"""The time over which the energy is smoothed."""

ACCENT_GAP = 0.25
"""The least number of seconds between two accents."""
ACCENT_REACH = 3.0
"""Seconds to either side of an accent that it is compared with."""
ACCENT_DEVIATIONS = 5.0
"""How many local standard deviations above the local mean an onset must be to be an accent."""
ACCENT_FULL = 8.0
"""How many local standard deviations above the local mean an accent of strength 1 is."""

EDGE_FRAMES = 5
"""How many of the first values of onset and attack strength are set to 0, because they measure the start of the audio
itself: a part that is cut out of a clip has no onset there."""
ATTACK_DELAY = 0.025
"""Seconds from an attack to the peak of attack strength."""

SLOWEST_TEMPO, FASTEST_TEMPO = 60.0, 180.0
"""The range, in beats per minute, in which beats are searched."""
PREFERRED_TEMPO = 120.0
"""The preferred tempo in beats per minute; others count less, by a Gaussian with a standard deviation of an octave."""


def find_peaks(curve: npt.ArrayLike, prominence: float) -> tuple[npt.NDArray[np.int64], Floats]:
    """Returns indices and prominences of the local maxima of at least `prominence`, as scipy.signal.find_peaks does.

    The prominence of a peak is its height above the higher one of two lowest points: those between the peak and the
    next higher values (or the ends) to its left and to its right. A plateau counts once, in its middle.

    Args:
        curve: values, [frames].
        prominence: the least prominence, in the unit of the curve.
    """
    values = np.asarray(curve, dtype=np.float64)
    if len(values) == 0:
        return np.zeros(0, np.int64), np.zeros(0)
    starts = np.concatenate(([0], np.flatnonzero(np.diff(values)) + 1))
    ends = np.concatenate((starts[1:], [len(values)])) - 1
    levels = values[starts]
    tops = 1 + np.flatnonzero((levels[1:-1] > levels[:-2]) & (levels[1:-1] > levels[2:]))
    bases = np.maximum(_lowest_since_higher(levels), _lowest_since_higher(levels[::-1])[::-1])
    heights = levels[tops] - bases[tops]
    keep = heights >= prominence
    return ((starts + ends) // 2)[tops][keep], heights[keep]


def _lowest_since_higher(values: Floats) -> Floats:
    """Returns, for each value, the lowest value between the last greater one before it and itself."""
    lows: list[float] = []
    open_values: list[tuple[float, float]] = []
    for value in values.tolist():
        low = value
        while open_values and open_values[-1][0] <= value:
            low = min(low, open_values.pop()[1])
        open_values.append((value, low))
        lows.append(low)
    return np.array(lows)


def rhythm_curve(audio: Tensor, sample_rate: int, rate: float, frames: int) -> Tensor:
    """Returns the rhythm of a clip on the latents' grid: [3, frames]; frame i covers the time [i, i + 1) / rate.

    Channel 0 is the greatest onset strength in the frame, at least 0, with a standard deviation of about 1 in music.
    Channel 1 is the energy, -3..3: the level over about half a second, where -15 dB RMS become 0 and 6 dB become 1.
    Channel 2 holds the accents as `pulses`, 0..1.
    The scales are fixed: apart from its edges, a part of a clip has the same values alone and within the clip.

    Args:
        audio: [samples] or [channels, samples]; frame 0 begins with it.
        sample_rate: samples per second of the audio.
        rate: frames per second, 44100 / 2048 for the latents.
        frames: number of frames; those after the end of the audio are silent.
    """
    samples = mono(audio)
    power = mel_power(samples, sample_rate)
    strength = rises(decibels(power, FLOOR_DB), HOP)
    strength[:EDGE_FRAMES] = 0
    times, strengths = _accents(rises(power.sqrt(), HOP), sample_rate / HOP)
    onsets = peaks_on_grid(strength, sample_rate / HOP, rate, frames) / ONSET_SCALE
    return torch.stack((onsets, _energy(samples, sample_rate, rate, frames), pulses(times, strengths, rate, frames)))


def peaks_on_grid(curve: Tensor, curve_rate: float, rate: float, frames: int) -> Tensor:
    """Returns the greatest value of a curve >= 0 within each frame of another grid: [values] -> [frames]."""
    # Rounding puts a value on the boundary of two frames into the frame that begins there.
    index = (torch.arange(len(curve), dtype=torch.float64) * (rate / curve_rate)).round(decimals=6).floor().long()
    inside = index < frames
    return curve.new_zeros(frames).scatter_reduce(0, index[inside].to(curve.device), curve[inside], "amax")


def _energy(samples: Tensor, sample_rate: int, rate: float, frames: int) -> Tensor:
    """Returns channel 1 of the rhythm curve, the smoothed level: [samples] -> [frames]."""
    ends = (torch.arange(frames + 1, dtype=torch.float64) * (sample_rate / rate)).round().long().clamp(max=len(samples))
    total = torch.cat((samples.new_zeros(1, dtype=torch.float64), samples.double().square().cumsum(0)))
    power = (total[ends[1:]] - total[ends[:-1]]) / (sample_rate / rate)
    # A Hann window is above half of its height over half of its length.
    taps = 2 * max(1, round(ENERGY_SECONDS * rate)) + 1
    window = torch.hann_window(taps + 2, periodic=False, dtype=torch.float64)[1:-1].to(power.device)[None, None]
    weights = conv1d(torch.ones_like(power)[None, None], window, padding=taps // 2)
    smooth = (conv1d(power[None, None], window, padding=taps // 2) / weights)[0, 0]
    level = (10 * smooth.clamp(min=1e-10).log10() - ENERGY_DB) / ENERGY_SCALE
    return level.clamp(-ENERGY_RANGE, ENERGY_RANGE).to(samples.dtype)


def accent_times(audio: Tensor, sample_rate: int = SAMPLE_RATE) -> tuple[Tensor, Tensor]:
    """Returns the accents of a clip: rising times in seconds and strengths in (0, 1], both [accents] float64.

    An accent is an attack that stands far above those of the 3 s to either side and is the strongest within 0.25 s.

    Args:
        audio: [samples] or [channels, samples].
        sample_rate: samples per second of the audio.
    """
    return _accents(attack_strength(audio, sample_rate), sample_rate / HOP)


def _accents(strength: Tensor, rate: float) -> tuple[Tensor, Tensor]:
    """Returns times and strengths of the accents in attack strength [frames], with `rate` frames per second."""
    attacks = strength.double().cpu().numpy()
    attacks[:EDGE_FRAMES] = 0
    curve = np.convolve(attacks, (0.25, 0.5, 0.25), "same")[: len(attacks)]
    mean, deviation = _surroundings(curve, round(ACCENT_REACH * rate))
    heights = (curve - mean) / deviation
    peaks, _ = find_peaks(heights, ACCENT_DEVIATIONS / 2)
    chosen: list[int] = []
    for peak in peaks[np.argsort(-heights[peaks], kind="stable")].tolist():
        if heights[peak] >= ACCENT_DEVIATIONS and all(abs(peak - other) >= ACCENT_GAP * rate for other in chosen):
            chosen.append(peak)
    chosen.sort()
    times = [max(0.0, (peak + _parabola_top(*heights[peak - 1 : peak + 2])) / rate - ATTACK_DELAY) for peak in chosen]
    strengths = np.minimum(heights[chosen] / ACCENT_FULL, 1)
    return torch.tensor(times, dtype=torch.float64), torch.from_numpy(strengths)


def _surroundings(curve: Floats, reach: int) -> tuple[Floats, Floats]:
    """Returns mean and standard deviation of the values at most `reach` frames away, each [frames]."""
    frames = np.arange(len(curve))
    first, last = np.maximum(frames - reach, 0), np.minimum(frames + reach + 1, len(curve))
    sums, squares = (np.concatenate(([0.0], np.cumsum(x))) for x in (curve, curve**2))
    mean = (sums[last] - sums[first]) / (last - first)
    variance = (squares[last] - squares[first]) / (last - first) - mean**2
    # The lower bound keeps the quantization noise of 16 bits from standing out.
    return mean, np.sqrt(np.maximum(variance, 1e-8))


def _parabola_top(before: float, peak: float, after: float) -> float:
    """Returns where the parabola through three neighboring values has its top, -0.5..0.5 from the middle one."""
    curvature = before - 2 * peak + after
    return 0.0 if curvature >= 0 else 0.5 * (before - after) / curvature


def pulses(times: Tensor, strengths: Tensor, rate: float, frames: int) -> Tensor:
    """Returns events as triangles on a grid, [frames] float32, 0..1, whose values encode times between the frames.

    An event at time t of strength s adds s * max(0, 1 - |t * rate - (i + 0.5)|) to frame i: the two frames whose
    middles are nearest share it, according to their distances. Accents and the cuts of a picture are described so.

    Args:
        times: times in seconds, [events]; those outside the grid are ignored.
        strengths: strengths 0..1, [events].
        rate: frames per second.
        frames: number of frames.
    """
    middles = torch.arange(frames, dtype=torch.float64) + 0.5
    share = (1 - (times.double().cpu()[:, None] * rate - middles).abs()).clamp(min=0)
    return (strengths.double().cpu()[:, None] * share).sum(0).clamp(max=1).float()


def autocorrelation(strength: Tensor, lags: int) -> Tensor:
    """Returns the autocorrelation of onset strength at lags 0..`lags`: [lags + 1], 1 at lag 0, 0 for a flat curve."""
    curve = strength.double()
    curve = curve - curve.mean()
    size = len(curve)
    spectrum = torch.fft.rfft(curve, 2 * size)
    products = torch.fft.irfft(spectrum.abs().square(), 2 * size)[: lags + 1]
    squares = torch.cat((curve.new_zeros(1), curve.square().cumsum(0)))
    shift = torch.arange(min(lags, size - 1) + 1, device=curve.device)
    norm = (squares[size - shift] * (squares[-1] - squares[shift])).sqrt()
    result = curve.new_zeros(lags + 1)
    result[: len(shift)] = torch.where(norm > 1e-9, products[: len(shift)] / norm.clamp(min=1e-9), 0.0)
    return result


def beat_autocorrelation(strength: Tensor, rate: float = SAMPLE_RATE / HOP) -> float:
    """Returns how steady the beat is: the greatest autocorrelation of onset strength at 60..180 beats per minute.

    It is at most 1, 0.5..0.9 for composed music with a steady beat, and about 0.05 for noise.

    Args:
        strength: onset strength, [frames].
        rate: frames per second.
    """
    slow, fast = math.floor(60 / SLOWEST_TEMPO * rate), math.ceil(60 / FASTEST_TEMPO * rate)
    return float(autocorrelation(strength, slow)[fast:].max())


def tempo_of(strength: Tensor, rate: float = SAMPLE_RATE / HOP) -> float:
    """Returns the tempo in beats per minute, 60..180: the beat whose first four multiples have most autocorrelation.

    Moderate tempi are preferred (`PREFERRED_TEMPO`). Whether music has 70 or 140 beats per minute is ambiguous: expect
    errors by factors of two.

    Args:
        strength: attack strength, [frames]; onset strength works too, with more errors.
        rate: frames per second.
    """
    tempi = SLOWEST_TEMPO * (FASTEST_TEMPO / SLOWEST_TEMPO) ** torch.linspace(0, 1, 400, dtype=torch.float64)
    lags = 60 / tempi * rate
    curve = autocorrelation(strength, math.ceil(4 * float(lags.max())) + 1).cpu()
    score = torch.stack([_interpolated(curve, n * lags) for n in range(1, 5)]).mean(0)
    return float(tempi[(score * torch.exp(-0.5 * torch.log2(tempi / PREFERRED_TEMPO).square())).argmax()])


def _interpolated(curve: Tensor, position: Tensor) -> Tensor:
    """Returns the values of a curve at positions between its points, by linear interpolation."""
    below = position.floor().long()
    part = position - below
    return curve[below] * (1 - part) + curve[below + 1] * part
