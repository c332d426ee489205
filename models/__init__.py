"""The networks of Diff-V2M, their samplers and their weights: everything that is computed, with torch alone."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.diffv2m import DiffV2M
    from models.inputs import Features
    from models.networks.conditions import Conditions
    from models.weights.loading import load_model

__all__ = ["Conditions", "DiffV2M", "Features", "load_model"]


def __getattr__(name: str) -> Any:
    """Import torch only when a network is asked for: the command line answers before that."""
    from importlib import import_module

    homes = {
        "Conditions": "models.networks.conditions",
        "DiffV2M": "models.diffv2m",
        "Features": "models.inputs",
        "load_model": "models.weights.loading",
    }
    if name not in homes:
        raise AttributeError(f"module 'models' has no attribute {name!r}")
    return getattr(import_module(homes[name]), name)
