"""Names, shapes, parameters and costs of the generators against the tables of the specification."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from i2i_pix2pixhd.generators import global_generator, local_enhancer
from tests.pix2pixhd.generators.nets import on_meta

Shapes = dict[str, tuple[int, ...]]


def convolution(key: str, out: int, into: int, side: int) -> Shapes:
    return {f"{key}.weight": (out, into, side, side), f"{key}.bias": (out,)}


def transposed(key: str, into: int, out: int) -> Shapes:
    return {f"{key}.weight": (into, out, 3, 3), f"{key}.bias": (out,)}


def residual(key: str, width: int) -> Shapes:
    return convolution(f"{key}.conv_block.1", width, width, 3) | convolution(f"{key}.conv_block.5", width, width, 3)


def trunk_of_g1(channels: int) -> Shapes:
    """``model.{1,4,7,10,13}``, ``model.{16..24}.conv_block.{1,5}``, ``model.{25,28,31,34}``."""
    shapes = convolution("model.1", 64, channels, 7)
    for at, width in ((4, 128), (7, 256), (10, 512), (13, 1024)):
        shapes |= convolution(f"model.{at}", width, width // 2, 3)
    for at in range(16, 25):
        shapes |= residual(f"model.{at}", 1024)
    for at, width in ((25, 512), (28, 256), (31, 128), (34, 64)):
        shapes |= transposed(f"model.{at}", 2 * width, width)
    return shapes


def test_keys_and_shapes_of_g1_are_the_authors() -> None:
    expected = trunk_of_g1(36) | convolution("model.38", 3, 64, 7)
    net = on_meta(global_generator, 1, labels=35)
    assert {name: tuple(value.shape) for name, value in net.state_dict().items()} == expected
    assert len(expected) == 56
    net.load_state_dict({name: torch.empty(shape, device="meta") for name, shape in expected.items()}, assign=True)


def test_keys_and_shapes_of_g1_and_g2_are_the_authors() -> None:
    expected = trunk_of_g1(36) | convolution("model1_1.1", 32, 36, 7) | convolution("model1_1.4", 64, 32, 3)
    for at in range(3):
        expected |= residual(f"model1_2.{at}", 64)
    expected |= transposed("model1_2.3", 64, 32) | convolution("model1_2.7", 3, 32, 7)
    net = on_meta(local_enhancer, 1, labels=35)
    assert {name: tuple(value.shape) for name, value in net.state_dict().items()} == expected
    assert len(expected) == 74


@pytest.mark.parametrize("variant", [{"upsampling": "resize"}, {"padding": "reflect"}, {"recompute": True}])
def test_variants_shift_no_position(variant: Any) -> None:
    for factory in (global_generator, local_enhancer):
        keys = list(on_meta(factory, 1, labels=35).state_dict())
        assert list(on_meta(factory, 1, labels=35, **variant).state_dict()) == keys


@pytest.mark.parametrize(
    ("factory", "settings", "parameters"),
    [
        (global_generator, {"in_channels": 1, "labels": 35}, 182_546_755),
        (global_generator, {"in_channels": 4, "labels": 35}, 182_556_163),
        (global_generator, {}, 182_443_267),
        (local_enhancer, {"in_channels": 1, "labels": 35}, 182_857_059),
        (local_enhancer, {"in_channels": 1, "labels": 35, "enhancers": 2, "base_width": 16}, 182_947_699),
    ],
)
def test_parameter_counts_are_the_authors(factory: Any, settings: Any, parameters: int) -> None:
    assert sum(value.numel() for value in on_meta(factory, **settings).parameters()) == parameters


@pytest.mark.parametrize(
    ("width", "height", "of_g1", "of_both"),
    [(256, 128, 61.2, 23.4), (512, 256, 244.7, 93.5), (1024, 512, 978.6, 374.0), (2048, 1024, 3914.6, 1495.9)],
)
def test_forward_passes_cost_no_more_than_the_specification_says(
    width: int, height: int, of_g1: float, of_both: float
) -> None:
    labels = torch.zeros(1, 1, height, width, dtype=torch.int32, device="meta")
    for factory, gigaflops in ((global_generator, of_g1), (local_enhancer, of_both)):
        net = on_meta(factory, 1, labels=35)
        with FlopCounterMode(display=False) as counter:
            net(labels, labels.float())
        assert 0.8 * gigaflops < counter.get_total_flops() / 1e9 < gigaflops + 0.1
