"""Rhythm of music: peaks, accents, the rhythm curve on the latents' grid, beat and tempo."""

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
"""Mel bands below this count as silent in rhythm curves: about 75 dB below loud music, the same for every clip."""
ONSET_SCALE = 2.75
"""dB of onset strength that make 1 in a rhythm curve: its standard deviation in composed music."""
ENERGY_DB, ENERGY_SCALE, ENERGY_RANGE = -15.0, 6.0, 3.0
"""The RMS level that makes 0 in a rhythm curve, the dB that make 1, and how far it goes to either side."""
ENERGY_SECONDS = 0.5

ACCENT_GAP = 0.25
"""Least seconds between two accents."""
ACCENT_REACH = 3.0
"""Seconds to either side that an accent stands out from."""
ACCENT_DEVIATIONS = 5.0
"""Local standard deviations above the local mean that make an onset an accent."""
ACCENT_FULL = 8.0
"""Local standard deviations above the local mean that make an accent of strength 1."""

START = 5
"""First values of onset and attack strength that hear the audio itself begin: a cut-out stretch has no onset there."""
ATTACK_DELAY = 0.025
"""Seconds by which attack strength peaks after the attack."""

SLOWEST, FASTEST = 60.0, 180.0
"""Beats a minute between which a pulse is looked for."""
MODERATE = 120.0
"""Beats a minute favored over all others, by a Gaussian with a deviation of an octave."""


