"""Arranging: every section's layers are written out, then accents, swells, stops and the ending."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.synthetic.music.band.form import form
from models.synthetic.music.band.gestures import Player, accented, accents_of, ended, hits, rise, stopped
from models.synthetic.music.band.grooves import GROOVES, drums
from models.synthetic.music.band.melody import Theme, melody, theme
from models.synthetic.music.band.score import Meter, Note, Part, Score, ScoreSection, level
from models.synthetic.music.band.styles.base import Layer, Style
from models.synthetic.music.band.textures import TEXTURES, Frame
from models.synthetic.rng import stream

DRUM_BANK = 128
_RESTING = 0.4  # share of sections in which an accompanying part is silent, at a medium intensity
_THIN = 0.5  # share of pieces in which a player of chords leaves out a voice
_HARMONY = frozenset({"pad", "comp", "arpeggio", "voice"})


def arrange(seed: int, seconds: float) -> Score:
    """Returns the score of a seed's piece for a clip of some seconds."""
    plan = form(seed, seconds)
    rng = stream(seed, "arrangement")
    accents = accents_of(plan, rng)
    players = [
        _player(style, layer, rng)
        for style in dict.fromkeys(s.style for s in plan.sections)
        for layer in style.layers
        if rng.random() < layer.share or layer.kind == "drums"
    ]
    themes: dict[str, Theme] = {}
    written: dict[Player, list[Note]] = {player: [] for player in players}
    for place, section in enumerate(plan.sections):
        before = plan.sections[place - 1] if place else None
        after = plan.sections[place + 1] if place + 1 < len(plan.sections) else None
        name = "a" if section.name in ("intro", "break", "build") else section.name
        if name not in themes:
            themes[name] = theme(plan.meter, section.style.melody, rng)
        frame = Frame(section, plan.meter)
        resting = _resting(players, section, rng)
        band = [p for p in players if p.style is section.style]
        for player in band:
            if player not in resting:
                notes = _write(player, frame, themes[name], before, after, accents, rng)
                written[player] += _shaped(notes, section, player.layer, plan.meter)
        silent = _silent_bars(section, [n for p in band for n in written[p]], plan.meter)
        if silent:  # whoever plays in the quietest sections plays here too
            player = min((p for p in band if p.layer.kind in _HARMONY), key=lambda p: p.layer.level[0])
            notes = _write(player, frame, themes[name], before, after, accents, rng)
            notes = _shaped(notes, section, replace(player.layer, level=(0.0, 1.01)), plan.meter)
            written[player] += [n for n in notes if (n.start - section.start) // plan.meter.beats in silent]
    for player, notes in written.items():
        written[player] = stopped(accented(notes, accents, player), plan, seed)
    if plan.ends:
        written = {player: ended(notes, player, plan) for player, notes in written.items()}
    parts = tuple(
        Part(p.style, p.layer, p.bank, p.program, tuple(sorted(notes, key=lambda n: (n.start, n.pitch))))
        for p, notes in written.items()
        if notes
    )
    return Score(seed, plan.style, plan.meter, plan.sections, parts, accents, plan.tempo_map, plan.ends)


def _player(style: Style, layer: Layer, rng: np.random.Generator) -> Player:
    if layer.kind == "drums":
        return Player(style, layer, DRUM_BANK, style.kits[int(rng.integers(len(style.kits)))])
    if layer.kind in ("pad", "comp") and layer.voices > 2 and rng.random() < _THIN:
        layer = replace(layer, voices=layer.voices - 1)
    return Player(style, layer, 0, layer.programs[int(rng.integers(len(layer.programs)))])


def _resting(players: list[Player], section: ScoreSection, rng: np.random.Generator) -> set[Player]:
    """Returns the players who are silent in a section: now and then the melody, more often one of the others."""
    resting = set[Player]()
    others = _RESTING * (1.4 - section.intensity)
    band = [p for p in players if p.style is section.style and p.layer.level[0] <= section.intensity < p.layer.level[1]]
    for player in band:
        chance = {"lead": 0.12, "drums": 0.08, "bass": 0.06, "walk": 0.03, "rise": 0.0}.get(player.layer.kind, others)
        left = [p for p in band if p not in resting and p is not player]
        alone = player.layer.kind in _HARMONY and not any(p.layer.kind in _HARMONY for p in left)
        if rng.random() < chance and len(left) > 1 and not alone:
            resting.add(player)
    return resting


def _silent_bars(section: ScoreSection, notes: list[Note], meter: Meter) -> set[int]:
    """Returns the bars of a section in which no tone sounds."""
    sounding = {
        bar
        for note in notes
        for bar in range(
            int((note.start - section.start) // meter.beats),
            int((note.start + note.length - section.start - 1e-6) // meter.beats) + 1,
        )
    }
    return set(range(len(section.bars))) - sounding


def _write(
    player: Player,
    frame: Frame,
    own: Theme,
    before: ScoreSection | None,
    after: ScoreSection | None,
    accents: tuple[tuple[float, float], ...],
    rng: np.random.Generator,
) -> list[Note]:
    """Returns what a player plays in a section, before dynamics."""
    section, layer, meter = frame.section, player.layer, frame.meter
    if layer.kind == "lead":
        if section.name == "intro":
            return []
        notes = melody(section, own, meter, section.style.melody, layer.span, rng)
        return [replace(n, touch=layer.touch) for n in notes]
    if layer.kind == "drums":
        names = [g for name in section.style.grooves for g in GROOVES[name]]
        fitting = [g for g in names if all(len(pattern) == meter.bar_steps for pattern in g.values())]
        if not fitting:
            return []
        groove = fitting[int(stream(_theme_seed(own), section.name).integers(len(fitting)))]
        return drums(section, groove, meter, before is not None, after is not None, rng)
    if layer.kind == "hits":
        return hits(frame, layer, accents)
    if layer.kind == "rise":
        return rise(frame, player, after, rng)
    fitting_patterns = [p for p in layer.patterns if len(p) in (0, meter.bar_steps)]
    if layer.patterns and not fitting_patterns:
        return []
    pattern = fitting_patterns[int(rng.integers(len(fitting_patterns)))] if fitting_patterns else ""
    return TEXTURES[layer.kind](frame, layer, pattern, rng)


def _theme_seed(own: Theme) -> int:
    """Returns a number that is the same for sections of one theme."""
    return int(abs(own.height) * 1e6)


def _shaped(notes: list[Note], section: ScoreSection, layer: Layer, meter: Meter) -> list[Note]:
    """Returns the notes of bars in which the layer plays, as loud as the section and the place in the phrase ask."""
    low, high = layer.level
    phrase = 4 * meter.beats
    kept = []
    for note in notes:
        bar = section.start + (note.start - section.start) // meter.beats * meter.beats
        now = level(section, bar)
        if layer.kind != "rise" and not low <= now < high:
            continue
        arch = 1 + 0.09 * np.sin(np.pi * ((note.start - section.start) % phrase) / phrase)
        kept.append(replace(note, velocity=float(note.velocity * (0.62 + 0.45 * now) * arch)))
    return kept
