"""Backpressure: a limit on how far stages run ahead of the stages after them.

This module imports Ray Data, so import it only where Ray is about to be used.
"""

from __future__ import annotations

from itertools import dropwhile, islice
from typing import Any

import ray
from ray.data._internal.execution.backpressure_policy import (
    ENABLED_BACKPRESSURE_POLICIES,
    ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY,
    BackpressurePolicy,
)

LIMIT_KEY = "diff-v2m.blocks-ahead"
"""Key of the limit in Ray Data's configuration."""


class BlocksAhead(BackpressurePolicy):
    """A stage takes no new block while the stages after it hold `limit_blocks_ahead` blocks that are not done.

    Ray Data itself bounds only the bytes that wait, by the size of its object store. A fast first stage then runs ahead
    by thousands of small rows, each of which costs memory in the driving process. Ray Data's own rule for stages looks
    at the next stage alone, and does not apply while that stage waits, too.
    """

    def can_add_input(self, op: Any) -> bool:
        """Returns whether an operator may begin a task. The last one always may, so there is no standstill."""
        if not op.input_dependencies:  # the operator that reads the manifest
            return True
        later = islice(dropwhile(lambda pair: pair[0] is not op, self._topology.items()), 1, None)
        pending = sum(state.total_enqueued_input_blocks() + after.num_active_tasks() for after, state in later)
        return pending < self._data_context.get_config(LIMIT_KEY)


def limit_blocks_ahead(limit: int) -> None:
    """Sets the limit of `BlocksAhead`, in blocks, for all datasets that are made from here on."""
    context = ray.data.DataContext.get_current()
    context.set_config(ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY, [*ENABLED_BACKPRESSURE_POLICIES, BlocksAhead])
    context.set_config(LIMIT_KEY, limit)
