"""What i2i-wandb registers."""

from __future__ import annotations

from i2i.hookspecs import RegisterObserver, hookimpl


@hookimpl
def register_observers(register: RegisterObserver) -> None:
    """Register the logger."""
    register("wandb", "i2i_wandb.observer:build")
