"""Guidance in plain arithmetic, as the released code has it: both halves through the whole network, at every step."""

from __future__ import annotations

import torch
from torch import Tensor

from models.bench import plainly as with_null
from models.conditions import Conditions
from models.diffv2m import DiffV2M


@torch.inference_mode()
def plain_velocity(model: DiffV2M, latents: Tensor, t: Tensor, conditions: Conditions, guidance: float) -> Tensor:
    """Velocity of `latents` [clips, channels, frames] at `t` [clips]: null + guidance * (conditioned - null)."""
    both = model.dit(torch.cat((latents, latents)), torch.cat((t, t)), with_null(conditions))
    conditioned, null = both.chunk(2)
    return null + guidance * (conditioned - null)
