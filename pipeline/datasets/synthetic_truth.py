"""The truth about composed clips: what is known of each video, as a table beside the videos."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from models.errors import UserError
from models.synthetic import Film, Outline, Scene, held_out, scene_captions
from models.synthetic.film.captions import caption
from stages.contracts import Row

TABLE = "truth.parquet"
VERSION_KEY, VERSION = b"diff-v2m-corpus", b"3"
"""Version of clips and table. Every change that makes others raises it; older clips are then made anew."""

_TIMES = _CURVE = pa.list_(pa.float64())
SECTION = pa.struct(
    [
        ("name", pa.string()),
        ("start", pa.float64()),
        ("stop", pa.float64()),
        ("density", pa.float64()),
        ("loudness", pa.float64()),
        ("style", pa.string()),
        ("tempo", pa.float64()),
        ("key", pa.int32()),
        ("mode", pa.string()),
        ("mood", pa.string()),  # happy, tense, calm, sad or neutral
        ("valence", pa.float64()),
        ("arousal", pa.float64()),
    ]
)
SCENE = pa.struct(
    [
        ("start", pa.float64()),
        ("stop", pa.float64()),
        ("kind", pa.string()),
        ("beside", pa.string()),  # kind of the picture in the right half; empty if there is one picture
        ("motion", pa.string()),
        ("transition", pa.string()),  # cut, jump, dissolve or fade
        ("transition_seconds", pa.float64()),
        ("speed", pa.float64()),
        ("warmth", pa.float64()),
        ("people", pa.int32()),  # how many
        ("people_style", pa.string()),  # how they move; empty without people
        ("caption", pa.string()),
    ]
)
TRUTH = pa.schema(
    [
        ("seed", pa.int64()),
        ("file", pa.string()),
        ("held_out", pa.bool_()),
        ("duration", pa.float64()),
        ("related", pa.bool_()),  # false if the picture was edited to another piece
        ("soundfont", pa.string()),  # file and hash of the soundfont that played; empty for oscillators
        ("style", pa.string()),  # of the first section, as are meter, tempo, key and mode
        ("instruments", pa.list_(pa.string())),
        ("meter", pa.string()),
        ("tempo", pa.float64()),  # beats per minute
        ("key", pa.int32()),  # pitch class, 0 is C
        ("mode", pa.string()),
        ("warmth", pa.float64()),  # warmth of the music, 0..1
        ("energy", pa.float64()),
        ("pole", pa.int32()),  # -1 clearly dark and cold, 1 clearly bright and warm, 0 between
        ("beats", _TIMES),
        ("downbeats", _TIMES),
        ("accents", _TIMES),
        ("accent_strengths", _TIMES),
        ("sections", pa.list_(SECTION)),
        ("valence", _CURVE),  # in the middle of each second, 0..1, as are the next two
        ("arousal", _CURVE),
        ("intensity", _CURVE),
        ("film_warmth", pa.float64()),  # warmth of the picture: that of the music where they are related
        ("film_energy", pa.float64()),
        ("cuts", _TIMES),  # of scenes that begin at once
        ("flashes", _TIMES),
        ("pulses", _TIMES),
        ("people", pa.string()),  # dance, conductor, sport, talk or none
        ("people_styles", pa.list_(pa.string())),
        ("people_share", pa.float64()),  # share of the time that has people
        ("people_follow", pa.string()),  # music, other piece, own tempo or chance; none without people
        ("kinematic_beats", _TIMES),  # when movement of people who are seen stops or turns
        ("kinematic_strengths", _TIMES),
        ("caption", pa.string()),
        ("scenes", pa.list_(SCENE)),
    ]
)


class CorpusError(UserError):
    """A corpus cannot be made; the message is one line that says why."""


def clip_name(seed: int) -> str:
    """Returns the file name of a seed's clip."""
    return f"clip_{seed:06d}.mp4"


def truth(piece: Outline, film: Film, soundfont: str = "") -> Row:
    """Returns the row of `TRUTH` for a clip whose music a soundfont played, or oscillators."""
    return {
        "seed": piece.seed,
        "file": clip_name(piece.seed),
        "held_out": held_out(piece.seed),
        "duration": piece.duration,
        "related": film.related,
        "soundfont": soundfont,
        "style": piece.style,
        "instruments": list(piece.instruments),
        "meter": piece.meter,
        "tempo": piece.tempo,
        "key": piece.key,
        "mode": piece.mode,
        "warmth": piece.mood.warmth,
        "energy": piece.mood.energy,
        "pole": piece.mood.label,
        "beats": list(piece.beats),
        "downbeats": list(piece.downbeats),
        "accents": [accent.time for accent in piece.accents],
        "accent_strengths": [accent.strength for accent in piece.accents],
        "sections": [{name: getattr(section, name) for name in SECTION.names} for section in piece.sections],
        "valence": piece.per_second("valence"),
        "arousal": piece.per_second("arousal"),
        "intensity": list(piece.intensity),
        "film_warmth": film.warmth,
        "film_energy": film.energy,
        "cuts": list(film.cuts),
        "flashes": [time for time, _ in film.flashes],
        "pulses": [time for time, _ in film.pulses],
        "people": film.people,
        "people_styles": list(film.people_styles),
        "people_share": film.people_share,
        "people_follow": film.people_follow,
        "kinematic_beats": [time for time, _ in film.kinematic_beats],
        "kinematic_strengths": [strength for _, strength in film.kinematic_beats],
        "caption": caption(film),
        "scenes": [_scene(scene, words) for scene, words in zip(film.scenes, scene_captions(film), strict=True)],
    }


def _scene(scene: Scene, words: str) -> Row:
    """Returns the row of `SCENE` for a scene and its caption."""
    told = {
        "caption": words,
        "beside": scene.beside.kind if scene.beside else "",
        "people": len(scene.people.figures) if scene.people else 0,
        "people_style": scene.people.style if scene.people else "",
    }
    return {name: told[name] if name in told else getattr(scene, name) for name in SCENE.names}


def read_truth(folder: Path) -> dict[int, Row]:
    """Returns the rows of a folder's table whose clips are there, by seed; none from a table of another version.

    Raises:
        CorpusError: the file is not such a table.
    """
    path = folder / TABLE
    if not path.exists():
        return {}
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise CorpusError(f"{path} is no table of composed clips: choose another folder") from error
    if not {"seed", "held_out"} <= set(table.schema.names):
        raise CorpusError(f"{path} is no table of composed clips: choose another folder")
    if (table.schema.metadata or {}).get(VERSION_KEY) != VERSION:
        return {}
    return {row["seed"]: row for row in table.to_pylist() if (folder / row["file"]).is_file()}


def truth_table(rows: dict[int, Row]) -> pa.Table:
    """Returns the table of rows that are given by seed, in rising order of the seeds."""
    return pa.Table.from_pylist([rows[seed] for seed in sorted(rows)], schema=TRUTH)


def write_truth(folder: Path, rows: dict[int, Row]) -> pa.Table:
    """Replaces a folder's table, whole or not at all, and returns the new one."""
    table = truth_table(rows)
    part = part_path(folder / TABLE)
    pq.write_table(table.replace_schema_metadata({VERSION_KEY: VERSION}), part)
    part.replace(folder / TABLE)
    return table


def part_path(target: Path) -> Path:
    """Returns a path beside a file, with the same suffix, that no other process uses while it writes the file."""
    return target.with_name(f".{target.stem}.{os.getpid()}-{uuid.uuid4().hex[:8]}.part{target.suffix}")
