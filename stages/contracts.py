"""Contracts between the stages: one Arrow schema for each table of a clip's way, and conversion to and from rows.

One row is one video, from the manifest to the last table. A schema names every column of its table; `Contract.check`
checks a table against it at the boundary. Arrays of any shape travel as `tensor` columns: their shape beside their
values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

Row = dict[str, Any]


class ContractError(TypeError):
    """A table does not keep its contract: an error in the program, never in a video."""


def tensor(values: pa.DataType) -> pa.StructType:
    """Returns the Arrow type of an array of any shape: its `shape` beside its row-major `values`."""
    return pa.struct([("shape", pa.list_(pa.int32())), ("values", pa.large_list(values))])


ERROR = pa.struct([("stage", pa.string()), ("type", pa.string()), ("message", pa.string())])
MEDIA = pa.struct(
    [
        ("width", pa.int32()),  # pixels as displayed, rotation applied
        ("height", pa.int32()),
        ("fps", pa.float64()),  # mean frame rate
        ("codec", pa.string()),  # codec of the video stream
        ("has_audio", pa.bool_()),
        ("created", pa.string()),  # date and time of creation; null where the file declares none
        ("stores_times", pa.bool_()),  # whether the container stores when each frame is shown
        ("hides_frames", pa.bool_()),  # whether an edit list hides some of the frames
        ("frames_lost", pa.int32()),  # frames that could not be read
        ("seconds_held", pa.float64()),  # seconds in which an earlier frame is shown in their place
        ("left_behind", pa.list_(pa.string())),  # kinds of streams that the scored video does not take along
    ]
)
LOUDNESS = pa.struct(
    [
        ("loudness", pa.float64()),  # integrated loudness in LUFS; null where nothing can be heard
        ("true_peak", pa.float64()),  # dBTP; null for silence
        ("gain", pa.float64()),  # decibels by which the sound was raised
        ("limited", pa.float64()),  # decibels by which the limiter lowered the highest peak
    ]
)
TRANSITION = pa.struct(
    [
        ("kind", pa.string()),  # one of `stages.video.cuts.transitions.KINDS`
        ("start", pa.float64()),  # time in seconds of the first frame that is not of the shot before
        ("end", pa.float64()),  # time in seconds of the first frame that is of the next shot alone
        ("confidence", pa.float64()),  # 0..1
    ]
)
OUTPUT = pa.struct([("name", pa.string()), ("path", pa.string()), ("size", pa.int64()), ("sha256", pa.string())])

COMMON: dict[str, pa.DataType] = {
    "item_id": pa.string(),  # hash of the content and the output's name: the key of the ledger
    "content_id": pa.string(),  # hash of the content alone: the key of the noise
    "uri": pa.string(),
    "output": pa.string(),  # path of the scored video below the destination, with its suffix
    "stem": pa.string(),  # path below the destination to which `.wav` and `.json` are appended; null: that of `output`
    "fallback": pa.string(),  # path of the scored video, a .mkv, if the container of `output` cannot hold its streams
    "size": pa.int64(),  # size of the source in bytes
    "duration": pa.float64(),  # seconds; null until decoded
    "error": ERROR,  # null as long as no stage has failed
    "seconds": pa.map_(pa.string(), pa.float64()),  # seconds of wall time of each stage so far, by its name
}

MIB = 1 << 20


@dataclass(frozen=True)
class Contract:
    """The description of the table between two stages.

    Attributes:
        name: word for error messages.
        columns: its columns beside the common ones.
        budget: the most bytes that a row may take.
    """

    name: str
    columns: dict[str, pa.DataType]
    budget: int

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema: the common columns, then the contract's own."""
        return pa.schema(list((COMMON | self.columns).items()))

    def check(self, table: pa.Table) -> pa.Table:
        """Returns the table, its columns in the order of the schema, if it keeps the contract.

        Raises:
            ContractError: a column is missing, surplus or of another type, or the rows are over the byte budget.
        """
        expected, actual = self.schema, table.schema
        missing = sorted(set(expected.names) - set(actual.names))
        surplus = sorted(set(actual.names) - set(expected.names))
        if missing or surplus:
            raise ContractError(f"{self.name}: missing columns {missing}, surplus columns {surplus}")
        for field in expected:
            if (found := actual.field(field.name).type) != field.type:
                raise ContractError(f"{self.name}.{field.name}: expected {field.type}, got {found}")
        if table.num_rows and table.nbytes > self.budget * table.num_rows:
            each, most = table.nbytes / table.num_rows / MIB, self.budget / MIB
            raise ContractError(f"{self.name}: {each:.0f} MiB a row is over the budget of {most:.0f} MiB")
        return table.select(expected.names)


