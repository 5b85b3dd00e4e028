from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from i2i.losses import Criterion, at_least_float32, hinge, lsgan, vanilla, wgan
from i2i.values import Verdict

Score = Callable[[Tensor], Tensor]


def nothing(x: Tensor) -> Tensor:
    return torch.zeros_like(x)


# What the papers say of a logit: (generator on a fake, discriminator on a real one, discriminator on a fake).
FORMULAS: dict[str, tuple[Criterion, Score, Score, Score]] = {
    "lsgan": (lsgan, lambda x: (x - 1) ** 2, lambda x: (x - 1) ** 2, lambda x: x**2),
    "vanilla": (
        vanilla,
        lambda x: -torch.log(1 / (1 + torch.exp(-x))),
        lambda x: -torch.log(1 / (1 + torch.exp(-x))),
        lambda x: -torch.log(1 - 1 / (1 + torch.exp(-x))),
    ),
    "hinge": (
        hinge,
        lambda x: -x,
        lambda x: torch.maximum(1 - x, nothing(x)),
        lambda x: torch.maximum(1 + x, nothing(x)),
    ),
    "wgan": (wgan, lambda x: -x, lambda x: -x, lambda x: x),
}


def verdict(scales: int, seed: int) -> Verdict:
    draw = torch.Generator().manual_seed(seed)
    maps = [torch.randn(2, 1, 4 + i, 5 - i, generator=draw, dtype=torch.float64) for i in range(scales)]
    return Verdict(tuple(maps), features=(((torch.ones(1) * 1e9),),))


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("scales", [1, 3])
def test_the_formula_is_summed_over_scales_and_averaged_over_all_else(name: str, scales: int) -> None:
    criterion, passes, real, fake = FORMULAS[name]
    a, b = verdict(scales, 1), verdict(scales, 2)
    generator = sum(passes(x).mean().item() for x in b.logits)
    discriminator = sum(real(x).mean().item() for x in a.logits) + sum(fake(x).mean().item() for x in b.logits)
    assert criterion.generator(b).item() == pytest.approx(generator, abs=1e-12)
    assert criterion.discriminator(a, b).item() == pytest.approx(discriminator, abs=1e-12)
    assert criterion.generator(b).shape == criterion.discriminator(a, b).shape == ()


@pytest.mark.parametrize("name", FORMULAS)
def test_extreme_logits_stay_finite(name: str) -> None:
    criterion = FORMULAS[name][0]
    for value in (-1e4, 1e4):
        logits = torch.full((1, 1, 2, 2), value, requires_grad=True)
        total = criterion.generator(Verdict((logits,))) + criterion.discriminator(
            Verdict((logits,)), Verdict((logits,))
        )
        total.backward()  # type: ignore[no-untyped-call]
        assert total.isfinite()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", FORMULAS)
def test_half_precision_logits_are_judged_in_float32(name: str) -> None:
    criterion = FORMULAS[name][0]
    half = Verdict((torch.tensor([0.5, 0.25, -3.0]).bfloat16(),))
    wide = Verdict((torch.tensor([0.5, 0.25, -3.0]),))
    found = criterion.discriminator(half, half)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, criterion.discriminator(wide, wide), rtol=0, atol=0)


def test_at_least_float32() -> None:
    kinds = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
    assert [at_least_float32(torch.ones(1, dtype=kind)).dtype for kind in kinds] == [torch.float32] * 3 + [
        torch.float64
    ]
