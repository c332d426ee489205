"""The commands `weights inspect` and `weights pull`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.support.command_line import invoke
from tests.support.parity import COMMITTED

MINI = COMMITTED / "mini"


def test_inspect_shows_what_a_checkpoint_is(tmp_path: Path) -> None:
    result = invoke("weights", "inspect", MINI, "--json")
    assert result.exit_code == 0
    description = json.loads(result.stdout)["facts"]
    assert (description["kind"], description["fusion"], description["rhythm"]) == ("Diff-V2M", "FiLM_choose", "odf")
    assert (description["weights"], description["sound"]) == ("online and EMA", "1024 Hz stereo, 30 s windows")
    torch.save({"visual.proj": torch.zeros(2)}, tmp_path / "model.ckpt")
    other = invoke("weights", "inspect", tmp_path)
    assert other.exit_code == 2
    assert "open_clip" in other.output
    assert invoke("weights", "inspect", tmp_path / "absent").exit_code == 2


def test_inspect_shows_what_is_missing(tmp_path: Path) -> None:
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
    assert "model.ckpt 3.0 of 3.0 MB" in result.stderr.splitlines()
    assert "declares no licence" in result.output
    assert (tmp_path / "diff-v2m" / "model.ckpt").stat().st_size == 3_000_000
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    refused = invoke("weights", "pull", "--to", tmp_path / "other")
    assert refused.exit_code == 2
    assert refused.output.count("error:") == 1
