"""Conditions of the diffusion transformer: token sets, a global vector, a rhythm curve and a key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TokenSet:
    """Condition tokens [clips, steps, width] and their mask [clips, steps], true where a token counts."""

    tokens: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Conditions:
    """All conditions of a batch of clips.

    Attributes:
        semantic, rhythm, color: token sets.
        global_cond: [clips, 3 * width], the global vector.
        curve: [clips, 2 * channels, steps], the rhythm curve on the window's own time axis and, behind its channels, a
            flag for each: 1 where the channel is given, 0 where it is left to the model. None in a model without a
            curve.
        key: [clips] number of the music's key, 0 where it is left to the model. None in a model that is given no keys.
    """

    semantic: TokenSet
    rhythm: TokenSet
    color: TokenSet
    global_cond: Tensor
    curve: Tensor | None = None
    key: Tensor | None = None

    def __len__(self) -> int:
        return len(self.global_cond)

    def rows(self, index: Tensor | slice) -> Conditions:
        """The conditions of some of the clips."""

        def rows_of(tokens: TokenSet) -> TokenSet:
            return TokenSet(tokens.tokens[index], tokens.mask[index])

        return Conditions(
            semantic=rows_of(self.semantic),
            rhythm=rows_of(self.rhythm),
            color=rows_of(self.color),
            global_cond=self.global_cond[index],
            curve=None if self.curve is None else self.curve[index],
            key=None if self.key is None else self.key[index],
        )

    @staticmethod
    def concatenated(parts: Sequence[Conditions]) -> Conditions:
        """The conditions of the clips of several batches, one batch after another."""

        def joined(sets: Iterable[TokenSet]) -> TokenSet:
            tokens, masks = zip(*((s.tokens, s.mask) for s in sets), strict=True)
            return TokenSet(torch.cat(tokens), torch.cat(masks))

        return Conditions(
            semantic=joined(part.semantic for part in parts),
            rhythm=joined(part.rhythm for part in parts),
            color=joined(part.color for part in parts),
            global_cond=torch.cat([part.global_cond for part in parts]),
            curve=None if parts[0].curve is None else torch.cat([p.curve for p in parts if p.curve is not None]),
            key=None if parts[0].key is None else torch.cat([p.key for p in parts if p.key is not None]),
        )
