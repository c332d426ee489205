"""The instruments of General MIDI by name."""

from __future__ import annotations

NAMES = tuple(
    name.strip()
    for name in """
    grand piano, bright piano, electric grand, honky-tonk piano, electric piano, fm piano, harpsichord, clavinet,
    celesta, glockenspiel, music box, vibraphone, marimba, xylophone, tubular bells, dulcimer,
    drawbar organ, percussive organ, rock organ, church organ, reed organ, accordion, harmonica, bandoneon,
    nylon guitar, steel guitar, jazz guitar, clean guitar, muted guitar, overdriven guitar, distorted guitar, harmonics,
    upright bass, finger bass, picked bass, fretless bass, slap bass, slap bass 2, synth bass, synth bass 2,
    violin, viola, cello, contrabass, tremolo strings, pizzicato strings, harp, timpani,
    strings, slow strings, synth strings, synth strings 2, choir, voice, synth voice, orchestra hit,
    trumpet, trombone, tuba, muted trumpet, french horn, brass section, synth brass, synth brass 2,
    soprano sax, alto sax, tenor sax, baritone sax, oboe, english horn, bassoon, clarinet,
    piccolo, flute, recorder, pan flute, bottle, shakuhachi, whistle, ocarina,
    square lead, saw lead, calliope lead, chiff lead, charang lead, voice lead, fifths lead, bass lead,
    new age pad, warm pad, polysynth pad, choir pad, bowed pad, metallic pad, halo pad, sweep pad,
    rain, soundtrack, crystal, atmosphere, brightness, goblins, echoes, sci-fi,
    sitar, banjo, shamisen, koto, kalimba, bagpipe, fiddle, shanai,
    tinkle bell, agogo, steel drums, woodblock, taiko, melodic tom, synth drum, reverse cymbal,
    fret noise, breath noise, seashore, bird, telephone, helicopter, applause, gunshot
    """.replace("\n", " ").split(",")
)  # fmt: skip
"""Names of the 128 programs."""
_PROGRAMS = {name: program for program, name in enumerate(NAMES)}


def gm(*names: str) -> tuple[int, ...]:
    """Returns the programs of some instruments."""
    return tuple(_PROGRAMS[name] for name in names)
