"""The command line: what it says to wrong orders, and what a killed run leaves behind."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from jobs.cli import app
from jobs.commands.demo import VIDEOS, cuts_of, make_videos
from pipeline.destination.ledger import Ledger
from pipeline.storage.storage import Storage
from stages.contracts import MANIFEST, rows_of, table_of
from stages.decode import Decode
from tests.conftest import Bucket
from tests.models.weights.test_hub import hub  # noqa: F401  a fixture
from tests.support.parity import COMMITTED
from tests.support.rows import common
from tests.support.videos import gray, write_video

MINI = COMMITTED / "mini"
HEAVY = {"torch", "ray", "pyarrow", "open_clip", "stable_audio_tools", "scipy", "cv2"}


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return write_video(folder / "a.mp4", [gray(i) for i in range(30)])


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, jobs.cli; print(' '.join(sorted({m.split('.')[0] for m in sys.modules})))"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert HEAVY & set(modules) == set()


@pytest.mark.parametrize(
    "command",
    [
        [], ["score"], ["demo"], ["weights"], ["weights", "inspect"], ["weights", "pull"], ["corpus"],
        ["corpus", "make"], ["prepare"], ["train"], ["evaluate"], ["status"], ["failures"],
        ["retry"], ["report"], ["plan"], ["cancel"], ["submit"],
    ],
)  # fmt: skip
def test_every_command_explains_itself(command: list[str]) -> None:
    result = invoke(*command, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.output


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
        (["in", "--compile"], "no-such-compiler"),
        (["in", "--preset", "huge"], "preset"),
        (["in", "--weights", "absent.ckpt"], "no weights at"),
        (["in", "--preset", "diff-v2m"], "weights pull"),
        (["in", "--weights", str(MINI)], "name open_clip weights with --clip"),
        (["in", "--clip", "in/a.mp4"], "in/a.mp4"),
    ],
)
def test_wrong_orders_are_one_clear_line(
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


def test_two_sources_for_one_output(clip: Path, tmp_path: Path) -> None:
    shutil.copytree(clip.parent, tmp_path / "other")
    result = invoke("score", clip.parent, tmp_path / "other", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "would both be written to a.mp4" in result.output.replace("\n", " ")


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


def test_inspect_tells_what_a_checkpoint_is(tmp_path: Path) -> None:
    result = invoke("weights", "inspect", MINI, "--json")
    assert result.exit_code == 0
    facts = json.loads(result.stdout)["facts"]
    assert (facts["kind"], facts["fusion"], facts["rhythm"]) == ("Diff-V2M", "FiLM_choose", "odf")
    assert (facts["weights"], facts["sound"]) == ("online and EMA", "1024 Hz stereo, 30 s windows")
    torch.save({"visual.proj": torch.zeros(2)}, tmp_path / "model.ckpt")
    other = invoke("weights", "inspect", tmp_path)
    assert other.exit_code == 2
    assert "open_clip" in other.output
    assert invoke("weights", "inspect", tmp_path / "absent").exit_code == 2


def test_inspect_tells_what_is_missing(tmp_path: Path) -> None:
    content = torch.load(MINI / "model.ckpt", weights_only=True)
    names = [n for n in content["state_dict"] if n.endswith("ff_norm.gamma")]
    for name in names:
        del content["state_dict"][name]
    torch.save(content, tmp_path / "model.ckpt")
    shutil.copy(MINI / "model_config.json", tmp_path)
    result = invoke("weights", "inspect", tmp_path, "--json")
    assert result.exit_code == 2
    assert sorted(json.loads(result.stdout)["faults"]) == sorted(f"missing {name}" for name in names)


@pytest.mark.usefixtures("hub")
def test_pull_says_where_the_weights_are_and_whose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFF_V2M_WEIGHTS", str(tmp_path))
    result = invoke("weights", "pull")
    assert result.exit_code == 0
    assert str(tmp_path / "diff-v2m") in result.output
    assert "declares no licence" in result.output
    assert (tmp_path / "diff-v2m" / "model.ckpt").stat().st_size == 3_000_000
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    refused = invoke("weights", "pull", "--to", tmp_path / "other")
    assert refused.exit_code == 2
    assert refused.output.count("error:") == 1


def test_demo_videos_have_the_cuts_that_they_claim(tmp_path: Path) -> None:
    videos = make_videos(tmp_path)
    rows = rows_of(Decode()(table_of([common(v.name, uri=str(v), size=v.stat().st_size) for v in videos], MANIFEST)))
    for row, (name, scenes) in zip(rows, VIDEOS.items(), strict=True):
        assert row["error"] is None
        assert row["duration"] == pytest.approx(sum(scene.seconds for scene in scenes))
        assert row["cuts"].tolist() == pytest.approx(cuts_of(scenes), abs=1 / 25), name


def on_a_terminal(command: list[str]) -> tuple[int, str]:
    """Exit code and screen of a command that runs on a terminal of its own, as a person's would."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(command[0], command)
    screen = bytearray()
    with contextlib.suppress(OSError):  # how a terminal tells that its last process is gone
        while chunk := os.read(terminal, 65536):
            screen += chunk
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), screen.decode(errors="replace")


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
    code, screen = on_a_terminal(command[:-1])
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
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == "stopped; what is done is kept, the same command goes on from here"
    assert "Traceback" not in said
    assert "SIGTERM received" not in said
    left = [path for path in out.rglob("*") if path.is_file()]
    assert not [path for path in left if path.suffix in (".tmp", ".mp4", ".wav") or "claims" in path.parts]
