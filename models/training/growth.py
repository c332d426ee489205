"""Growing a rhythm predictor: it begins with the weights of one that read fewer channels of the picture's pace."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from models.config import CurveConfig
from models.networks.rhythm_predictor import CurvePredictor

INPUT = "pace_in.weight"
"""End of the name of the weights whose second dimension is the predictor's input: pace, groove and noisy curve."""
TEMPO_INPUT = {"tempo_out.0.weight": 1.0, "tempo_out.0.bias": 0.0, "tempo_out.1.weight": 0.0}
"""Ends of the names of the weights whose last dimension ends with the pace, and the values of new entries."""


def with_more_pace(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], curve: CurveConfig
) -> dict[str, Tensor]:
    """Returns a checkpoint's tensors for a predictor that reads more channels of the picture's pace.

    The new channels stand behind the old ones and have no effect on the curve at first. A predictor that reads no
    embeddings leaves out the layer for them.

    Args:
        tensors: the checkpoint's tensors of the conditioner by name.
        expected: those of the model.
        curve: configuration of the model's curve.
    """
    found = {
        name: tensor for name, tensor in tensors.items() if curve.semantic or ".extractor.semantic_in." not in name
    }
    for name, tensor in found.items():
        if name.endswith(INPUT) and name in expected:
            old = curve.pace * CurvePredictor.GROUP - (expected[name].shape[1] - tensor.shape[1])
            if 0 < old < curve.pace * CurvePredictor.GROUP:
                new = tensor.new_zeros(len(tensor), curve.pace * CurvePredictor.GROUP - old, tensor.shape[2])
                found[name] = torch.cat((tensor[:, :old], new, tensor[:, old:]), dim=1)
        for end, value in TEMPO_INPUT.items():
            if name.endswith(end) and name in expected and (more := expected[name].shape[-1] - tensor.shape[-1]) > 0:
                found[name] = torch.cat((tensor, tensor.new_full((*tensor.shape[:-1], more), value)), dim=-1)
    return found
