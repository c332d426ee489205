"""Layers of both transformers: normalization, rotary positions, attention and feed-forward.

Names of parameters follow the released checkpoint, which follows stable-audio-tools.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Rotary = tuple[Tensor, Tensor]
"""Cosines and sines of the rotary angles of some positions, [length, width] each."""


class LayerNorm(nn.Module):
    """Layer normalization over the last dimension; `beta` is a buffer, zero in trained weights."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))
        self.beta: Tensor
        self.register_buffer("beta", torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.gamma, self.beta, 1e-5)


class RotaryEmbedding(nn.Module):
    """Rotary positions (RoFormer, arXiv 2104.09864) for the first `width` dimensions of each head."""

    def __init__(self, head_width: int) -> None:
        super().__init__()
        width = max(head_width // 2, 32)
        self.inv_freq: Tensor
        self.register_buffer("inv_freq", 1.0 / 10000 ** (torch.arange(0, width, 2).float() / width))

    def forward(self, length: int) -> Rotary:
        """Cosines and sines of the positions 0 to `length` - 1, [length, width] each, in float32."""
        return self.at(torch.arange(length, device=self.inv_freq.device))

    def at(self, positions: Tensor) -> Rotary:
        """Cosines and sines of any positions [length], fractions included."""
        angles = torch.outer(positions.float(), self.inv_freq.float())
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos(), angles.sin()


def rotate(x: Tensor, rotary: Rotary) -> Tensor:
    """Turn the first dimensions of `x` [batch, heads, length, head width] by the rotary angles of each position."""
    cos, sin = rotary
    turned, kept = x[..., : cos.shape[-1]].float(), x[..., cos.shape[-1] :]
    first, second = turned.chunk(2, dim=-1)
    turned = turned * cos + torch.cat((-second, first), dim=-1) * sin
    return torch.cat((turned.to(x.dtype), kept), dim=-1)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[batch, length, heads * width] -> [batch, heads, length, width]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


class SelfAttention(nn.Module):
    """Bidirectional self-attention with rotary positions."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(width, 3 * width, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, rotary: Rotary) -> Tensor:
        """`x` [batch, length, width] -> the same shape."""
        q, k, v = (split_heads(part, self.heads) for part in self.to_qkv(x).chunk(3, dim=-1))
        out = F.scaled_dot_product_attention(rotate(q, rotary), rotate(k, rotary), v)
        return self.to_out(out.transpose(1, 2).flatten(2))


@dataclass(frozen=True)
class KeyValues:
    """Keys and values of one cross-attention.

    Attributes:
        keys, values: [batch, number of shared heads or of all heads, steps, head width].
        mask: [batch, 1, 1, steps], true where a token counts.
    """

    keys: Tensor
    values: Tensor
    mask: Tensor


class CrossAttention(nn.Module):
    """Attention to condition tokens; heads share keys and values where the tokens are narrower.

    No projection has a bias, so tokens of zeros add exactly nothing. Without rotary positions, as released, no token
    knows its time, and the order of the tokens changes nothing.
    """

    def __init__(self, width: int, cond_dim: int, head_width: int) -> None:
        super().__init__()
        self.heads, self.kv_heads = width // head_width, cond_dim // head_width
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_kv = nn.Linear(cond_dim, 2 * cond_dim, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)

    def key_values(self, tokens: Tensor, mask: Tensor, rotary: Rotary | None = None) -> KeyValues:
        """Keys and values of `tokens` [batch, steps, cond_dim]; no latent changes them.

        Args:
            mask: [batch, steps], true where a token counts.
            rotary: positions of the tokens; None without positions.
        """
        both = self.to_kv(tokens.to(self.to_kv.weight.dtype))
        k, v = (split_heads(part, self.kv_heads) for part in both.chunk(2, dim=-1))
        k = k if rotary is None else rotate(k, rotary)
        if k.is_cuda:  # few kernels there take a mask and shared heads together
            k, v = (part.repeat_interleave(self.heads // self.kv_heads, dim=1) for part in (k, v))
        return KeyValues(k, v, mask[:, None, None, :])

    def forward(self, x: Tensor, condition: KeyValues, rotary: Rotary | None = None) -> Tensor:
        """`x` [batch, length, width] -> the same shape; `rotary` holds the positions of `x`."""
        q = split_heads(self.to_q(x), self.heads)
        if rotary is not None:
            q = rotate(q, rotary)
        shared = condition.keys.shape[1] != self.heads
        out = F.scaled_dot_product_attention(
            q, condition.keys, condition.values, attn_mask=condition.mask, enable_gqa=shared
        )
        return self.to_out(out.transpose(1, 2).flatten(2))

    def constant_output(self, token: Tensor) -> Tensor:
        """Output for every `x` where all tokens equal `token`: [batch, 1, cond_dim] -> [batch, 1, width]."""
        values = self.to_kv(token.to(self.to_kv.weight.dtype)).chunk(2, dim=-1)[1].unflatten(-1, (self.kv_heads, -1))
        return self.to_out(values.repeat_interleave(self.heads // self.kv_heads, dim=-2).flatten(2))


class GatedLinear(nn.Module):
    """The first half of SwiGLU: one projection to values and gates."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 2 * inner)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.silu(gate)


class FeedForward(nn.Module):
    """SwiGLU feed-forward layer, four times as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ff = nn.Sequential(GatedLinear(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.ff(x)


def two_layers(activation: nn.Module, width_in: int, hidden: int, width_out: int, bias: bool = True) -> nn.Sequential:
    """A linear layer, an activation and a second linear layer."""
    return nn.Sequential(nn.Linear(width_in, hidden, bias=bias), activation, nn.Linear(hidden, width_out, bias=bias))
