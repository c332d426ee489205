"""Viewers: they show a person how a training goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Viewer(Protocol):
    """Shows how a training goes."""

    def on_composed(self, done: int, total: int) -> None:
        """Receives how many pieces or pictures of the corpus are composed, and how many there are in all."""

    def on_losses(self, step: int, values: Mapping[str, float]) -> None:
        """Receives the losses up to a step."""


class SilentViewer:
    """Shows nothing: the losses are on the disk in any case, in `losses.jsonl`."""

    def on_composed(self, done: int, total: int) -> None:
        """Does nothing."""

    def on_losses(self, step: int, values: Mapping[str, float]) -> None:
        """Does nothing."""
