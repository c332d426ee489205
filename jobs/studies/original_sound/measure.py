"""How well voices are found, and how far music sinks under them: `diff-v2m experiment original-sound PICTURE.png`.

Films are made by rule (`films`), so it is known when somebody speaks. They go through the stage Mix as in a run, under
composed music.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from jobs.studies.original_sound.films import BACKGROUNDS, RATE, SECONDS, Mono, SpokenFilm, spoken_film, write_film
from models.mixing.bed import ENVELOPE_RATE
from models.mixing.ducking import UNDER_SPEECH, Span, ducking_envelope, speech_spans
from models.mixing.own_music import music_spans
from models.mixing.settings import MixingSettings
from models.mixing.sound import StoredSound
from models.mixing.speech import STEP_S, SpeechDetector
from models.synthetic import compose, render
from stages.contracts import SOUND, Row, rows_of, table_of
from stages.mix import Mix, MixSettings
from stages.plots.losses import BACKGROUND, COLORS, INK, SOFT, write_text
from stages.plots.png import write_png

RATIOS = (20.0, 10.0, 5.0, 0.0)
"""Decibels of speech over the background."""
FIRST_SEED = 10
"""The films before it served to choose the settings of the detection."""
PICTURE = (900, 260)
"""Width and height in pixels."""


def measure_original_sound(picture: Path, seeds: int, progress: Callable[[str], None]) -> str:
    """Returns the tables as Markdown, and draws one film.

    Args:
        picture: PNG file that is written.
        seeds: films of each kind.
        progress: receives a line for each kind.
    """
    return f"{_detection(seeds, progress)}\n{_own_music(seeds, progress)}\n{_ducking(seeds, picture, progress)}"


def _detection(seeds: int, progress: Callable[[str], None]) -> str:
    """Precision and recall of the steps of 32 ms, by background and level; and alarms where nobody speaks."""
    detector = SpeechDetector()
    lines = [
        "| background | speech above it | precision | recall | late at a phrase, at most |",
        "| --- " * 5 + "|",
    ]
    kinds = [("silence", 20.0)] + [(name, ratio) for name in BACKGROUNDS[1:] for ratio in RATIOS]
    for name, ratio in kinds:
        films = [spoken_film(name, ratio, seed) for seed in range(FIRST_SEED, FIRST_SEED + seeds)]
        found = [_spans(detector, film) for film in films]
        pairs = [(steps_of(spans), steps_of(film.phrases)) for spans, film in zip(found, films, strict=True)]
        heard, truth = (np.concatenate([pair[i] for pair in pairs]) for i in (0, 1))
        both = (heard & truth).sum()
        late = max(lateness(spans, film) for spans, film in zip(found, films, strict=True))
        level = "" if name == "silence" else f"{ratio:.0f} dB"
        lines.append(
            f"| {name} | {level} | {both / max(heard.sum(), 1):.3f} | {both / truth.sum():.3f} | {late:.2f} s |"
        )
        progress(lines[-1])
    lines += ["", "| nobody speaks | taken for speech |", "| --- | --- |"]
    for name in BACKGROUNDS[1:]:
        alarms = [
            steps_of(_spans(detector, spoken_film(name, 0.0, seed, speaks=False))).mean() for seed in range(seeds)
        ]
        lines.append(f"| {name} | {np.mean(alarms):.2%} of the time |")
        progress(lines[-1])
    return "\n".join(lines) + "\n"


def _own_music(seeds: int, progress: Callable[[str], None]) -> str:
    """Share of the time that is taken for music, by background and level of a voice over it."""
    detector, lines = SpeechDetector(), ["| sound | taken for music |", "| --- | --- |"]
    kinds = [(name, ratio, True) for name in BACKGROUNDS[1:] for ratio in (10.0, 0.0)]
    for name, ratio, speaks in [*kinds, *((name, 0.0, False) for name in BACKGROUNDS[1:]), ("silence", 0.0, True)]:
        films = [spoken_film(name, ratio, seed, speaks=speaks) for seed in range(FIRST_SEED, FIRST_SEED + seeds)]
        shares = [steps_of(music_spans(_stereo(film), _spans(detector, film))).mean() for film in films]
        voice = f", and a voice {ratio:.0f} dB above it" if speaks else ""
        lines.append(f"| {name}{voice} | {np.mean(shares):.0%} of the time |")
        progress(lines[-1])
    return "\n".join(lines) + "\n"


def _stereo(film: SpokenFilm) -> StoredSound:
    sound = film.sound.astype(np.float32)
    return StoredSound(np.stack((sound, sound), 1), RATE)


def _spans(detector: SpeechDetector, film: SpokenFilm) -> list[Span]:
    return speech_spans(detector(_stereo(film)), STEP_S)


def steps_of(spans: Iterable[Span]) -> np.ndarray:
    """Whether somebody speaks at each step of a film, [steps]."""
    times = (np.arange(int(SECONDS / STEP_S)) + 0.5) * STEP_S
    return np.any([(times >= begin) & (times < end) for begin, end in spans] or [np.zeros(len(times), bool)], axis=0)


def lateness(spans: list[Span], film: SpokenFilm) -> float:
    """Seconds from the beginning of a phrase to the first span that meets it, the worst of a film."""
    starts = [
        min((max(a - begin, 0.0) for a, b in spans if a < end and b > begin), default=end - begin)
        for begin, end in film.phrases
    ]
    return max(starts)


def _ducking(seeds: int, picture: Path, progress: Callable[[str], None]) -> str:
    """Ratio of the original sound to the music in speech and in gaps, as the stage Mix gives them."""
    lines = ["| `--original` | in speech | in gaps | voice changed by |", "| --- | --- | --- | --- |"]
    for name, mixing in (("keep", MixingSettings(original="keep")), ("duck", MixingSettings(original="duck"))):
        results = [_mixed(mixing, seed) for seed in range(FIRST_SEED, FIRST_SEED + seeds)]
        both = np.mean([ratios(film, row) for film, row in results], axis=0)
        change = max(_change(film, row) for film, row in results)
        lines.append(f"| `{name}` | {both[0]:.1f} dB | {both[1]:.1f} dB | {change:.2f} dB |")
        progress(lines[-1])
    _draw(*results[0], picture)
    return "\n".join(lines) + "\n"


def _mixed(mixing: MixingSettings, seed: int) -> tuple[SpokenFilm, Row]:
    """Returns a film of a voice over soft wind, and what the stage Mix makes of it."""
    film = spoken_film("wind", 25.0, seed)
    piece = np.round(render(compose(50_000 + seed, SECONDS), RATE).T * 32767).astype(np.int16)
    music = np.zeros((round(SECONDS * RATE), 2), np.int16)
    music[: len(piece)] = piece[: len(music)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "film.mkv")
        write_film(path, film.sound)
        row = {"item_id": "1", "content_id": "1", "uri": str(path), "output": "film.mkv", "duration": SECONDS}
        row |= {"media": {"has_audio": True}, "waveform": music, "rhythm": np.zeros((1, 1, 1)), "cuts": np.zeros(0)}
        (mixed,) = rows_of(Mix(MixSettings(mixing, RATE, stems=True))(table_of([row], SOUND)))
    assert mixed["error"] is None, mixed["error"]
    return film, mixed


def ratios(film: SpokenFilm, row: Row) -> tuple[float, float]:
    """Decibels of the voice's level in its phrases over the music: in the phrases, and where the music is back."""
    voice = 10 * np.log10(np.mean(np.square(film.speech[_at(film.phrases)])))
    around = [
        (begin - UNDER_SPEECH.attack, end + UNDER_SPEECH.hang_over + UNDER_SPEECH.release + 0.3)
        for begin, end in film.phrases
    ]
    music = row["waveform"][:, 0] / 32768
    inside, outside = (music[mask] for mask in (_at(film.phrases), ~_at(around)))
    return voice - 10 * np.log10(np.mean(np.square(inside))), voice - 10 * np.log10(np.mean(np.square(outside)))


