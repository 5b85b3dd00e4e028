"""The groups of layers; whole networks of them are compared with a plain transcription in ``test_generators.py``."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.reference import plain_pix2pixhd as plain
from benchmarks.reference.plain import draw_weights
from i2i.errors import SettingsError
from i2i_pix2pixhd.layers import ResidualBlock, layers_of


def test_a_residual_block_adds_without_an_activation_after_the_sum() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(3, "instance")
    draw_weights(block)
    x = torch.randn(2, 3, 5, 6, dtype=torch.float64)
    expected = plain.block(dict(block.named_parameters()), "conv_block", x)
    torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-12)
    assert (expected < -0.5).any()
    assert list(block.state_dict()) == [f"conv_block.{at}.{kind}" for at in (1, 5) for kind in ("weight", "bias")]


@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
@pytest.mark.parametrize("padding", ["zero", "reflect"])
def test_groups_have_the_positions_of_the_specification(upsampling: Any, padding: Any) -> None:
    layers = layers_of("batch", upsampling, padding)
    places = {
        name: [at for at, layer in enumerate(group) if list(layer.parameters())]
        for name, group in {
            "first": layers.first(2, 1, 4), "down": layers.down(4), "up": layers.up(4), "last": layers.last(4, 3),
        }.items()
    }  # fmt: skip
    assert places == {"first": [1, 2], "down": [0, 1], "up": [0, 1], "last": [1]}  # convolutions and batch norms


def test_resize_makes_no_checkerboard_where_transposed_convolutions_do() -> None:
    """Of equal weights and a flat map: the pixels of a 2x2 square away from the borders."""
    spreads = {}
    for upsampling in ("transposed", "resize"):
        layer = layers_of("none", upsampling, "zero").up(2)[0]  # type: ignore[arg-type]
        for value in layer.parameters():
            nn.init.ones_(value)
        spreads[upsampling] = layer(torch.ones(1, 2, 6, 6))[..., 4:6, 4:6].std().item()
    assert spreads["transposed"] > 1
    assert spreads["resize"] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("layer", "resize", "zero"), r"norm \(='layer'\) must be one of: instance, batch, none"),
        (("batch", "nearest", "zero"), r"upsampling \(='nearest'\) must be one of: transposed, resize"),
        (("batch", "resize", "replicate"), r"padding \(='replicate'\) must be one of: zero, reflect"),
    ],
)
def test_unknown_words_are_refused(words: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        layers_of(*words)
