"""Guidance in plain arithmetic, as the released code has it: both halves through the whole network, at every step."""

from __future__ import annotations

import torch
from torch import Tensor

from models.conditions import Conditions, TokenSet
from models.diffv2m import DiffV2M


def with_null(conditions: Conditions) -> Conditions:
    """Conditions followed by their null half: zero tokens under the same mask, no curve and no key; the global vector
    is kept."""

    def doubled(x: Tensor | None) -> Tensor | None:
        return None if x is None else torch.cat((x, torch.zeros_like(x)))

    def both(tokens: TokenSet) -> TokenSet:
        return TokenSet(torch.cat((tokens.tokens, torch.zeros_like(tokens.tokens))), torch.cat((tokens.mask,) * 2))

    sets = (both(tokens) for tokens in (conditions.semantic, conditions.rhythm, conditions.color))
    whole = torch.cat((conditions.global_cond, conditions.global_cond))
    return Conditions(*sets, whole, doubled(conditions.curve), doubled(conditions.key))


@torch.inference_mode()
def plain_velocity(model: DiffV2M, latents: Tensor, t: Tensor, conditions: Conditions, guidance: float) -> Tensor:
    """Velocity of `latents` [clips, channels, frames] at `t` [clips]: null + guidance * (conditioned - null)."""
    both = model.dit(torch.cat((latents, latents)), torch.cat((t, t)), with_null(conditions))
    conditioned, null = both.chunk(2)
    return null + guidance * (conditioned - null)
