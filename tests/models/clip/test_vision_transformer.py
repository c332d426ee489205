"""The vision transformer: it has the tensors of open_clip's and gives the same numbers, bit for bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.clip.config import ClipConfig
from models.clip.vision_transformer import VisionTransformer


@pytest.mark.parametrize("quick", [False, True])
def test_it_is_the_one_of_open_clip(quick: bool) -> None:
    """Also the random initial weights are the same, so trainings that start from a seed are, too."""
    from open_clip.transformer import QuickGELU
    from open_clip.transformer import VisionTransformer as Original

    config = ClipConfig(image_size=48, patch_size=16, width=64, layers=3, heads=2, embed_dim=24, quick_gelu=quick)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        ours = VisionTransformer(config).eval()
        torch.manual_seed(5)
        activation = QuickGELU if quick else nn.GELU
        theirs = Original(48, 16, 64, 3, 2, mlp_ratio=4.0, output_dim=24, act_layer=activation).eval()
        pictures = torch.randn(4, 3, 48, 48)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor), name
    with torch.inference_mode():
        assert torch.equal(ours(pictures), theirs(pictures))
    gradients = [torch.autograd.grad(net(pictures).square().sum(), list(net.parameters())) for net in (ours, theirs)]
    for mine, original in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, original)
