"""Another mix of music that was kept: what is found, what comes back, and what is made again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.mixing.settings import MixingSettings
from pipeline.destination.ledger import Ledger
from pipeline.discovery import discover
from pipeline.scoring.delivery import Delivery, DeliverySettings
from pipeline.scoring.restore import RestoreMusic, RestoreMusicSettings, split_kept
from pipeline.scoring.resume import NOT_KEPT, FingerprintError, RemainingWork, remaining_work
from pipeline.scoring.settings import RunSettings
from pipeline.storage.storage import Storage
from stages.audio.formats import OutputSettings
from stages.contracts import MIXED, SOUND, Row, rows_of, table_of
from stages.mix import Mix, MixSettings
from tests.support.rows import media, sound_columns
from tests.support.videos import gray, write_video

STEMS = RunSettings(seed=5, mixing=MixingSettings(loudness=-20.0), outputs=OutputSettings(stems=True))
LOUDER = replace(STEMS, mixing=MixingSettings(loudness=-14.0), outputs=OutputSettings())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return write_video(tmp_path / "in" / "clip.mp4", [gray(i) for i in range(50)]).parent


@pytest.fixture
def destination(tmp_path: Path) -> Storage:
    return Storage.open(tmp_path / "out")


def work_of(source: Path, destination: Storage, run: RunSettings, *, mix: bool = False) -> RemainingWork:
    return remaining_work(discover([str(source)], destination), run, Ledger(destination), mix=mix)


def deliver(work: RemainingWork, destination: Storage, run: RunSettings, restored: Row | None = None) -> Row:
    """Takes the only video of a run from its music to the ledger."""
    (row,) = rows_of(work.todo)
    sound = restored or row | sound_columns(2.0) | {"duration": 2.0, "media": media()}
    mixed = Mix(MixSettings(run.mixing, stems=run.outputs.stems))(table_of([sound], SOUND))
    (record,) = Delivery(DeliverySettings(destination, run))(MIXED.check(mixed)).to_pylist()
    assert record["state"] == "done", record["error_message"]
    found: Row = record
    return found


def restore(work: RemainingWork, destination: Storage) -> Row:
    kept, fresh = split_kept(work.todo, work.kept)
    assert (kept.num_rows, fresh.num_rows) == (1, 0)
    (row,) = rows_of(RestoreMusic(RestoreMusicSettings(destination, work.kept))(kept))
    return row


def test_kept_music_comes_back_bit_for_bit_and_is_mixed_again(source: Path, destination: Storage) -> None:
    first = deliver(work_of(source, destination, STEMS), destination, STEMS)
    kept_name = f".diff-v2m/music/{STEMS.music_fingerprint}/{first['item_id']}.arrow"
    assert [output["name"] for output in first["outputs"]] == ["clip.mp4", "clip.wav", "clip.json", kept_name]
    assert work_of(source, destination, STEMS).done == 1

    work = work_of(source, destination, LOUDER)  # needs no --force: nothing is lost
    row = restore(work, destination)
    wanted = sound_columns(2.0)
    for name in ("waveform", "cuts", "rhythm"):
        np.testing.assert_array_equal(row[name], wanted[name])
    assert (row["error"], row["transitions"], row["duration"]) == (None, wanted["transitions"], 2.0)
    second = deliver(work, destination, LOUDER, row)
    assert (second["fingerprint"], second["music"]) == (LOUDER.fingerprint, first["music"])
    assert second["outputs"][1]["sha256"] != first["outputs"][1]["sha256"]
    assert work_of(source, destination, LOUDER).done == 1

    third = replace(STEMS, mixing=MixingSettings(loudness=-30.0))  # the kept music outlives a mix without --stems
    assert restore(work_of(source, destination, third), destination)["error"] is None


@pytest.mark.parametrize(("damage", "reason"), [(None, "is gone"), (b"half a file", "has changed")])
def test_damaged_music_is_no_music(source: Path, destination: Storage, damage: bytes | None, reason: str) -> None:
    deliver(work_of(source, destination, STEMS), destination, STEMS)
    work = work_of(source, destination, LOUDER)
    (kept,) = work.kept.values()
    file = Path(destination.root) / kept["name"]
    file.unlink() if damage is None else file.write_bytes(damage)
    error = restore(work, destination)["error"]
    assert (error["stage"], error["type"]) == ("restore", "MusicLost")
    assert reason in error["message"]


def test_music_that_was_not_kept_or_is_another_is_refused(source: Path, destination: Storage) -> None:
    plain = replace(STEMS, outputs=OutputSettings())
    deliver(work_of(source, destination, plain), destination, plain)
    with pytest.raises(FingerprintError) as refused:
        work_of(source, destination, LOUDER)
    assert NOT_KEPT in str(refused.value)
    with pytest.raises(FingerprintError) as refused:
        work_of(source, destination, replace(STEMS, seed=6))
    assert NOT_KEPT not in str(refused.value)
    assert not work_of(source, destination, LOUDER, mix=True).kept


def test_results_of_another_seed_are_not_replaced_by_a_mix(source: Path, destination: Storage) -> None:
    deliver(work_of(source, destination, STEMS), destination, STEMS)
    other = RunSettings(seed=6)
    deliver(work_of(source, destination, other, mix=True), destination, other)
    with pytest.raises(FingerprintError):
        work_of(source, destination, LOUDER)


def test_the_fingerprint_has_two_parts() -> None:
    assert STEMS.music_fingerprint == LOUDER.music_fingerprint == RunSettings(seed=5).fingerprint
    assert len({STEMS.fingerprint, LOUDER.fingerprint, STEMS.music_fingerprint}) == 3
    assert RunSettings.of_record(STEMS.record) == STEMS
