"""Styles of music: instruments and patterns. A pattern has the sixteen steps of a bar: `9` is loudest, `.` a rest."""

from __future__ import annotations

from dataclasses import dataclass

STEPS = 16

GROOVES: dict[str, dict[str, str]] = {
    "none": {},
    "pop": {"kick": "9.....5.9.......", "snare": "....9.......9...", "hat": "7.4.7.4.7.4.7.4."},
    "drive": {"kick": "9...6...9...6...", "snare": "....9.......9...", "hat": "7.4.7.4.7.4.7.4."},
    "four": {
        "kick": "9...9...9...9...",
        "snare": "....7.......7...",
        "hat": "8...8...8...8...",
        "open": "..4...4...4...4.",
    },
    "half": {"kick": "9.......6.......", "snare": "....9.......9...", "hat": "8...4...8...4..."},
    "march": {"kick": "9.......8.......", "tom": "8...9...8...9.5.", "hat": "7...7...7...7..."},
    "stomp": {"kick": "9.......9.......", "snare": "....7.......7...", "hat": "6.3.6.3.6.3.6.3."},
    "pulse": {"kick": "8...6...7...6...", "hat": "7...7...7...7..."},
}
BASS = {
    "beats": "9...7...8...7...",
    "eighths": "9.6.8.6.8.6.8.6.",
    "octaves": "9.o.8.o.8.o.8.o.",
    "halves": "9.......8.......",
    "fifths": "9...6...f...6...",
}
CHORD = {
    "held": "9...............",
    "beats": "9...7...8...7...",
    "strum": "9...7.5.8...7.5.",
    "off": "..8...7...8...7.",
    "charleston": "9..7....8..7....",
}
ARP = {
    "eighths": "9.4.9.4.9.4.9.4.",
    "beats": "9...9...9...9...",
    "sixteenths": "9353935393539353",
    "gallop": "9.539.539.539.53",
}


@dataclass(frozen=True)
class Style:
    """A style of music.

    Attributes:
        name: name of the style.
        kit, grooves: drum kit, and the drum patterns that it may play.
        chords, bass, arp: instruments of chords, bass and arpeggio, each followed by the patterns that it may play.
        lead, stab: instruments of the melody and of accents.
        fit: how well the style suits cold, mixed and warm moods.
        fastest: greatest tempo, in beats per minute; faster, long tones would hide the beat.
    """

    name: str
    kit: str
    grooves: tuple[str, ...]
    chords: str
    chord_patterns: tuple[str, ...]
    bass: str
    bass_patterns: tuple[str, ...]
    arp: str
    arp_patterns: tuple[str, ...]
    lead: str
    stab: str
    fit: tuple[float, float, float]
    fastest: float = 200.0


STYLES = {
    s.name: s
    for s in (
        Style("ambient", "soft", ("none",), "pad", ("held",), "sub", ("beats",), "bell", ("eighths", "beats"),
              "flute", "piano", (3, 1, 0), 100.0),
        Style("folk", "wood", ("none", "stomp"), "guitar", ("strum", "beats"), "upright", ("beats", "fifths"), "guitar",
              ("eighths",), "flute", "guitar", (1, 2, 2)),
        Style("pop", "studio", ("pop", "drive"), "piano", ("beats", "strum"), "finger", ("eighths", "beats"), "pluck",
              ("eighths",), "square", "brass", (0.3, 2, 3)),
        Style("techno", "machine", ("four",), "saws", ("off", "charleston"), "acid", ("octaves", "eighths"), "pluck",
              ("sixteenths", "gallop"), "saw", "saws", (0.1, 1.5, 3)),
        Style("cinematic", "orchestra", ("march", "pulse"), "strings", ("held",), "sub", ("beats", "halves"), "marimba",
              ("eighths", "beats"), "horn", "brass", (3, 2, 0.7)),
        Style("synthwave", "machine", ("drive", "half"), "pad", ("held",), "acid", ("eighths",), "pluck",
              ("sixteenths", "eighths"), "saw", "saws", (1.5, 2, 2)),
        Style("lofi", "soft", ("half", "pulse"), "epiano", ("beats", "charleston"), "upright", ("beats",), "epiano",
              ("eighths", "beats"), "square", "epiano", (2, 1.5, 0.5)),
    )
}  # fmt: skip
