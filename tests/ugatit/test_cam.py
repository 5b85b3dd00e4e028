"""Attention against its formula, written out; the numbers of the whole networks are in the parity tests."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from i2i.errors import SettingsError
from i2i_ugatit.cam import CamHead, cam_head


def formula(head: CamHead, x: Tensor, average: Tensor, maximum: Tensor, slope: float) -> tuple[Tensor, Tensor, Tensor]:
    """Weighted copies of the features, joined and fused; ``average`` and ``maximum`` weight them."""
    both = torch.cat((x * average[:, :, None, None], x * maximum[:, :, None, None]), dim=1)
    features = F.leaky_relu(F.conv2d(both, head.fuse.weight, head.fuse.bias), slope)
    by_average = (x.mean((2, 3)) * average).sum(1)
    by_maximum = (x.flatten(2).max(2).values * maximum).sum(1)
    return features, torch.stack((by_average, by_maximum), 1), features.sum(1, keepdim=True)


@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_features_are_weighted_by_what_tells_the_domain(slope: float) -> None:
    torch.manual_seed(0)
    head = cam_head(5, slope=slope).double()
    x = torch.randn(2, 5, 4, 6, dtype=torch.float64)
    wanted = formula(head, x, head.average.weight, head.maximum.weight, slope)
    torch.testing.assert_close(tuple(head(x)), wanted, rtol=0, atol=1e-12)


def test_under_spectral_norm_the_logits_are_normalised_and_the_features_are_not() -> None:
    torch.manual_seed(0)
    head = cam_head(5, slope=0.2, spectral=True).double()
    x = torch.randn(2, 5, 4, 6, dtype=torch.float64)
    raw = [layer.weight for layer in (head.average, head.maximum)]
    features, _, heatmap = formula(head, x, *raw, slope=0.2)
    normalised = [weight / weight.norm() for weight in raw]  # the largest singular value of one row is its length
    _, logits, _ = formula(head, x, *normalised, slope=0.2)
    torch.testing.assert_close(tuple(head(x)), (features, logits, heatmap), rtol=0, atol=1e-12)


def test_a_gradient_reaches_the_weights_through_logits_and_through_features() -> None:
    head = cam_head(3)
    attended = head(torch.rand(1, 3, 4, 4))
    for value in (attended.features, attended.logits):
        gradient, *_ = torch.autograd.grad(value.sum(), [head.average.weight], retain_graph=True)
        assert gradient.abs().sum() > 0


def test_half_the_products_of_the_joined_convolution() -> None:
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        cam_head(64)(torch.zeros(1, 64, 32, 32))
    assert counter.get_total_flops() == 2 * (64 * 64 * 32 * 32 + 2 * 64)


def test_in_half_precision_the_heat_map_is_float32() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        attended = cam_head(8, slope=0.2, spectral=True)(torch.rand(1, 8, 4, 4))
    assert attended.heatmap.dtype == torch.float32
    assert all(bool(value.isfinite().all()) for value in attended)


def test_no_channels_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"channels \(=0\)"):
        cam_head(0)
