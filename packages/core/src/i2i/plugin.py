"""What the core registers, through the same door as every other plugin."""

from __future__ import annotations

from i2i.hookspecs import RegisterPart, hookimpl


@hookimpl
def register_parts(register: RegisterPart) -> None:
    """Register criteria, terms and schedules."""
    for name in ("lsgan", "vanilla", "hinge", "wgan"):
        register(f"core/{name}", f"i2i.losses:{name}", kind="criterion")
    for name in ("cycle", "identity", "gradient_penalty", "r1"):
        register(f"core/{name}", f"i2i.terms:{name}", kind="term")
    for name in ("constant", "linear_decay", "step_decay", "cosine", "warm_up"):
        register(f"core/{name}", f"i2i.schedules:{name}", kind="schedule")
    register("core/plateau", "i2i.schedules:Plateau", kind="schedule")
