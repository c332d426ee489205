"""Backpressure: how far stages run ahead of those after them. Imported where Ray may be, as all of its neighbors."""

from __future__ import annotations

from itertools import dropwhile, islice
from typing import Any

import ray
from ray.data._internal.execution.backpressure_policy import (
    ENABLED_BACKPRESSURE_POLICIES,
    ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY,
    BackpressurePolicy,
)

LIMIT = "diff-v2m.blocks-ahead"
"""Key of the limit in Ray Data's configuration."""


class BlocksAhead(BackpressurePolicy):
    """A stage takes nothing in while later ones have so many blocks to do.

    Ray Data itself bounds only the bytes that wait, by its object store; a fast first stage then runs ahead by
    thousands of small rows, each of which costs the driving process memory. Its own rule for stages looks at the next
    one alone, and not at all while that one waits, too.
    """

    def can_add_input(self, op: Any) -> bool:
        """Whether an operator may begin a task. The last one always may, so there is no standstill."""
        if not op.input_dependencies:  # what reads the manifest
            return True
        later = islice(dropwhile(lambda pair: pair[0] is not op, self._topology.items()), 1, None)
        waiting = sum(state.total_enqueued_input_blocks() + after.num_active_tasks() for after, state in later)
        return waiting < self._data_context.get_config(LIMIT)


def bound_blocks_ahead(limit: int) -> None:
    """For the datasets that are made from here on."""
    context = ray.data.DataContext.get_current()
    context.set_config(ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY, [*ENABLED_BACKPRESSURE_POLICIES, BlocksAhead])
    context.set_config(LIMIT, limit)