MANIFEST = Contract("manifest", {}, MIB)
DECODED = Contract(
    "decoded",
    {
        "media": MEDIA,
        "clip_frames": tensor(pa.uint8()),  # [seconds, size, size, 3] RGB, one frame per second
        "color_frames": tensor(pa.uint8()),  # [seconds, 150, 150, 3] RGB, one frame per second
        "frame_times": tensor(pa.float64()),  # [frames] time in seconds of every frame of the video
        "difference": tensor(pa.float32()),  # [frames] mean absolute gray difference to the frame before, 0..255
        "cuts": tensor(pa.float64()),  # [cuts] times in seconds of the hard cuts
        "content_cuts": tensor(pa.float64()),  # [cuts] those of the detector that the released features were made with
        "transitions": pa.list_(TRANSITION),  # cuts, dissolves and fades
        "flow_times": tensor(pa.float64()),  # [measured frames] times of the frames whose flow was measured
        "flow": tensor(pa.float32()),  # [measured frames, 11] `stages.video.motion.columns.FLOW`
        "kinematic_beats": tensor(pa.float64()),  # [beats, 2] times in seconds and strengths, 0..1
    },
    1024 * MIB,
)
FEATURES = Contract(
    "features",
    {
        "media": MEDIA,
        "cuts": tensor(pa.float64()),
        "transitions": pa.list_(TRANSITION),
        "kinematic_beats": tensor(pa.float64()),
        "semantic": tensor(pa.float32()),  # [seconds, D]
        "color": tensor(pa.float32()),  # [seconds, C]
        "scene_cut": tensor(pa.float32()),  # [seconds] 0 or 1
        "visual_beat": tensor(pa.float32()),  # [seconds] 0..1
        "frame_times": tensor(pa.float64()),
        "difference": tensor(pa.float32()),
        "flow_times": tensor(pa.float64()),
        "flow": tensor(pa.float32()),
    },
    64 * MIB,
)
PER_FRAME = ("frame_times", "difference", "flow_times", "flow")
"""Columns of `FEATURES` that no stage reads after the rhythm is predicted."""
RHYTHM = Contract(
    "rhythm",
    {name: kind for name, kind in FEATURES.columns.items() if name not in PER_FRAME}
    | {"rhythm": tensor(pa.float32())},  # [windows, steps, 1 or 16]; curves [windows, channels, steps]
    64 * MIB,
)
LATENTS = Contract(
    "latents",
    {
        "media": MEDIA,
        "cuts": tensor(pa.float64()),
        "transitions": pa.list_(TRANSITION),
        "kinematic_beats": tensor(pa.float64()),
        "rhythm": tensor(pa.float32()),  # [windows, steps, 1 or 16]
        "latents": tensor(pa.float32()),  # [channels, frames]
    },
    64 * MIB,
)
SOUND = Contract(
    "sound",
    {
        "media": MEDIA,
        "cuts": tensor(pa.float64()),
        "transitions": pa.list_(TRANSITION),
        "kinematic_beats": tensor(pa.float64()),
        "rhythm": tensor(pa.float32()),
        "waveform": tensor(pa.int16()),  # [samples, channels]
    },
    512 * MIB,
)
MIXED = Contract(
    "mixed",
    SOUND.columns
    | {
        "music": tensor(pa.int16()),  # [samples, channels] music as released; null unless the parts are wanted
        "original_sound": tensor(pa.int16()),  # [samples, channels] original sound in `mix`; null unless wanted
        "mix": tensor(pa.int16()),  # [samples, channels] music and original sound; null where the music is alone
        "sample_rate": pa.int32(),  # samples of `waveform` and `mix` per second
        "original": pa.string(),  # what became of the original sound: dropped, none, silent, kept or ducked
        "original_track": pa.int32(),  # number of the audio track that is in `mix`, from 1; null without one
        "speech": tensor(pa.float64()),  # [spans, 2] beginning and end in seconds; null unless the sound is kept
        "own_music": tensor(pa.float64()),  # [spans, 2] where the original is music itself; null as for `speech`
        "loudness": LOUDNESS,  # levels of the sound that the scored video has
    },
    2048 * MIB,
)
SOURCE_AUDIO = Contract(
    "source_audio",
    FEATURES.columns | {"sound": tensor(pa.int16())},  # [samples, 2] at 44.1 kHz, from the video's time 0 to its end
    512 * MIB,
)
SEGMENTS = Contract(
    "segments",
    {"segments": pa.large_binary()},  # Arrow IPC stream: rows of `stages.cut_segments.SEGMENT`
    512 * MIB,
)
MUXED = Contract("muxed", {"media": MEDIA, "outputs": pa.list_(OUTPUT)}, MIB)


