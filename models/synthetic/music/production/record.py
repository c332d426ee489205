"""Recording a score: a soundfont plays its parts, and a producer mixes them in a room."""

from __future__ import annotations

import numpy as np

from models.synthetic.music.band.form import EARLIEST
from models.synthetic.music.band.performance import PlayedPart, perform
from models.synthetic.music.band.score import Score
from models.synthetic.music.production.loudness import Sound
from models.synthetic.music.production.master import Master, master
from models.synthetic.music.production.mix import Channel, mix
from models.synthetic.music.production.rooms import reverberate, room
from models.synthetic.music.soundfont.player import Request, SoundfontPlayer
from models.synthetic.rng import stream

_FADE_IN, _FADE_OUT = 0.01, 0.3  # seconds
_SPREAD = frozenset({"pad", "arpeggio", "comp", "sparkle", "drone"})


def record(score: Score, seconds: float, player: SoundfontPlayer) -> Sound:
    """Returns the sound of a score in stereo, [2, round(seconds * sample_rate)].

    The same score and soundfont always give the same sound.
    """
    rate = player.sample_rate
    rng = stream(score.seed, "production")
    parts = perform(score, -EARLIEST, seconds - 0.05)
    count = round(seconds * rate)
    if not parts:
        return np.zeros((2, count), np.float32)
    requests = [Request(p.part.bank, p.part.program, p.notes + np.array([EARLIEST, 0, 0, 0])) for p in parts]
    sounds = player.play(requests, seconds + EARLIEST)
    dry, send = mix([(_channel(p, rng), sound) for p, sound in zip(parts, sounds, strict=True)], rate)
    low, high = score.style.room
    wet = reverberate(send, room(float(rng.uniform(low, high)), rate, rng))
    wetness = float(rng.uniform(0.3, 1.6))
    sound = (dry + np.float32(wetness) * wet)[:, -count:]
    settings = Master(
        width=float(np.clip(rng.normal(-4.5, 2.5), -11, 0)),
        loudness=float(np.clip(rng.normal(-16.4, 2.2), -23, -11)),
        tilt=score.style.bright - 1.2 + float(rng.normal(0, 1.2)),
        ratio=float(rng.uniform(1.0, 1.8)),
        crest=float(rng.uniform(13.0, 18.0)),
    )
    sound = master(sound, settings, rate)
    rise, fall = int(_FADE_IN * rate), min(int(_FADE_OUT * rate), count)
    sound[:, :rise] *= np.linspace(0, 1, rise, dtype=np.float32)
    sound[:, count - fall :] *= np.linspace(1, 0, fall, dtype=np.float32)
    return sound


def _channel(played: PlayedPart, rng: np.random.Generator) -> Channel:
    """Returns how a part enters the mix, with small differences from piece to piece."""
    layer = played.part.layer
    pan = float(np.clip(layer.pan * rng.uniform(0.7, 1.2) + rng.normal(0, 0.05), -0.95, 0.95))
    if played.side:
        pan = 0.85 * played.side
    spread = 0.0 if played.side or layer.kind not in _SPREAD else float(rng.uniform(0.2, 0.9))
    dark = float(rng.choice((0, 0, 2500, 5000, 9000))) if layer.kind in ("pad", "comp", "arpeggio", "drone") else 0.0
    return Channel(layer.kind, layer.gain + float(rng.normal(0, 1.2)), pan, layer.send, spread, dark)
