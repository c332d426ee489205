"""What a style is: its tempo, meters and harmony, and the layers of its arrangement."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Layer:
    """A layer of an arrangement: one player or section of players.

    Attributes:
        name: what it is called; unique in a style.
        kind: what it plays, a key of `models.synthetic.music.band.textures.TEXTURES`, or `lead` or `drums`.
        programs: General MIDI programs; a piece chooses one.
        span: lowest and highest pitch.
        patterns: rhythms that it may play, one character a step of the bar; those of the meter's length are used.
        level: intensities between which it plays.
        gain: loudness in dB beside what is usual for its kind.
        pan: place from -1 (left) to 1 (right).
        send: dB of its share in the room, beside what is usual.
        touch: articulation of its notes, see `models.synthetic.music.band.score.Note`.
        voices: voices of its chords; or, for the kind `voice`, which voice of four it plays, from the lowest, 0.
        wide: open position of its chords.
        share: probability that a piece has this layer.
        doubled: played twice, left and right, as guitars and choirs are recorded.
    """

    name: str
    kind: str
    programs: tuple[int, ...]
    span: tuple[int, int] = (48, 72)
    patterns: tuple[str, ...] = ()
    level: tuple[float, float] = (0.0, 1.01)
    gain: float = 0.0
    pan: float = 0.0
    send: float = 0.0
    touch: str = ""
    voices: int = 3
    wide: bool = False
    share: float = 1.0
    doubled: bool = False


@dataclass(frozen=True)
class MelodyManner:
    """How a style's melodies move.

    Attributes:
        density: notes a beat.
        syncopation: how often notes come off the beat, 0..1.
        rest: share of bars that end in a rest.
        chromatic: share of weak notes that approach the next one by a semitone.
        fine: whether sixteenths are used.
        leaps: share of steps that are leaps.
    """

    density: float = 1.2
    syncopation: float = 0.2
    rest: float = 0.35
    chromatic: float = 0.08
    fine: bool = False
    leaps: float = 0.2


@dataclass(frozen=True)
class Style:
    """A style of music.

    Attributes:
        name: name of the style.
        tempo: least and greatest beats per minute.
        meters: meters that it may have; repeat one to make it more likely.
        harmony: vocabulary of its chords, a key of `models.synthetic.music.band.chords.VOCABULARIES`.
        minor: share of pieces in minor.
        chord_bars: bars of each chord that it may have.
        layers: layers of the arrangement.
        grooves: drum patterns, names of `models.synthetic.music.band.grooves.GROOVES`; none for a style without drums.
        kits: General MIDI drum kits.
        intensity: least and greatest intensity.
        valence, arousal: mood of the style by itself, 0..1 each.
        room: shortest and longest reverberation in seconds.
        loose: deviation of a player's timing in ms.
        rubato: how much the tempo breathes, as a share.
        swing: share of a beat's later half that is played late: 0 straight, 1 as triplets.
        swings_sixteenths: whether swing is of sixteenths rather than of eighths.
        melody: manner of its melodies.
        bright: tilt of the whole in dB an octave, beside a usual record.
    """

    name: str
    tempo: tuple[float, float]
    meters: tuple[str, ...]
    harmony: str
    minor: float
    layers: tuple[Layer, ...]
    grooves: tuple[str, ...] = ()
    kits: tuple[int, ...] = (0,)
    chord_bars: tuple[int, ...] = (1,)
    intensity: tuple[float, float] = (0.2, 1.0)
    valence: float = 0.5
    arousal: float = 0.5
    room: tuple[float, float] = (0.6, 1.6)
    loose: float = 8.0
    rubato: float = 0.0
    swing: float = 0.0
    swings_sixteenths: bool = False
    melody: MelodyManner = field(default_factory=MelodyManner)
    bright: float = 0.0
