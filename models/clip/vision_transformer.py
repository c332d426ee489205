"""The vision transformer of CLIP, with the names and the arithmetic of open_clip's.

open_clip itself takes ten seconds to import, for text models, pretrained weights and transforms that are not used here.
A test compares every number with open_clip's own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.clip.config import ClipConfig

MLP_RATIO = 4
"""Width of the hidden layer of a block, as a multiple of the block's width."""


class QuickGELU(nn.Module):
    """The approximation of GELU that OpenAI's weights were trained with."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    """Attention and a perceptron, each after a layer norm and added to its input."""

    def __init__(self, width: int, heads: int, activation: nn.Module) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(width, width * MLP_RATIO))
        self.mlp.add_module("gelu", activation)
        self.mlp.add_module("c_proj", nn.Linear(width * MLP_RATIO, width))

    def forward(self, x: Tensor) -> Tensor:
        """Returns a tensor of the shape of `x`, [batch, tokens, width]."""
        normal = self.ln_1(x)
        x = x + self.attn(normal, normal, normal, need_weights=False)[0]
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


class VisionTransformer(nn.Module):
    """Pictures to embeddings, by way of a token for each patch and one for the whole picture."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        width, scale = config.width, config.width**-0.5
        tokens = (config.image_size // config.patch_size) ** 2 + 1
        self.conv1 = nn.Conv2d(3, width, config.patch_size, config.patch_size, bias=False)
        self.class_embedding = nn.Parameter(scale * torch.randn(width))
        self.positional_embedding = nn.Parameter(scale * torch.randn(tokens, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = nn.Module()
        activation = QuickGELU if config.quick_gelu else nn.GELU
        self.transformer.resblocks = nn.ModuleList(
            Block(width, config.heads, activation()) for _ in range(config.layers)
        )
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(scale * torch.randn(width, config.embed_dim))

    def forward(self, pictures: Tensor) -> Tensor:
        """Returns embeddings [batch, embed_dim] of normalized pictures [batch, 3, size, size]."""
        x = self.conv1(pictures).flatten(2).permute(0, 2, 1)
        first = self.class_embedding.view(1, 1, -1).expand(len(x), -1, -1)
        x = self.ln_pre(torch.cat([first, x], dim=1) + self.positional_embedding)
        for block in self.transformer.resblocks:  # type: ignore[union-attr]
            x = block(x)
        pooled: Tensor = self.ln_post(x)[:, 0]
        return pooled @ self.proj
