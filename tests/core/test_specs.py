from __future__ import annotations

import time

import pytest
import torch

from i2i import specs
from i2i.errors import ModelError
from i2i.parts import Spec

pytestmark = pytest.mark.usefixtures("toy_plugin")

DEFAULTS = {"channels": 3, "width": 2, "sizes": [1, 3], "scale": 1.5, "name": "a", "bias": True, "nothing": None}


def test_a_spec_is_written_with_the_registered_name_and_all_arguments() -> None:
    from toy_plugin_parts import generator

    assert specs.to_json(generator(width=2).spec) == {"part": "toy/generator", "arguments": DEFAULTS}


def test_what_was_written_builds_the_same_again() -> None:
    from toy_plugin_parts import generator

    net = generator(1, width=2, sizes=(3, 5))
    assert specs.build(specs.to_json(net.spec), "FILE").spec == net.spec


def test_parts_in_arguments_are_built_too() -> None:
    from toy_plugin_parts import tied, wrapper

    written = specs.to_json(wrapper(tied()).spec)
    assert written == {"part": "toy/wrapper", "arguments": {"inner": {"part": "toy/tied", "arguments": {}}}}
    assert specs.parts_in(written) == ["toy/wrapper", "toy/tied"]
    assert len(specs.build(written, "FILE").layers[0]) == 2


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (Spec("toy_plugin_parts:Net", {}), "toy_plugin_parts:Net is registered by no plugin"),
        (Spec("toy_plugin_parts:generator", {"width": {1}}), "argument width is a set, which cannot be written down"),
        (Spec("toy_plugin_parts:generator", {"inner": torch.nn.ReLU()}), "argument inner is a ReLU"),
    ],
)
def test_what_cannot_be_written_down(spec, said) -> None:
    with pytest.raises(ModelError, match=said):
        specs.to_json(spec)


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"part": 3, "arguments": {}},
        {"part": "toy/tied", "arguments": []},
        {"part": "toy/tied", "arguments": {}, "module": "os"},
        {"part": "toy/wrapper", "arguments": {"inner": [{"factory": "os:system"}]}},
    ],
)
def test_malformed_specs_are_refused(spec) -> None:
    with pytest.raises(ModelError, match=r"^FILE: a part must read"):
        specs.check(spec, "FILE")


@pytest.mark.parametrize(
    ("part", "arguments", "said"),
    [
        ("toy/genrator", {}, "part 'toy/genrator' is unknown"),
        ("os:system", {"command": "true"}, "part 'os:system' is unknown"),
        ("; rm -r/x", {}, "part '; rm -r/x' is unknown"),
        ("toys/generator", {}, "part 'toys/generator' belongs to a plugin .*: pip install i2i-toys"),
        ("toy/generator", {"wdith": 3}, "toy/generator cannot be made with these arguments: .*'wdith'"),
        (
            "toy/generator",
            {"width": 0},
            "toy/generator cannot be made with these arguments: width .=0. must be at least 1",
        ),
        ("toy/generator", {"width": "a"}, "toy/generator cannot be made with these arguments: '<' not supported"),
        ("toy/number", {}, "toy/number makes a int, not a module"),
    ],
)
def test_specs_that_cannot_be_built(part, arguments, said) -> None:
    with pytest.raises(ModelError, match=f"^FILE: .*{said}") as caught:
        specs.build({"part": part, "arguments": arguments}, "FILE")
    assert "\n" not in str(caught.value)


def test_building_on_meta_takes_no_memory_and_no_random_numbers() -> None:
    state = torch.get_rng_state()
    net = specs.build_on_meta({"part": "toy/generator", "arguments": {"width": 10**9}}, "FILE", most=100)
    assert net.layers[0].weight.shape == (10**9, 3, 1, 1)
    assert all(tensor.is_meta for tensor in net.state_dict().values())
    assert torch.equal(torch.get_rng_state(), state)


def test_building_on_meta_gives_up_on_endless_layers() -> None:
    begin = time.perf_counter()
    with pytest.raises(
        ModelError, match=r"toy/deep cannot be made with these arguments: .*more layers than the file holds"
    ):
        specs.build_on_meta({"part": "toy/deep", "arguments": {"layers": 10**9}}, "FILE", most=100)
    assert time.perf_counter() - begin < 5
    assert len(specs.build_on_meta({"part": "toy/deep", "arguments": {"layers": 50}}, "FILE", most=100).layers) == 50
    torch.nn.Sequential(*(torch.nn.Linear(1, 1) for _ in range(100)))  # the bound is gone afterwards