def is_tensor(kind: pa.DataType) -> bool:
    """Whether a column type was made by `tensor`."""
    return pa.types.is_struct(kind) and [kind.field(i).name for i in range(kind.num_fields)] == ["shape", "values"]


def rows_of(table: pa.Table, columns: Iterable[str] | None = None) -> list[Row]:
    """Returns the rows of a table as dictionaries: tensors as read-only numpy views, the rest as Python values.

    Args:
        columns: names of the wanted columns; all if left out.
    """
    table = table.combine_chunks()
    names = list(columns) if columns is not None else table.column_names
    return [{name: _value(table.column(name), i) for name in names} for i in range(table.num_rows)]


def table_of(rows: Sequence[Row], contract: Contract | pa.Schema) -> pa.Table:
    """Returns the rows as a table of a contract or schema; a column that a row lacks is null in that row."""
    schema = contract.schema if isinstance(contract, Contract) else contract
    arrays = [_column([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def _value(column: pa.ChunkedArray, i: int) -> Any:
    scalar = column[i]
    if not scalar.is_valid:
        return None
    if is_tensor(column.type):
        return scalar["values"].values.to_numpy().reshape(scalar["shape"].as_py())
    if pa.types.is_map(column.type):
        return dict(scalar.as_py())
    return scalar.as_py()


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    if not is_tensor(kind):
        if pa.types.is_map(kind):
            values = [None if v is None else list(v.items()) for v in values]
        return pa.array(values, kind)
    inner = kind.field("values").type.value_type
    arrays = [None if v is None else np.ascontiguousarray(v, inner.to_pandas_dtype()) for v in values]
    flat = [a.reshape(-1) for a in arrays if a is not None]
    offsets = np.cumsum([0] + [0 if a is None else a.size for a in arrays])
    data = pa.array(
        flat[0] if len(flat) == 1 else np.concatenate(flat) if flat else np.empty(0, inner.to_pandas_dtype()), inner
    )
    return pa.StructArray.from_arrays(
        [
            pa.array([None if a is None else a.shape for a in arrays], kind.field("shape").type),
            pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), data, type=kind.field("values").type),
        ],
        fields=list(kind),
        mask=pa.array([a is None for a in arrays], pa.bool_()),
    )
