"""The command `score`: what it says to options that cannot be met, and what a killed run leaves behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from pipeline.destination.ledger import Ledger
from pipeline.storage.storage import Storage
from tests.support.command_line import invoke, run_on_terminal
from tests.support.parity import COMMITTED
from tests.support.s3 import Bucket
from tests.support.videos import gray, write_video

MINI = COMMITTED / "mini"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return write_video(folder / "a.mp4", [gray(i) for i in range(30)])


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["absent"], "absent"),
        (["empty"], ".mp4"),
        (["in", "--steps", "0"], "steps"),
        (["in", "--limit", "0"], "limit"),
        (["in", "--guidance", "nan"], "guidance"),
        (["in", "--weights", "in/a.mp4"], "expected .safetensors, or .ckpt"),
        (["in", "--address", "127.0.0.1:1"], "no Ray cluster answers at 127.0.0.1:1"),
        (["in", "--address", "ray://127.0.0.1:1"], "leave out --address"),
        (["in", "--precision", "int8"], "float16"),
        (["in", "--loudness", "loud"], "youtube, spotify, ebu, atsc or none"),
        (["in", "--loudness", "14"], "-50 to -5 LUFS"),
        (["in", "--original", "mute"], "duck"),
        (["in", "--original-track", "2"], "--original-track has no effect on a sound that is dropped"),
        (["in", "--original", "keep", "--duck-depth", "6"], "--duck-depth has no effect without --original duck"),
        (["in", "--original", "keep", "--music-level", "31"], "music-level"),
        (["in", "--formats", "wav,aiff"], "got 'aiff'"),
        (["in", "--formats", "wav,wav24"], "choose one"),
        (["in", "--rate", "96000"], "expected 44100 or 48000, got 96000"),
        (["in", "--music-track", "second"], "replace"),
        (["in", "--compile"], "no-such-compiler"),
        (["in", "--preset", "huge"], "preset"),
        (["in", "--weights", "absent.ckpt"], "no weights at"),
        (["in", "--preset", "diff-v2m"], "weights pull"),
        (["in", "--weights", str(MINI)], "name open_clip weights with --clip-weights"),
        (["in", "--clip", "in/a.mp4"], "in/a.mp4"),
        (["in", "--clip-weights", "in/a.mp4"], "in/a.mp4"),
    ],
)
def test_options_that_cannot_be_met_are_one_clear_line(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIFF_V2M_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.setenv("CXX", "no-such-compiler")
    Path("empty").mkdir()
    result = invoke("score", *arguments, "--out", "out")
    assert result.exit_code == 2
    assert line in result.output.replace("\n", " ")
    assert "Traceback" not in result.output
    assert not Path("out").exists()


def test_the_destination_is_not_inside_the_source(clip: Path) -> None:
    for out in (clip.parent, clip.parent / "scored"):
        result = invoke("score", clip.parent, "--out", out)
        assert (result.exit_code, "inside" in result.output or "is the" in result.output) == (2, True)


def test_two_sources_for_one_output_are_both_scored(clip: Path, tmp_path: Path) -> None:
    shutil.copytree(clip.parent, tmp_path / "other")
    result = invoke("score", clip.parent, tmp_path / "other", "--out", tmp_path / "out", "--dry-run", "--json")
    assert result.exit_code == 0
    plan = json.loads(result.stdout)
    assert (plan["total"], plan["todo"], plan["unusable"]) == (2, 2, [])


def test_a_missing_tensor_is_named(clip: Path, tmp_path: Path) -> None:
    content = torch.load(MINI / "model.ckpt", weights_only=True)
    del content["state_dict"]["diffusion.model.model.postprocess_conv.weight"]
    torch.save(content, tmp_path / "model.ckpt")
    shutil.copy(MINI / "model_config.json", tmp_path)
    result = invoke("score", clip, "--out", tmp_path / "out", "--weights", tmp_path, "--clip", clip)
    assert result.exit_code == 2
    assert "missing diffusion.model.model.postprocess_conv.weight" in result.output


def test_buckets_that_are_not_there_or_not_ours(clip: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    result = invoke("score", clip, "--out", "s3://no-such-bucket-here/out")
    assert result.exit_code == 2
    assert "no-such-bucket-here" in result.output
    with bucket.s3.guarded():
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDWRONG")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
        result = invoke("score", bucket.url, "--out", clip.parent.parent / "out")
    assert result.exit_code == 2
    assert "wrong-secret" not in result.output
    assert "AWS_SECRET_ACCESS_KEY" in result.output or "credentials" in result.output.lower()


def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """SIGKILL after the first result: the same command, now on a terminal, finishes the rest and recomputes nothing."""
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for number in range(4):
        write_video(source / f"{number}.mp4", [gray(40 * number + i) for i in range(25 * (1 + number))])
    command = [sys.executable, "-m", "jobs.cli", "score", str(source), "--out", str(out), "--steps", "12", "--json"]
    ledger = Ledger(Storage.open(out))
    first = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 200
        while not ledger.parts() and first.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
    done = ledger.table().to_pylist()
    assert 1 <= len(done) <= 4
    code, screen = run_on_terminal(command[:-1])
    assert code == 0, screen[-2000:]
    rows = ledger.table().to_pylist()
    assert "results in" in screen
    assert len({row["item_id"] for row in rows}) == len(rows) == 4
    assert rows[: len(done)] == done
    files = {entry.name for entry in Storage.open(out).files()}
    assert files == {f"{number}{suffix}" for number in range(4) for suffix in (".mp4", ".wav", ".json")}


def test_a_terminated_run_ends_in_good_order(clip: Path, tmp_path: Path) -> None:
    """SIGTERM in the middle: one line, no trace, nothing half-written, and nobody holds the destination."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "jobs.cli", "score", str(clip), "--out", str(out), "--steps", "2000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline() == "1 to score; starting Ray\n"
    time.sleep(12)  # somewhere between the start of Ray and the end of the sampling
    process.send_signal(signal.SIGTERM)
    _, lines = process.communicate(timeout=600)
    assert process.returncode == 130, lines
    assert lines.splitlines()[-1] == "stopped; what is done is kept, the same command goes on from here"
    assert "Traceback" not in lines
    assert "SIGTERM received" not in lines
    left = [path for path in out.rglob("*") if path.is_file()]
    assert not [path for path in left if path.suffix in (".tmp", ".mp4", ".wav") or "claims" in path.parts]
