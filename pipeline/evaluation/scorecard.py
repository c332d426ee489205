"""Judging: from what was heard of a model's music to the rows of the table of bars.

Of every clip the takes (one for each noise seed) are averaged first; intervals draw the clips again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.features.key import UNKNOWN, key_number
from models.metrics.metrics import frechet, hits_above_chance, interval, pearson, seam_ratio
from models.metrics.thresholds import Result, barred, ratio_of_means, resampled
from pipeline.evaluation.audio_metrics import Codec, Rhythm, Sound, Spectra, statistics

SHIFTS = 8
"""Derangements that a shuffled row is taken over: each clip against the one 1, 2, .. 8 places further."""
FRECHET_RESAMPLES = 200
EVENTS = 2
"""Least cuts or accents of a clip whose hits are counted."""


@dataclass(frozen=True)
class Heard:
    """What is known of one clip when its music has been heard.

    Attributes:
        asked: per-second means of the rhythm that was asked for, one for each noise seed.
        takes: the rhythm of the music, in the same order.
        events: seconds of the cuts or accents that the music should hit.
        real: the rhythm of the clip's own music.
        related: whether its own music goes with its picture.
    """

    asked: Sequence[Tensor]
    takes: Sequence[Rhythm]
    events: Tensor
    real: Rhythm
    related: bool = True


def follows(asked: Tensor, heard: Tensor) -> float:
    """Pearson correlation of two rhythms, one value a second each, the first and the last second of a clip left out.

    In the first second all music begins, in the last it ends: music that follows nothing would seem to follow there
    (r of about 0.07 between pieces of the corpus that have nothing to do with each other, 0.00 without those seconds).

    Raises:
        ValueError: fewer than 4 seconds.
    """
    seconds = min(len(asked), len(heard))
    if seconds < 4:
        raise ValueError(f"a correlation per second takes clips of at least 4 s, got {seconds} s")
    return float(pearson(asked[1 : seconds - 1], heard[1 : seconds - 1]))


def pooled(asked: Sequence[Tensor], heard: Sequence[Tensor]) -> float:
    """`follows` over the seconds of all clips at once: a loud clip beside a soft one counts too."""
    pairs = [(a[1:n], h[1:n]) for a, h in zip(asked, heard, strict=True) for n in [min(len(a), len(h)) - 1]]
    return float(pearson(torch.cat([a for a, _ in pairs]), torch.cat([h for _, h in pairs])))


def judge_codec(heard: Sequence[Codec]) -> list[Result]:
    """The autoencoder: held-out music against its reconstruction."""
    measures = {
        "log-mel L1": [codec.log_mel_l1 for codec in heard],
        "onset-strength correlation": [codec.onset_correlation for codec in heard],
        "chroma correlation per frame": [codec.chroma_correlation for codec in heard],
    }
    return [barred(f"VAE, held-out: {n}", interval(values), len(values)) for n, values in measures.items()]


def judge_given(clips: Sequence[Heard]) -> list[Result]:
    """Music with the rhythm of the clip's own music: r per second, and the strong accents of that music hit."""
    result = _r(clips, "given curve: r per second")
    name = "given curve: strong accents within 0.1 s minus chance"
    return [
        result,
        *_hits(clips, name),
        *_information("given curve of another clip: r per second", _shuffled_r(clips)),
        *_information("given curve of another clip: strong accents hit", _shuffled_hits(clips)),
        *_information("given curve: r per second with the clip's own music", _with_own(clips)),
        *_information("held-out music itself: its strong accents hit", _own_hits(clips)),
    ]


def judge_picture(clips: Sequence[Heard]) -> list[Result]:
    """Music with the rhythm that the picture asks for: r per second, cuts hit; the same with pictures shuffled."""
    related = [clip for clip in clips if clip.related]
    shuffled = "pictures shuffled among clips: "
    values = _shuffled_r(clips)
    return [
        _r(clips, "picture: r per second with the predicted curve"),
        *_hits(clips, "picture: cuts hit within 0.1 s minus chance"),
        *([barred(f"{shuffled}r per second", interval(values), len(values))] if values else []),
        *_information(f"{shuffled}cuts hit within 0.1 s minus chance", _shuffled_hits(clips)),
        *_information("picture: r per second with the film's own music", _with_own(related)),
        *_information("held-out music itself: cuts of its film hit", _own_hits(related)),
    ]


