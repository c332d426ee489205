"""A listener to the progress of a run that remembers what it received last."""

from __future__ import annotations

from pipeline.scoring.progress import RunProgress


class RecordedProgress:
    """Remembers the last progress of a run and the number of rows in all; -1 until the run begins."""

    def __init__(self) -> None:
        self.total, self.counts, self.progress = -1, dict[str, int](), RunProgress()

    def begin(self, total: int) -> None:
        self.total = total

    def __call__(self, progress: RunProgress, total: int) -> None:
        assert total == self.total
        self.progress, self.counts = progress, dict(progress.completed)
