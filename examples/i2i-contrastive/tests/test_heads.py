from __future__ import annotations

import pytest
import torch
from i2i_contrastive.heads import heads_for, projection_head
from torch import nn

from i2i.errors import SettingsError


def test_two_layers_and_length_1() -> None:
    torch.manual_seed(0)
    head = projection_head(5, width=7)
    first, second = (layer for layer in head.modules() if isinstance(layer, nn.Linear))
    features = torch.randn(2, 3, 5)
    hidden = (features @ first.weight.T + first.bias).clamp(min=0)
    made = hidden @ second.weight.T + second.bias
    torch.testing.assert_close(head(features), made / made.square().sum(-1, keepdim=True).sqrt())


def test_first_weights() -> None:
    torch.manual_seed(0)
    for layer in projection_head(100, width=300).modules():
        if isinstance(layer, nn.Linear):
            assert not layer.bias.any()
            deviation = 0.02 * (2 / (layer.in_features + layer.out_features)) ** 0.5
            assert layer.weight.std().item() == pytest.approx(deviation, rel=0.05)


def test_one_for_each_layer_of_features() -> None:
    heads = heads_for([3, 8], width=4)
    assert [head(torch.ones(1, 2, channels)).shape for head, channels in zip(heads, [3, 8], strict=True)] == [
        (1, 2, 4)
    ] * 2


def test_mistakes() -> None:
    with pytest.raises(SettingsError, match=r"width \(=0\)"):
        projection_head(3, width=0)