def judge_tune(made: Sequence[Sequence[Sound]], real: Sequence[Sound]) -> Result:
    """Key clarity of made music [clips][takes] over that of held-out music."""
    clear = [float(np.mean([take.key.clarity for take in takes])) for takes in made]
    return _ratio("in tune: key clarity over that of held-out music", clear, [sound.key.clarity for sound in real])


def judge_key(asked: Sequence[Sequence[int]], made: Sequence[Sequence[Sound]]) -> list[Result]:
    """Share of the takes [clips][takes] that are heard in the very key they were asked for; a guess gets 1 in 24.

    Args:
        asked: numbers of keys, `UNKNOWN` where none was asked for.
        made: what was heard.
    """
    pairs = [list(zip(numbers, takes, strict=True)) for numbers, takes in zip(asked, made, strict=True)]
    kept = [[_number(take) == number for number, take in some] for some in pairs if UNKNOWN not in dict(some)]
    return _information("in tune: heard in the key that was asked for", [float(np.mean(some)) for some in kept])


def _number(sound: Sound) -> int:
    return key_number(sound.key.tonic, sound.key.mode == "major")


def judge_pulse(made: Sequence[Sequence[Sound]], real: Sequence[Sound]) -> Result:
    """Beat autocorrelation of made music over that of held-out music."""
    beats = [float(np.mean([take.beat for take in takes])) for takes in made]
    return _ratio("pulse: beat autocorrelation over that of held-out music", beats, [sound.beat for sound in real])


def judge_mood(made: Sequence[tuple[int, Sequence[Sound]]], real: Sequence[tuple[int, Sound]]) -> list[Result]:
    """Mode and tempo, right together or wrong, of music whose picture (for held-out music: which itself) has a pole.

    Args:
        made: pole of the film, 1, -1 or 0 between, and what was heard of the takes.
        real: pole of the music as composed, and what was heard of it.
    """
    found = [_right(pole, takes) for pole, takes in made if pole]
    composed = [_right(pole, [sound]) for pole, sound in real if pole]
    results = []
    if found:
        results.append(barred("mood: mode and tempo right", interval([both for both, _, _ in found]), len(found)))
        results += _information("mood: mode right", [mode for _, mode, _ in found])
        results += _information("mood: tempo right", [tempo for _, _, tempo in found])
    results += _information("held-out music itself: mode and tempo right", [both for both, _, _ in composed])
    return results


def judge_spectrum(made: Sequence[Sequence[Sound]], back: Sequence[Spectra], real: Sequence[Sound]) -> list[Result]:
    """Frechet distance of made from held-out music, over that of reconstructions from held-out music.

    It says something of the music only where the autoencoder reaches its own bars: beside a broken one all is close.
    """
    of_clip = [[take.spectra for take in takes] for takes in made]

    def distances(index: np.ndarray) -> tuple[float, float]:
        truth = statistics([real[i].spectra for i in index])
        heard = statistics([part for i in index for part in of_clip[i]])
        return frechet(heard, truth), frechet(statistics([back[i] for i in index]), truth)

    def ratio(index: np.ndarray) -> float:
        upper, lower = distances(index)
        return upper / max(lower, 1e-9)

    upper, lower = distances(np.arange(len(real)))
    value = resampled(ratio, len(real), resamples=FRECHET_RESAMPLES)
    name = "spectrum: Frechet distance over that of VAE reconstructions"
    return [barred(name, value, len(real), made=upper, reconstructed=lower)]


