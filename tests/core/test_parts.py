from __future__ import annotations

import inspect
from typing import Any

import pytest
from torch import nn

from i2i.parts import Example, Spec, part

EXAMPLE = Example({"channels": 2}, ((1, 2, 8, 8),))


@part(example=EXAMPLE)
def block(channels: int, *, width: int = 4, inner: nn.Module | None = None) -> nn.Module:
    """Make a block."""
    return nn.Conv2d(channels, width, 1)


@part(example=EXAMPLE)
def number(channels: int) -> int:
    return channels


def spec(module: Any) -> Any:
    return module.spec


def test_a_module_remembers_its_factory_and_all_arguments() -> None:
    wanted = {"channels": 2, "width": 4, "inner": None}
    factory = f"{__name__}:block"
    assert spec(block(2)) == spec(block(channels=2)) == Spec(factory, wanted)
    inner = block(1)
    assert spec(block(2, width=8, inner=inner)) == Spec(factory, {"channels": 2, "width": 8, "inner": inner})


def test_a_factory_keeps_its_signature_and_shows_its_example() -> None:
    assert block.__doc__ == "Make a block."
    assert list(inspect.signature(block).parameters) == ["channels", "width", "inner"]
    assert block.example is EXAMPLE  # type: ignore[attr-defined]


def test_what_is_no_module_is_left_alone_and_mistakes_are_those_of_the_factory() -> None:
    assert number(3) == 3
    with pytest.raises(TypeError, match=r"block\(\) got an unexpected keyword argument 'depth'"):
        block(2, depth=3)  # type: ignore[call-arg]


def test_a_spec_is_no_weight() -> None:
    assert set(block(2).state_dict()) == {"weight", "bias"}
