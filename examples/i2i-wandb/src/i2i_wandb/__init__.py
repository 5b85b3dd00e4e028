"""Weights & Biases for i2i: ``i2i train ... --observers wandb``. Names are imported when they are first used."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from i2i_wandb.observer import WandB

__all__ = ["WandB"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'i2i_wandb' has no attribute {name!r}")
    from i2i_wandb import observer

    return getattr(observer, name)
