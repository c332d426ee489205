"""What steers the diffusion transformer: token sets, a global vector, a rhythm curve, a key."""

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
    """Everything that steers the DiT.

    Attributes:
        semantic, rhythm, color: token sets.
        global_cond: [clips, 3 * width].
        curve: [clips, 2 * channels, steps], the rhythm curve on the window's own time axis and, behind its channels, a
            flag for each: 1 where it is given, 0 where it is left to the model. None in a model without a curve.
        key: [clips] number of the music's key, 0 where it is left to the model. None in a model that is told none.
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
        """The conditions of some clips."""

        def of(tokens: TokenSet) -> TokenSet:
            return TokenSet(tokens.tokens[index], tokens.mask[index])

        curve, key = (None if x is None else x[index] for x in (self.curve, self.key))
        return Conditions(of(self.semantic), of(self.rhythm), of(self.color), self.global_cond[index], curve, key)

    @staticmethod
    def concatenated(parts: Sequence[Conditions]) -> Conditions:
        """The clips of several conditions, one after another."""

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
