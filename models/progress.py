"""The type of functions that receive the progress of a long task."""

from __future__ import annotations

from collections.abc import Callable

ProgressCallback = Callable[[int, int], None]
"""Receives how many items are done and how many there are in all."""
