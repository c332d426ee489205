"""The band's scores: every style plays in its meter and tempo, and phrases, sections, accents and ends are heard."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest

from models.synthetic.music.band.arrange import DRUM_BANK, arrange
from models.synthetic.music.band.chords import SCALES
from models.synthetic.music.band.form import style_of
from models.synthetic.music.band.grooves import GROOVES
from models.synthetic.music.band.outline import outline
from models.synthetic.music.band.performance import perform, swung
from models.synthetic.music.band.score import METERS, Score, level
from models.synthetic.music.band.styles import STYLES
from models.synthetic.music.band.styles.instruments import NAMES, gm

SECONDS = 30.0
SEEDS = range(64)


@cache
def score_of(seed: int) -> Score:
    return arrange(seed, SECONDS)


def test_the_same_seed_makes_the_same_score_and_performance() -> None:
    assert arrange(5, 12.0).parts == arrange(5, 12.0).parts
    one, two = (perform(arrange(5, 12.0), 0.0, 12.0) for _ in range(2))
    assert all(np.array_equal(a.notes, b.notes) for a, b in zip(one, two, strict=True))
    assert arrange(6, 12.0).parts != arrange(5, 12.0).parts


def test_sixteen_seeds_have_sixteen_styles() -> None:
    assert len(STYLES) == 16
    for first in (0, 16, 10_000 - 10_000 % 16):
        assert {style_of(seed).name for seed in range(first, first + 16)} == set(STYLES)


def test_tempo_and_meter_are_those_of_the_style() -> None:
    meters = set()
    for seed in SEEDS:
        score = score_of(seed)
        meters.add(score.meter.name)
        assert score.meter.name in score.style.meters
        assert all(50 <= s.tempo <= 180 for s in score.sections)
        assert all(len(s.bars) * score.meter.beats == s.beats for s in score.sections)
        assert all(a.stop == b.start for a, b in itertools.pairwise(score.sections))
    assert meters == set(METERS)


def test_every_pattern_fits_a_meter_of_its_style() -> None:
    for style in STYLES.values():
        steps = {METERS[name].bar_steps for name in style.meters}
        for layer in style.layers:
            lengths = {len(p) for p in layer.patterns} - {0}
            assert lengths <= {12, 16}, (style.name, layer.name)
            assert not layer.patterns or "" in layer.patterns or steps <= lengths, (style.name, layer.name)
            assert all(0 <= p < 128 for p in layer.programs)
        assert all(name in GROOVES for name in style.grooves)
    for groove in itertools.chain.from_iterable(GROOVES.values()):
        assert len({len(pattern) for pattern in groove.values()}) == 1
    assert len(set(NAMES)) == 128
    assert gm("violin", "gunshot") == (40, 127)


def test_notes_lie_in_the_spans_of_their_players_and_mostly_in_the_scale() -> None:
    inside = total = 0
    for seed in SEEDS:
        score = score_of(seed)
        for part in score.parts:
            if part.bank == DRUM_BANK or part.layer.kind == "rise":
                continue
            low, high = part.layer.span
            for note in part.notes:
                assert low - 4 <= note.pitch <= high + 14, (score.style.name, part.layer.name)
                assert 0 < note.velocity <= 1.2
                section = next((s for s in reversed(score.sections) if s.start <= note.start), score.sections[0])
                inside += (note.pitch - section.key) % 12 in SCALES[section.mode]
                total += 1
    assert 0.88 < inside / total < 0.99


def test_phrases_close_and_themes_return() -> None:
    """The last bar of a phrase has a long note, and the rhythm of a section returns in sections of its name."""
    longest, returned = [], []
    for seed in SEEDS:
        score = score_of(seed)
        beats = score.meter.beats
        rhythms: dict[str, list[tuple[float, ...]]] = {}
        for part in score.parts:
            if part.layer.kind != "lead":
                continue
            for section in score.sections:
                own = [n for n in part.notes if section.start <= n.start < section.stop]
                bars = [[n for n in own if (n.start - section.start) // beats == bar] for bar in range(3)]
                if all(bars):
                    closing = [n.length for n in own if (n.start - section.start) // beats == 3]
                    if closing:
                        longest.append(max(closing) / np.mean([n.length for bar in bars for n in bar]))
                    rhythms.setdefault(section.name + section.style.name, []).append(
                        tuple(round(n.start - section.start, 3) for n in bars[0])
                    )
        for same in rhythms.values():
            returned += [bool(set(a) & set(b)) for a, b in itertools.pairwise(same)]
    assert np.median(longest) > 1.3
    assert np.mean(returned) > 0.9


def test_intense_sections_have_more_and_louder_notes() -> None:
    rates, velocities, intensities = [], [], []
    for seed in SEEDS:
        score = score_of(seed)
        for section in score.sections:
            if section.beats < 12 or section.rising:
                continue
            notes = [n for p in score.parts for n in p.notes if section.start <= n.start < section.stop]
            if notes:
                rates.append(len(notes) / section.beats)
                velocities.append(np.mean([n.velocity for n in notes]))
                intensities.append(section.intensity)
    assert np.corrcoef(intensities, np.log(rates))[0, 1] > 0.35
    assert np.corrcoef(intensities, velocities)[0, 1] > 0.3


def test_no_bar_is_silent_before_an_end() -> None:
    for seed in SEEDS:
        score = score_of(seed)
        notes = [n for p in score.parts for n in p.notes]
        beats = score.meter.beats
        for section in score.sections:
            for bar in range(len(section.bars)):
                start = section.start + bar * beats
                assert any(n.start < start + beats and n.start + n.length > start for n in notes), (seed, section.name)


def test_a_rising_section_grows() -> None:
    section = next(s for seed in SEEDS for s in score_of(seed).sections if s.rising)
    assert level(section, section.start) < 0.55 * section.intensity < level(section, section.stop)


def test_some_pieces_end_and_the_last_chord_is_the_tonic() -> None:
    ending = [score_of(seed) for seed in SEEDS if score_of(seed).ends]
    assert 0.15 < len(ending) / len(SEEDS) < 0.5
    for score in ending:
        last = score.sections[-1]
        assert last.bars[-1][0].root == 0
        begin = float(score.tempo_map.time(last.stop - score.meter.beats))
        assert 0 < begin < SECONDS - 1
        assert not [n for p in score.parts for n in p.notes if n.start > last.stop]


def test_players_are_a_little_early_or_late_and_machines_less() -> None:
    def looseness(name: str) -> float:
        seed = next(s for s in SEEDS if score_of(s).style.name == name and score_of(s).sections[-1].style.name == name)
        score = score_of(seed)
        parts = [p for p in perform(score, -99.0, 999.0) if p.part.layer.kind in ("lead", "arpeggio", "comp", "pad")]
        late = []
        for played in parts:
            starts = np.array([n.start for n in played.part.notes])
            exact = np.sort(score.tempo_map.time(starts))
            late.append(np.std(np.sort(played.notes[:, 0]) - exact))
        return float(np.mean(late))

    assert looseness("house") < 0.004 < looseness("solo piano") < 0.06


@pytest.mark.parametrize(("swing", "middle"), [(0.0, 0.5), (1.0, 2 / 3)])
def test_swing_delays_the_second_half(swing: float, middle: float) -> None:
    beats = np.array([0.0, 0.5, 1.0, 3.5, 4.0])
    assert swung(beats, METERS["4/4"], swing, False) == pytest.approx([0, middle, 1, 3 + middle, 4])
    assert swung(beats, METERS["6/8"], swing, False) == pytest.approx(beats)


def test_the_outline_tells_what_is_played() -> None:
    for seed in range(32):
        score = score_of(seed)
        known = outline(score, SECONDS)
        assert known.sections[0].start == 0
        assert known.sections[-1].stop == SECONDS
        assert all(a.stop == b.start for a, b in itertools.pairwise(known.sections))
        assert all(0 <= t < SECONDS for t in known.beats)
        assert set(known.downbeats) <= set(known.beats)
        gaps = np.diff(known.beats)
        assert gaps.min() > 0.2
        assert gaps.max() < 2.0
        assert all(0 < a.time < SECONDS and 0 < a.strength <= 1 for a in known.accents)
        assert len(known.intensity) == len(known.per_second("valence")) == 30
        assert all(0 <= v <= 1 for v in (*known.intensity, *known.per_second("arousal")))
        assert set(known.instruments) <= {*NAMES, "drums"}


def test_moods_go_with_mode_and_intensity() -> None:
    sections = [s for seed in SEEDS for s in score_of(seed).sections]
    valence = np.array([s.valence for s in sections])
    major = np.array([s.mode == "major" for s in sections])
    assert valence[major].mean() > valence[~major].mean() + 0.15
    assert np.corrcoef([s.arousal for s in sections], [s.intensity for s in sections])[0, 1] > 0.6
    words = {s.mood for seed in SEEDS for s in outline(score_of(seed), SECONDS).sections}
    assert words == {"happy", "tense", "calm", "sad", "neutral"}