def _at(spans: Iterable[Span]) -> np.ndarray:
    times = np.arange(round(SECONDS * RATE)) / RATE
    return np.any([(times >= begin) & (times < end) for begin, end in spans], axis=0)


def _change(film: SpokenFilm, row: Row) -> float:
    """Decibels by which the level of the voice in its phrases differs from that in the film."""
    inside = _at(film.phrases)
    powers = [np.mean(np.square(sound[inside])) for sound in (row["original_sound"][:, 0] / 32768, film.sound)]
    return abs(float(10 * np.log10(powers[0] / powers[1])))


def _draw(film: SpokenFilm, row: Row, path: Path) -> None:
    """Draws the original sound, the music as it is mixed, and the envelope, from top to bottom."""
    width, height = PICTURE
    image = np.full((height, width, 3), BACKGROUND, np.uint8)
    rows = ((film.sound, 10, 90, SOFT), (row["waveform"][:, 0] / 32768, 100, 180, COLORS[0]))
    for sound, top, bottom, shade in rows:
        _draw_wave(image, sound, top, bottom, shade)
    envelope = ducking_envelope([tuple(span) for span in row["speech"]], SECONDS, 12.0)
    places = np.minimum((np.arange(width) / width * SECONDS * ENVELOPE_RATE).astype(int), len(envelope) - 1)
    levels = np.round(195 - envelope[places] / 12 * 50).astype(int)
    for x in range(1, width):
        low, high = sorted((levels[x - 1], levels[x]))
        image[low : high + 2, x] = COLORS[1]
    for text, y in (("original sound", 18), ("music", 108), ("envelope, 0 to -12 dB", 256)):
        write_text(image, text, 6, y, 0.4, INK)
    write_png(path, image)


def _draw_wave(image: np.ndarray, sound: Mono, top: int, bottom: int, shade: tuple[int, int, int]) -> None:
    columns = np.array_split(np.abs(sound), image.shape[1])
    peaks = np.array([column.max() for column in columns])
    half = (bottom - top) / 2
    for x, peak in enumerate(peaks / max(float(peaks.max()), 1e-9)):
        image[round(top + half - half * peak) : round(top + half + half * peak) + 1, x] = shade
