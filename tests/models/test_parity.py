"""The released code's own numbers, and its checkpoint's own names."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch

from models.bench import RELEASED
from models.config import ModelConfig
from models.diffv2m import PARTS, DiffV2M
from models.weights.checkpoint import EMA_PREFIX, PREFIXES, UNUSED_TENSORS, released_name
from tests.support import parity


@pytest.mark.parametrize("folder", parity.fixtures(), ids=lambda folder: folder.name)
def test_every_tensor_is_within_its_tolerance(folder: Path) -> None:
    comparisons = list(parity.compare(folder))
    assert len(comparisons) >= 20
    assert [c for c in comparisons if not c.error <= c.tolerance] == []


def test_larger_fixtures_are_compared_where_they_are() -> None:
    larger = [f for f in parity.fixtures() if f.parent != parity.COMMITTED]
    if not larger:
        pytest.skip(f"{parity.LARGER_COUNT} larger parity fixtures are not here (looked in {parity.LARGER.name})")
    assert len(larger) >= parity.LARGER_COUNT


def test_full_size_names_and_shapes() -> None:
    import re

    with gzip.open(parity.COMMITTED / "full_size_checkpoint_keys.json.gz") as stream:
        expected = {name: shape for name, (_, shape) in json.load(stream).items()}
    config = ModelConfig.from_file(RELEASED)
    with torch.device("meta"):
        model = DiffV2M(config)
    own = {
        released_name(part, name): list(tensor.shape)
        for part in PARTS
        for name, tensor in getattr(model, part).state_dict().items()
    }
    own |= {EMA_PREFIX + n.removeprefix(PREFIXES["dit"]): s for n, s in own.items() if n.startswith(PREFIXES["dit"])}
    used = {n: s for n, s in expected.items() if not any(re.fullmatch(pattern, n) for pattern in UNUSED_TENSORS)}
    assert own == used
    assert len(expected) == 2517
    assert sum(p.numel() for p in model.dit.parameters()) / 1e6 == pytest.approx(1381, abs=1)
    assert sum(p.numel() for p in model.autoencoder.parameters()) / 1e6 == pytest.approx(156, abs=1)