def judge_seams(
    takes: Sequence[Sequence[Tensor]], real: Sequence[Tensor], joins: Sequence[Sequence[float]]
) -> list[Result]:
    """Long music [films][takes] at the joins of its windows (seconds) against elsewhere, and the films' own music.

    The ratio is averaged over films and takes before it is compared with 1: a join that falls on an accent is none of
    the model's doing, and the films' own music tells how much that may be.
    """
    ratios = [[seam_ratio(take, at) for take in of_film] for of_film, at in zip(takes, joins, strict=True)]
    own = [seam_ratio(music, at) for music, at in zip(real, joins, strict=True)]
    onsets = [float(np.mean([r.onset for r in of_film])) for of_film in ratios]
    fluxes = [float(np.mean([r.flux for r in of_film])) for of_film in ratios]
    return [
        barred("long video: onset strength at joins over elsewhere", interval(onsets), len(onsets)),
        barred("long video: spectral flux at joins over elsewhere", interval(fluxes), len(fluxes)),
        *_information("held-out long music itself: onset strength there over elsewhere", [r.onset for r in own]),
        *_information("held-out long music itself: spectral flux there over elsewhere", [r.flux for r in own]),
    ]


def judge_videos(videos: Sequence[tuple[Tensor, Sequence[Tensor]]]) -> list[Result]:
    """Cuts of real videos hit: cuts in seconds, two or more, and onset strength of the takes."""
    values = [float(np.mean([hits_above_chance(cuts, take) for take in takes])) for cuts, takes in videos]
    return [barred("real videos: cuts hit within 0.1 s minus chance", interval(values), len(values))] if values else []


def _r(clips: Sequence[Heard], name: str) -> Result:
    values = [_mean_r(clip.asked, clip.takes) for clip in clips]
    together = pooled([asked for clip in clips for asked in clip.asked], [t.seconds for c in clips for t in c.takes])
    return barred(name, interval(values), len(values), pooled_r=together)


def _mean_r(asked: Sequence[Tensor], takes: Sequence[Rhythm]) -> float:
    return float(np.mean([follows(told, take.seconds) for told, take in zip(asked, takes, strict=True)]))


def _with_own(clips: Sequence[Heard]) -> list[float]:
    """r of the takes with the clip's own music, of rhythm curves whatever the model is asked with."""
    return [float(np.mean([follows(clip.real.curve, take.curve) for take in clip.takes])) for clip in clips]


def _hits(clips: Sequence[Heard], name: str) -> list[Result]:
    values = [_mean_hits(clip.events, clip.takes) for clip in clips if len(clip.events) >= EVENTS]
    return [barred(name, interval(values), len(values))] if values else []


def _own_hits(clips: Sequence[Heard]) -> list[float]:
    return [_mean_hits(clip.events, [clip.real]) for clip in clips if len(clip.events) >= EVENTS]


def _mean_hits(events: Tensor, takes: Sequence[Rhythm]) -> float:
    return float(np.mean([hits_above_chance(events, take.onsets) for take in takes]))


def _shuffled_r(clips: Sequence[Heard]) -> list[float]:
    """For each clip the mean r of its music with what was asked for other clips."""
    others = range(1, min(SHIFTS, len(clips) - 1) + 1)
    return [
        float(np.mean([_mean_r(clips[i - k].asked, clip.takes) for k in others]))
        for i, clip in enumerate(clips)
        if others
    ]


def _shuffled_hits(clips: Sequence[Heard]) -> list[float]:
    """For each clip the mean share above chance of other clips' events that its music hits."""
    shifts = range(1, min(SHIFTS, len(clips) - 1) + 1)
    values = []
    for i, clip in enumerate(clips):
        others = [clips[i - k].events for k in shifts if len(clips[i - k].events) >= EVENTS]
        if others:
            values.append(float(np.mean([_mean_hits(events, clip.takes) for events in others])))
    return values


def _right(pole: int, takes: Sequence[Sound]) -> list[float]:
    """Shares of the takes with mode and tempo right, with the right mode, and with the right tempo."""
    moods = [take.mood(pole) for take in takes]
    shares: list[float] = np.mean([(mode and tempo, mode, tempo) for mode, tempo in moods], 0).tolist()
    return shares


def _ratio(name: str, upper: Sequence[float], lower: Sequence[float]) -> Result:
    value = ratio_of_means(upper, lower)
    return barred(name, value, len(upper), made=float(np.mean(upper)), held_out=float(np.mean(lower)))


def _information(name: str, values: Sequence[float]) -> list[Result]:
    return [Result(name, interval(values), len(values))] if values else []
