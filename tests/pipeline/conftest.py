"""Fixtures of the pipeline's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.small_training import make


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `small_training.make` fills it; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("made")
    make(folder)
    return folder
