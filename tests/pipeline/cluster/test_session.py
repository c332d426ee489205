"""What a run does not say: Ray's own news has no place on standard output."""

from __future__ import annotations

import logging

import pytest

from pipeline.cluster.session import cluster


def test_what_raylets_say_goes_to_the_log(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    import ray

    with cluster(num_cpus=1), caplog.at_level(logging.INFO, "pipeline.scoring.streaming"):
        news = {"lines": ["A worker died\n", "of age"], "pid": "raylet", "is_err": False}
        ray._private.worker.print_to_stdstream(news, ignore_prefix=False)
    assert capsys.readouterr().out == ""
    assert caplog.messages == ["raylet: A worker died of age"]
