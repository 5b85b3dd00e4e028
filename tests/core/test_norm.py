from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from i2i.errors import SettingsError
from i2i.layers import NORMS, norm_layer


def test_instance_norm_standardises_each_map_of_each_image() -> None:
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64) * 3 + 1
    mean = x.mean((2, 3), keepdim=True)
    variance = ((x - mean) ** 2).mean((2, 3), keepdim=True)
    layer = norm_layer("instance", 3)
    assert not layer.state_dict()
    for mode in (True, False):
        torch.testing.assert_close(layer.train(mode)(x), (x - mean) / (variance + 1e-5).sqrt(), rtol=0, atol=1e-12)


def test_batch_norm_has_weights_and_running_statistics() -> None:
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    layer = norm_layer("batch", 3).double()
    layer(x)
    expected_mean = 0.1 * x.mean((0, 2, 3))
    torch.testing.assert_close(layer.state_dict()["running_mean"], expected_mean, rtol=0, atol=1e-12)
    running = layer.state_dict()
    expected = functional.batch_norm(x, running["running_mean"], running["running_var"])
    torch.testing.assert_close(layer.eval()(x), expected, rtol=0, atol=1e-12)


def test_none_passes_its_input_through() -> None:
    x = torch.randn(1, 3, 2, 2)
    assert norm_layer("none", 3)(x) is x


@pytest.mark.parametrize("kind", NORMS)
def test_every_norm_works_under_bf16_autocast(kind: Any) -> None:
    x = torch.randn(1, 4, 8, 8, requires_grad=True)
    convolution = torch.nn.Conv2d(4, 4, 3)
    with torch.autocast("cpu", torch.bfloat16):
        y = norm_layer(kind, 4)(convolution(x))
    y.float().square().sum().backward()
    exact = norm_layer(kind, 4)(convolution(x))
    torch.testing.assert_close(y.float(), exact, rtol=0, atol=0.05)
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_unknown_norm_names_the_choices() -> None:
    with pytest.raises(SettingsError, match=r"norm \(='layer'\) must be one of: instance, batch, none"):
        norm_layer("layer", 3)  # type: ignore[arg-type]
