"""Scoring: turns the measurements of a model's music into the rows of the results table.

A clip has a take of music for each noise seed. The takes of a clip are averaged first; intervals resample the clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.features.key import UNKNOWN, key_number
from models.metrics.metrics import frechet, hits_above_chance, interval, pearson, seam_ratio
from models.metrics.thresholds import Result, ratio_of_means, resampled, with_threshold
from pipeline.evaluation.audio_metrics import (
    CodecMeasurement,
    RhythmMeasurement,
    SoundMeasurement,
    SpectrumSums,
    statistics,
)

SHIFTS = 8
"""Number of shuffles for the shuffled rows: each clip is compared with the one 1, 2, .. 8 places further."""
FRECHET_RESAMPLES = 200
"""How often the clips are resampled for the interval of the Frechet distance, which is slow to compute."""
EVENTS = 2
"""Least number of cuts or accents of a clip whose hits are counted."""


@dataclass(frozen=True)
class ClipMeasurements:
    """The measurements of the music for one clip.

    Attributes:
        targets: per-second means of the target rhythm, one per noise seed.
        takes: rhythm of the music, in the same order.
        events: times in seconds of the cuts or accents that the music should hit.
        real: rhythm of the clip's own music.
        related: whether the clip's own music goes with its picture.
    """

    targets: Sequence[Tensor]
    takes: Sequence[RhythmMeasurement]
    events: Tensor
    real: RhythmMeasurement
    related: bool = True


def rhythm_correlation(target: Tensor, measured: Tensor) -> float:
    """Returns the Pearson correlation of two rhythms [seconds], without the first and the last second of the clip.

    All music begins in the first second and ends in the last one, so there even unrelated music would correlate: r is
    about 0.07 between unrelated pieces of the corpus with those seconds, and 0.00 without them.

    Raises:
        ValueError: there are fewer than 4 seconds.
    """
    seconds = min(len(target), len(measured))
    if seconds < 4:
        raise ValueError(f"a correlation per second takes clips of at least 4 s, got {seconds} s")
    return float(pearson(target[1 : seconds - 1], measured[1 : seconds - 1]))


def pooled_rhythm_correlation(targets: Sequence[Tensor], measured: Sequence[Tensor]) -> float:
    """Returns `rhythm_correlation` over the seconds of all clips at once, where differences between clips count too."""
    pairs = [(t[1:n], m[1:n]) for t, m in zip(targets, measured, strict=True) for n in [min(len(t), len(m)) - 1]]
    return float(pearson(torch.cat([t for t, _ in pairs]), torch.cat([m for _, m in pairs])))


def score_codec(measurements: Sequence[CodecMeasurement]) -> list[Result]:
    """Scores the autoencoder: held-out music against its reconstruction."""
    measures = {
        "log-mel L1": [codec.log_mel_l1 for codec in measurements],
        "onset-strength correlation": [codec.onset_correlation for codec in measurements],
        "chroma correlation per frame": [codec.chroma_correlation for codec in measurements],
    }
    return [with_threshold(f"VAE, held-out: {n}", interval(values), len(values)) for n, values in measures.items()]


def score_given(clips: Sequence[ClipMeasurements]) -> list[Result]:
    """Scores music for the rhythm of the clip's own music: r per second, and hits of that music's strong accents."""
    return [
        _correlation(clips, "given curve: r per second"),
        *_hits(clips, "given curve: strong accents within 0.1 s minus chance"),
        *_information("given curve of another clip: r per second", _shuffled_correlations(clips)),
        *_information("given curve of another clip: strong accents hit", _shuffled_hits(clips)),
        *_information("given curve: r per second with the clip's own music", _correlations_with_own(clips)),
        *_information("held-out music itself: its strong accents hit", _own_hits(clips)),
    ]


def score_picture(clips: Sequence[ClipMeasurements]) -> list[Result]:
    """Scores music for the predicted rhythm: r per second and hits of cuts, and the same with pictures shuffled."""
    related = [clip for clip in clips if clip.related]
    shuffled = "pictures shuffled among clips: "
    values = _shuffled_correlations(clips)
    return [
        _correlation(clips, "picture: r per second with the predicted curve"),
        *_hits(clips, "picture: cuts hit within 0.1 s minus chance"),
        *([with_threshold(f"{shuffled}r per second", interval(values), len(values))] if values else []),
        *_information(f"{shuffled}cuts hit within 0.1 s minus chance", _shuffled_hits(clips)),
        *_information("picture: r per second with the film's own music", _correlations_with_own(related)),
        *_information("held-out music itself: cuts of its film hit", _own_hits(related)),
    ]


def score_tune(made: Sequence[Sequence[SoundMeasurement]], real: Sequence[SoundMeasurement]) -> Result:
    """Scores the key clarity of generated music [clips][takes] over that of held-out music."""
    clear = [float(np.mean([take.key.clarity for take in takes])) for takes in made]
    return _ratio("in tune: key clarity over that of held-out music", clear, [sound.key.clarity for sound in real])


def score_key(target_keys: Sequence[Sequence[int]], made: Sequence[Sequence[SoundMeasurement]]) -> list[Result]:
    """Scores the share of the takes [clips][takes] that are in their target key; it is 1 in 24 by chance.

    Args:
        target_keys: numbers of keys, `UNKNOWN` for no target.
        made: measurements of the takes.
    """
    pairs = [list(zip(numbers, takes, strict=True)) for numbers, takes in zip(target_keys, made, strict=True)]
    hits = [[_key_number(take) == number for number, take in clip] for clip in pairs if UNKNOWN not in dict(clip)]
    return _information("in tune: heard in the key that was asked for", [float(np.mean(clip)) for clip in hits])


def _key_number(sound: SoundMeasurement) -> int:
    return key_number(sound.key.tonic, sound.key.mode == "major")


def score_pulse(made: Sequence[Sequence[SoundMeasurement]], real: Sequence[SoundMeasurement]) -> Result:
    """Scores the beat autocorrelation of generated music over that of held-out music."""
    beats = [float(np.mean([take.beat for take in takes])) for takes in made]
    return _ratio("pulse: beat autocorrelation over that of held-out music", beats, [sound.beat for sound in real])


def score_mood(
    made: Sequence[tuple[int, Sequence[SoundMeasurement]]], real: Sequence[tuple[int, SoundMeasurement]]
) -> list[Result]:
    """Scores whether mode and tempo, both together, fit a film of a clear mood; the same for held-out music itself.

    Args:
        made: mood label of the film, 1, -1 or 0 between, and measurements of the takes.
        real: mood label of the music as it was composed, and measurements of it.
    """
    generated = [_shares_that_fit(label, takes) for label, takes in made if label]
    held_out = [_shares_that_fit(label, [sound]) for label, sound in real if label]
    results = []
    if generated:
        both_right = [both for both, _, _ in generated]
        results.append(with_threshold("mood: mode and tempo right", interval(both_right), len(generated)))
        results += _information("mood: mode right", [mode for _, mode, _ in generated])
        results += _information("mood: tempo right", [tempo for _, _, tempo in generated])
    results += _information("held-out music itself: mode and tempo right", [both for both, _, _ in held_out])
    return results


def score_spectrum(
    made: Sequence[Sequence[SoundMeasurement]],
    reconstructions: Sequence[SpectrumSums],
    real: Sequence[SoundMeasurement],
) -> list[Result]:
    """Scores the Frechet distance of generated from held-out music, over that of reconstructions from held-out music.

    The ratio is meaningful only where the autoencoder reaches its own thresholds: beside a broken one every distance is
    small.
    """
    sums_of_clip = [[take.spectrum_sums for take in takes] for takes in made]

    def distances(index: np.ndarray) -> tuple[float, float]:
        truth = statistics([real[i].spectrum_sums for i in index])
        generated = statistics([sums for i in index for sums in sums_of_clip[i]])
        return frechet(generated, truth), frechet(statistics([reconstructions[i] for i in index]), truth)

    def ratio(index: np.ndarray) -> float:
        generated, reconstructed = distances(index)
        return generated / max(reconstructed, 1e-9)

    generated, reconstructed = distances(np.arange(len(real)))
    value = resampled(ratio, len(real), resamples=FRECHET_RESAMPLES)
    name = "spectrum: Frechet distance over that of VAE reconstructions"
    return [with_threshold(name, value, len(real), made=generated, reconstructed=reconstructed)]


def score_seams(
    takes: Sequence[Sequence[Tensor]], real: Sequence[Tensor], joins: Sequence[Sequence[float]]
) -> list[Result]:
    """Scores long music [films][takes] at the joins of its windows (times in seconds) against elsewhere.

    The ratio is averaged over films and takes before it is compared with 1, because some joins fall on accents by
    chance. The ratio of the films' own music shows how much that may be.
    """
    ratios = [[seam_ratio(take, times) for take in of_film] for of_film, times in zip(takes, joins, strict=True)]
    own = [seam_ratio(music, times) for music, times in zip(real, joins, strict=True)]
    onsets = [float(np.mean([r.onset for r in of_film])) for of_film in ratios]
    fluxes = [float(np.mean([r.flux for r in of_film])) for of_film in ratios]
    return [
        with_threshold("long video: onset strength at joins over elsewhere", interval(onsets), len(onsets)),
        with_threshold("long video: spectral flux at joins over elsewhere", interval(fluxes), len(fluxes)),
        *_information("held-out long music itself: onset strength there over elsewhere", [r.onset for r in own]),
        *_information("held-out long music itself: spectral flux there over elsewhere", [r.flux for r in own]),
    ]


def score_videos(videos: Sequence[tuple[Tensor, Sequence[Tensor]]]) -> list[Result]:
    """Scores hits of the cuts of real videos: times of two or more cuts, and onset strength of the takes."""
    values = [float(np.mean([hits_above_chance(cuts, take) for take in takes])) for cuts, takes in videos]
    name = "real videos: cuts hit within 0.1 s minus chance"
    return [with_threshold(name, interval(values), len(values))] if values else []


def _correlation(clips: Sequence[ClipMeasurements], name: str) -> Result:
    values = [_mean_correlation(clip.targets, clip.takes) for clip in clips]
    targets = [target for clip in clips for target in clip.targets]
    pooled = pooled_rhythm_correlation(targets, [take.seconds for clip in clips for take in clip.takes])
    return with_threshold(name, interval(values), len(values), pooled_r=pooled)


def _mean_correlation(targets: Sequence[Tensor], takes: Sequence[RhythmMeasurement]) -> float:
    return float(np.mean([rhythm_correlation(t, take.seconds) for t, take in zip(targets, takes, strict=True)]))


def _correlations_with_own(clips: Sequence[ClipMeasurements]) -> list[float]:
    """Returns the correlations of the takes' rhythm curves with those of the clips' own music."""
    return [float(np.mean([rhythm_correlation(clip.real.curve, take.curve) for take in clip.takes])) for clip in clips]


def _hits(clips: Sequence[ClipMeasurements], name: str) -> list[Result]:
    values = [_mean_hits(clip.events, clip.takes) for clip in clips if len(clip.events) >= EVENTS]
    return [with_threshold(name, interval(values), len(values))] if values else []


def _own_hits(clips: Sequence[ClipMeasurements]) -> list[float]:
    return [_mean_hits(clip.events, [clip.real]) for clip in clips if len(clip.events) >= EVENTS]


def _mean_hits(events: Tensor, takes: Sequence[RhythmMeasurement]) -> float:
    return float(np.mean([hits_above_chance(events, take.onsets) for take in takes]))


def _shuffled_correlations(clips: Sequence[ClipMeasurements]) -> list[float]:
    """Returns, for each clip, the mean correlation of its music with the target rhythms of other clips."""
    shifts = range(1, min(SHIFTS, len(clips) - 1) + 1)
    return [
        float(np.mean([_mean_correlation(clips[i - k].targets, clip.takes) for k in shifts]))
        for i, clip in enumerate(clips)
        if shifts
    ]


def _shuffled_hits(clips: Sequence[ClipMeasurements]) -> list[float]:
    """Returns, for each clip, the mean share above chance of other clips' events that its music hits."""
    shifts = range(1, min(SHIFTS, len(clips) - 1) + 1)
    values = []
    for i, clip in enumerate(clips):
        others = [clips[i - k].events for k in shifts if len(clips[i - k].events) >= EVENTS]
        if others:
            values.append(float(np.mean([_mean_hits(events, clip.takes) for events in others])))
    return values


def _shares_that_fit(mood_label: int, takes: Sequence[SoundMeasurement]) -> list[float]:
    """Returns the shares of the takes whose mode and tempo both fit a mood, whose mode fits, and whose tempo fits."""
    fits = [take.fits_mood(mood_label) for take in takes]
    shares: list[float] = np.mean([(mode and tempo, mode, tempo) for mode, tempo in fits], 0).tolist()
    return shares


def _ratio(name: str, made: Sequence[float], real: Sequence[float]) -> Result:
    value = ratio_of_means(made, real)
    return with_threshold(name, value, len(made), made=float(np.mean(made)), held_out=float(np.mean(real)))


def _information(name: str, values: Sequence[float]) -> list[Result]:
    return [Result(name, interval(values), len(values))] if values else []
