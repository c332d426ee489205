"""The session with Ray: messages of Ray itself do not reach standard output."""

from __future__ import annotations

import logging

import pytest

from pipeline.cluster.session import cluster


def test_messages_of_raylets_go_to_the_log(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    import ray

    with cluster(num_cpus=1), caplog.at_level(logging.INFO, "pipeline.cluster.session"):
        message = {"lines": ["A worker died\n", "of age"], "pid": "raylet", "is_err": False}
        ray._private.worker.print_to_stdstream(message, ignore_prefix=False)
    assert capsys.readouterr().out == ""
    assert caplog.messages == ["raylet: A worker died of age"]
