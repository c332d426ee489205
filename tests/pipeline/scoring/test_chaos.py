"""Chaos: parts of a run are killed again and again, and every video is still done once with the same music."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from pipeline.destination.ledger import Ledger
from pipeline.storage.paths import is_temporary
from pipeline.storage.storage import Storage, StorageError
from tests.support.chaos import KINDS, Chaos, Outcome, Raylets, raylets, score
from tests.support.faulty import FAULTS, Faults, faulty
from tests.support.s3 import Bucket
from tests.support.videos import gray, write_video


@pytest.fixture
def faults() -> Faults:
    """5% of all requests go wrong, one way or another."""
    return Faults(dict.fromkeys(FAULTS, 0.05 / len(FAULTS)))


@pytest.fixture
def behind(bucket: Bucket, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A bucket that other processes reach through a proxy that breaks requests."""
    with faulty(bucket.s3.endpoint, faults) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        yield bucket


def write_clips(folder: Path, count: int) -> Path:
    """Short clips, no two alike."""
    folder.mkdir()
    for number in range(count):
        shades = [gray((number * 3 + 40 * (i // 10)) % 256) for i in range(26 + number % 5)]
        write_video(folder / f"{number:03}.mp4", shades)
    return folder


def chaos(cluster: Raylets, source: Path, out: str, log: Path, *, every: float, kills: int) -> tuple[Chaos, Outcome]:
    command = score(source, out, "--steps", "2", "--seed", "5", "--address", cluster.address)
    hand = Chaos(cluster, command, partial(settled, Ledger(Storage.open(out))), every, kills)
    code = hand.run(log)
    said = log.read_text()
    assert code == 0, said[-3000:]
    assert "raylet" not in said
    return hand, Outcome.of(Ledger(Storage.open(out)))


def settled(ledger: Ledger) -> int:
    """Number of ledger rows so far; 0 while the storage fails."""
    with suppress(StorageError):
        return ledger.table().num_rows
    return 0


def check(outcome: Outcome, expected: Outcome, clips: int) -> None:
    assert (len(outcome.done), outcome.failed) == (clips, {})
    assert (outcome.duplicates, outcome.remade) == (0, 0)
    assert outcome.music() == expected.music()


def leftovers(bucket: Bucket, folder: Path) -> list[str]:
    """Lock records and temporary files that runs left in a bucket and below a folder, without the client's marks."""
    names = [key for key, size in bucket.keys().items() if size]
    names += [str(path) for path in folder.rglob("*") if path.is_file()]
    return [name for name in names if "/claims/" in name or is_temporary(name)]


def show(rows: list[tuple[str, Chaos | None, Outcome, Faults | None]]) -> None:
    table = Table("run", *(f"{kind} killed" for kind in KINDS), "starts", "requests that failed", *SHOWN)
    for name, hand, outcome, faults in rows:
        killed = [str(hand.killed[kind]) if hand else "-" for kind in KINDS]
        failed = str(sum(faults.done.values()) - faults.done["passed"]) if faults else "-"
        counts = (outcome.done, outcome.failed, outcome.attempts, outcome.duplicates, outcome.remade)
        cells = (str(count if isinstance(count, int) else len(count)) for count in counts)
        table.add_row(name, *killed, str(hand.starts if hand else 1), failed, *cells)
    Console(width=160).print(table)


SHOWN = ("done", "failed", "attempts", "duplicates", "recomputed after done")


def undisturbed(cluster: Raylets, source: Path, folder: Path) -> Outcome:
    return chaos(cluster, source, str(folder / "calm"), folder / "calm.log", every=0, kills=0)[1]


def test_killed_parts_cost_nothing(behind: Bucket, faults: Faults, tmp_path: Path) -> None:
    """Every kind of part is killed once, and 5% of the requests to the bucket fail."""
    source = write_clips(tmp_path / "in", 6)
    with raylets() as cluster:
        expected = undisturbed(cluster, source, tmp_path)
        hand, outcome = chaos(cluster, source, f"{behind.url}/out", tmp_path / "log", every=1.5, kills=6)
    show([("calm", None, expected, None), ("bucket", hand, outcome, faults)])
    check(outcome, expected, 6)
    assert sum(hand.killed.values()) >= 3
    assert not leftovers(behind, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(5400)
@pytest.mark.parametrize("where", ["disk", "bucket"])
def test_200_clips_and_30_kills(behind: Bucket, faults: Faults, where: str, tmp_path: Path) -> None:
    """Run with `-s` to see the table."""
    source, out = write_clips(tmp_path / "in", 200), {"disk": str(tmp_path / "out"), "bucket": f"{behind.url}/out"}
    with raylets() as cluster:
        expected = undisturbed(cluster, source, tmp_path)
        hand, outcome = chaos(cluster, source, out[where], tmp_path / "log", every=10, kills=36)
    show([("calm", None, expected, None), (where, hand, outcome, faults if where == "bucket" else None)])
    check(outcome, expected, 200)
    assert not leftovers(behind, tmp_path)
    assert sum(hand.killed.values()) >= 30
