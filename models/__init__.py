"""What is computed: the networks of Diff-V2M, their samplers and their weights. Knows torch and nothing above it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.conditions import Conditions
    from models.diffv2m import DiffV2M, Features
    from models.loading import load_model

__all__ = ["Conditions", "DiffV2M", "Features", "load_model"]


def __getattr__(name: str) -> Any:
    """Import torch only when a network is asked for: the command line answers before that."""
    if name in __all__:
        from models import diffv2m, loading

        return getattr(loading if name == "load_model" else diffv2m, name)
    raise AttributeError(f"module 'models' has no attribute {name!r}")
