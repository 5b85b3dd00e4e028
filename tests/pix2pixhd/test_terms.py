from __future__ import annotations

import pytest
import torch
from torch import Tensor

from i2i.errors import CompositionError
from i2i.values import Translation, Verdict
from i2i_pix2pixhd.terms import feature_matching, perceptual


def verdict(scales: int, layers: int, seed: int, dtype: torch.dtype = torch.float64) -> Verdict:
    draw = torch.Generator().manual_seed(seed)
    features = tuple(
        tuple(torch.randn(2, 3 + j, 9 - j - s, 7, generator=draw, dtype=torch.float64).to(dtype) for j in range(layers))
        for s in range(scales)
    )
    return Verdict(tuple(torch.zeros(1) for _ in range(scales)), features)


@pytest.mark.parametrize(("scales", "discriminator_layers"), [(2, 3), (3, 3), (1, 1), (2, 2)])
def test_feature_matching_is_the_sum_of_the_spec(scales: int, discriminator_layers: int) -> None:
    """lambda 10: sum over scales and layers of 4 / (n_layers + 1) / num_D times the mean difference."""
    real, fake = verdict(scales, discriminator_layers + 1, 0), verdict(scales, discriminator_layers + 1, 1)
    total = 0.0
    for s in range(scales):
        for j in range(discriminator_layers + 1):
            apart = (fake.features[s][j] - real.features[s][j]).abs().mean().item()
            total += 10 * 4 / (discriminator_layers + 1) / scales * apart
    assert (10 * feature_matching(real, fake)).item() == pytest.approx(total, rel=1e-12)


def test_only_fakes_learn_from_feature_matching() -> None:
    real, fake = (Verdict((torch.zeros(1),), ((torch.randn(1, 2, 3, 3, requires_grad=True),),)) for _ in range(2))
    feature_matching(real, fake).backward()
    assert real.features[0][0].grad is None
    grad = fake.features[0][0].grad
    assert grad is not None
    torch.testing.assert_close(grad, 4 / 18 * (fake.features[0][0] - real.features[0][0]).sign())


def test_features_in_half_precision_are_compared_in_full() -> None:
    real, fake = verdict(1, 2, 0, torch.bfloat16), verdict(1, 2, 1, torch.bfloat16)
    wanted = sum(
        (b.double() - a.double()).abs().mean() for a, b in zip(real.features[0], fake.features[0], strict=True)
    )
    found = feature_matching(real, fake)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(2 * float(wanted), rel=1e-5)


def test_features_are_needed_and_must_fit() -> None:
    with pytest.raises(CompositionError, match="this Verdict has no features"):
        feature_matching(Verdict((torch.zeros(1),)), verdict(1, 1, 0))
    with pytest.raises(CompositionError, match="differ in size"):
        feature_matching(verdict(1, 2, 0), verdict(2, 2, 0))


def test_perceptual_weighs_the_features_of_the_spec() -> None:
    def features(image: Tensor) -> list[Tensor]:
        return [image[..., ::k] * k for k in range(1, 6)]

    draw = torch.Generator().manual_seed(0)
    real, made = torch.randn(2, 2, 3, 4, 10, generator=draw, dtype=torch.float64).unbind()
    weights = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1)
    pairs = zip(weights, features(made), features(real), strict=True)
    wanted = sum(weight * (a - b).abs().mean().item() for weight, a, b in pairs)
    assert perceptual(real, Translation(made), features=features).item() == pytest.approx(wanted, rel=1e-12)


def test_the_real_image_is_looked_at_without_a_graph() -> None:
    seen: list[bool] = []

    def features(image: Tensor) -> list[Tensor]:
        seen.append(torch.is_grad_enabled() and image.requires_grad)
        return [image]

    real, made = (torch.randn(1, 3, 4, 4, requires_grad=True) for _ in range(2))
    perceptual(real, Translation(made), features=features).backward()
    assert seen == [False, True]
    assert real.grad is None
    assert made.grad is not None
