"""Tables of segments as in a dataset, with values that depend on a name alone."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa

from models.features.motion import CHANNELS
from stages.contracts import table_of
from stages.cut_segments import SEGMENT, encode_flac

SETTINGS = {"clip": "1-tiny", "codec": None, "pace": "frames"}


def segments(name: str, count: int = 2) -> pa.Table:
    """Returns the segments of one video, of 3 s each, with random features."""
    draws = np.random.default_rng(int(hashlib.sha256(name.encode()).hexdigest()[:8], 16))
    shapes = {"semantic": (3, 8), "color": (3, 48), "scene_cut": (3,), "visual_beat": (3,), "cuts": (1,)}
    shapes |= {"odf": (3, 1), "mel": (3, 16), "tempo": (3, 16), "curve": (3, 64), "pace": (len(CHANNELS), 64)}
    rows = [
        {
            "item_id": name,
            "uri": f"/videos/{name}",
            "index": i,
            "start": 30.0 * i,
            "seconds": 3,
            "duration": 2.9,
            "key": 1,
        }
        | {column: draws.random(shape) for column, shape in shapes.items()}
        | {"sound": encode_flac(draws.integers(-9000, 9000, (64, 2)).astype(np.int16)), "latents": None}
        for i in range(count)
    ]
    return table_of(rows, SEGMENT)