def find_peaks(curve: npt.ArrayLike, prominence: float) -> tuple[npt.NDArray[np.int64], Floats]:
    """Local maxima that stand out by at least `prominence`: their indices and prominences, as scipy.signal.find_peaks.

    A peak's prominence is its height over the higher of the two lowest points between it and higher ground (or the end)
    to its left and right. A plateau counts once, in its middle.

    Args:
        curve: [frames].
        prominence: in the curve's unit.
    """
    values = np.asarray(curve, dtype=np.float64)
    if len(values) == 0:
        return np.zeros(0, np.int64), np.zeros(0)
    starts = np.concatenate(([0], np.flatnonzero(np.diff(values)) + 1))
    ends = np.concatenate((starts[1:], [len(values)])) - 1
    levels = values[starts]
    tops = 1 + np.flatnonzero((levels[1:-1] > levels[:-2]) & (levels[1:-1] > levels[2:]))
    bases = np.maximum(_lows(levels), _lows(levels[::-1])[::-1])
    heights = levels[tops] - bases[tops]
    keep = heights >= prominence
    return ((starts + ends) // 2)[tops][keep], heights[keep]


def _lows(values: Floats) -> Floats:
    """For each value the lowest one from behind the last greater value up to it."""
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
    """The rhythm of a clip on the latents' grid: [3, frames]; frame i covers the time [i / rate, (i + 1) / rate).

    Channel 0 is the greatest onset strength in the frame, 0 up, with a standard deviation of about 1 in music.
    Channel 1 is the energy, -3..3: the level over about half a second, -15 dB RMS making 0 and 6 dB making 1.
    Channel 2 are the accents as `pulses`, 0..1.
    The scales are fixed: apart from the edges, a stretch has the same numbers alone and in its clip.

    Args:
        audio: [samples] or [channels, samples], from the time 0 of frame 0.
        sample_rate: of the audio.
        rate: frames a second, 44100 / 2048 for the latents.
        frames: how many; those after the end of the audio are silent.
    """
    samples = mono(audio)
    power = mel_power(samples, sample_rate)
    strength = rises(decibels(power, FLOOR_DB), HOP)
    strength[:START] = 0
    times, strengths = _accents(rises(power.sqrt(), HOP), sample_rate / HOP)
    onsets = peaks_on_grid(strength, sample_rate / HOP, rate, frames) / ONSET_SCALE
    return torch.stack((onsets, _energy(samples, sample_rate, rate, frames), pulses(times, strengths, rate, frames)))


def peaks_on_grid(curve: Tensor, curve_rate: float, rate: float, frames: int) -> Tensor:
    """The greatest value of a curve >= 0 within each frame of another grid: [values] -> [frames]."""
    # Rounded, because a value on a frame's boundary belongs to the frame that begins there.
    index = (torch.arange(len(curve), dtype=torch.float64) * (rate / curve_rate)).round(decimals=6).floor().long()
    inside = index < frames
    return curve.new_zeros(frames).scatter_reduce(0, index[inside].to(curve.device), curve[inside], "amax")


def _energy(samples: Tensor, sample_rate: int, rate: float, frames: int) -> Tensor:
    """Channel 1 of the rhythm curve: the smoothed level of [samples] -> [frames]."""
    ends = (torch.arange(frames + 1, dtype=torch.float64) * (sample_rate / rate)).round().long().clamp(max=len(samples))
    total = torch.cat((samples.new_zeros(1, dtype=torch.float64), samples.double().square().cumsum(0)))
    power = (total[ends[1:]] - total[ends[:-1]]) / (sample_rate / rate)
    # A Hann window is at half its height over half its length.
    taps = 2 * max(1, round(ENERGY_SECONDS * rate)) + 1
    window = torch.hann_window(taps + 2, periodic=False, dtype=torch.float64)[1:-1].to(power.device)[None, None]
    weights = conv1d(torch.ones_like(power)[None, None], window, padding=taps // 2)
    smooth = (conv1d(power[None, None], window, padding=taps // 2) / weights)[0, 0]
    level = (10 * smooth.clamp(min=1e-10).log10() - ENERGY_DB) / ENERGY_SCALE
    return level.clamp(-ENERGY_RANGE, ENERGY_RANGE).to(samples.dtype)


def accent_times(audio: Tensor, sample_rate: int = SAMPLE_RATE) -> tuple[Tensor, Tensor]:
    """The accents of a clip: their times in seconds, rising, and strengths in (0, 1], both [accents] float64.

    An accent is an attack that stands far above those of the 3 s to either side and is the strongest within 0.25 s.

    Args:
        audio: [samples] or [channels, samples].
        sample_rate: of the audio.
    """
    return _accents(attack_strength(audio, sample_rate), sample_rate / HOP)


def _accents(strength: Tensor, rate: float) -> tuple[Tensor, Tensor]:
    """Accents of attack strength [frames], `rate` frames a second."""
    attacks = strength.double().cpu().numpy()
    attacks[:START] = 0
    curve = np.convolve(attacks, (0.25, 0.5, 0.25), "same")[: len(attacks)]
    mean, deviation = _surroundings(curve, round(ACCENT_REACH * rate))
    heights = (curve - mean) / deviation
    peaks, _ = find_peaks(heights, ACCENT_DEVIATIONS / 2)
    chosen: list[int] = []
    for peak in peaks[np.argsort(-heights[peaks], kind="stable")].tolist():
        if heights[peak] >= ACCENT_DEVIATIONS and all(abs(peak - other) >= ACCENT_GAP * rate for other in chosen):
            chosen.append(peak)
    chosen.sort()
    times = [max(0.0, (peak + _vertex(*heights[peak - 1 : peak + 2])) / rate - ATTACK_DELAY) for peak in chosen]
    strengths = np.minimum(heights[chosen] / ACCENT_FULL, 1)
    return torch.tensor(times, dtype=torch.float64), torch.from_numpy(strengths)


def _surroundings(curve: Floats, reach: int) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the values at most `reach` away, each [frames]."""
    frames = np.arange(len(curve))
    first, last = np.maximum(frames - reach, 0), np.minimum(frames + reach + 1, len(curve))
    sums, squares = (np.concatenate(([0.0], np.cumsum(x))) for x in (curve, curve**2))
    mean = (sums[last] - sums[first]) / (last - first)
    variance = (squares[last] - squares[first]) / (last - first) - mean**2
    # Nothing stands out of the noise of 16 bits.
    return mean, np.sqrt(np.maximum(variance, 1e-8))


def _vertex(before: float, peak: float, after: float) -> float:
    """Where a parabola through three neighbouring values has its top, -0.5..0.5 from the middle one."""
    bend = before - 2 * peak + after
    return 0.0 if bend >= 0 else 0.5 * (before - after) / bend


def pulses(times: Tensor, strengths: Tensor, rate: float, frames: int) -> Tensor:
    """Events as triangles on a grid: [frames] float32, 0..1, whose values tell the exact times between the frames.

    An event at time t of strength s adds s * max(0, 1 - |t * rate - (i + 0.5)|) to frame i: it is shared by the two
    frames whose middles are nearest to it, by its distance to them. Used for accents as well as for cuts of a picture.

    Args:
        times: seconds, [events]; those off the grid count for nothing.
        strengths: 0..1, [events].
        rate: frames a second.
        frames: how many.
    """
    middles = torch.arange(frames, dtype=torch.float64) + 0.5
    share = (1 - (times.double().cpu()[:, None] * rate - middles).abs()).clamp(min=0)
    return (strengths.double().cpu()[:, None] * share).sum(0).clamp(max=1).float()


def autocorrelation(strength: Tensor, lags: int) -> Tensor:
    """Correlation of onset strength with itself, 0..`lags` frames later: [lags + 1], 1 at lag 0, 0 for a flat curve."""
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
    """How steady the pulse is: the greatest autocorrelation of onset strength at lags of 60..180 beats a minute.

    0.5..0.9 for composed music with a steady beat, about 0.05 for noise, at most 1.

    Args:
        strength: onset strength [frames].
        rate: frames a second.
    """
    slow, fast = math.floor(60 / SLOWEST * rate), math.ceil(60 / FASTEST * rate)
    return float(autocorrelation(strength, slow)[fast:].max())


def tempo_of(strength: Tensor, rate: float = SAMPLE_RATE / HOP) -> float:
    """Tempo in beats a minute, 60..180: the beat whose first four multiples recur best, moderate tempi favored.

    Music does not say whether it has 70 or 140 beats a minute: expect factors of two.

    Args:
        strength: attack strength, or onset strength with more errors, [frames].
        rate: frames a second.
    """
    tempi = SLOWEST * (FASTEST / SLOWEST) ** torch.linspace(0, 1, 400, dtype=torch.float64)
    lags = 60 / tempi * rate
    curve = autocorrelation(strength, math.ceil(4 * float(lags.max())) + 1).cpu()
    score = torch.stack([_at(curve, n * lags) for n in range(1, 5)]).mean(0)
    return float(tempi[(score * torch.exp(-0.5 * torch.log2(tempi / MODERATE).square())).argmax()])


def _at(curve: Tensor, position: Tensor) -> Tensor:
    """Values of a curve between its points, by straight lines."""
    below = position.floor().long()
    part = position - below
    return curve[below] * (1 - part) + curve[below + 1] * part
