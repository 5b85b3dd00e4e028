from __future__ import annotations

import math
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from i2i import losses
from i2i.errors import CompositionError
from i2i.values import Translation, Verdict
from i2i_ugatit.adalin import adailn
from i2i_ugatit.terms import cam_loss, cam_verdict, clip_rho


def translation(logits: Tensor) -> Translation:
    return Translation(torch.zeros(len(logits), 3, 4, 4), {"cam_logits": logits})


def test_the_guess_is_cross_entropy_of_source_and_target() -> None:
    fake, same = torch.tensor([[2.0, -1.0], [0.5, 0.0]]), torch.tensor([[-3.0, 1.0], [0.0, 4.0]])
    expected = sum(-math.log(1 / (1 + math.exp(-x))) for x in fake.flatten().tolist()) / 4
    expected += sum(-math.log(1 - 1 / (1 + math.exp(-x))) for x in same.flatten().tolist()) / 4
    assert cam_loss(translation(fake), translation(same)).item() == pytest.approx(expected, rel=1e-6)


def test_where_nothing_is_known_it_is_the_logarithm_of_four() -> None:
    """So that four nets' worth of it, times 1000, are the 2772 that the authors' loss begins with."""
    unsure = translation(torch.zeros(1, 2))
    assert 1000 * 2 * cam_loss(unsure, unsure).item() == pytest.approx(4 * math.log(2) * 1000)


def test_half_precision_logits_are_summed_in_float32() -> None:
    sure = translation(torch.tensor([[300.0, -300.0]]).bfloat16())
    assert cam_loss(sure, sure).item() == pytest.approx(300)
    logits = torch.linspace(-3, 3, 14).reshape(7, 2).bfloat16()
    expected = sum(math.log1p(math.exp(-x)) + math.log1p(math.exp(x)) for x in logits.double().flatten().tolist()) / 14
    assert cam_loss(translation(logits), translation(logits)).item() == pytest.approx(expected, rel=1e-6)


def test_a_generator_without_attention_is_named() -> None:
    plain = Translation(torch.zeros(1, 3, 4, 4))
    with pytest.raises(CompositionError, match="this Translation has no cam_logits"):
        cam_loss(plain, plain)


def test_the_verdict_of_attention_suits_every_criterion() -> None:
    verdict = Verdict((torch.ones(1, 1, 5, 5),), extras={"cam_logits": (torch.full((1, 2), 3.0), torch.zeros(1, 2))})
    assert losses.lsgan.generator(cam_verdict(verdict)).item() == (3 - 1) ** 2 + 1
    assert losses.hinge.generator(cam_verdict(verdict)).item() == -3
    with pytest.raises(CompositionError, match="this Verdict has no cam_logits"):
        cam_verdict(Verdict((torch.ones(1, 1, 5, 5),)))


class Two(NamedTuple):
    G: nn.Module
    D: nn.Module


def test_rho_is_brought_back_in_place_and_nothing_else_is() -> None:
    norm = adailn(3)
    norm.rho.data = torch.tensor([-0.5, 0.25, 1.5])[None, :, None, None]
    other = nn.Linear(2, 2)
    other.weight.data.fill_(7)
    before = norm.rho.data_ptr()
    clip_rho(Two(nn.Sequential(norm), other))
    assert norm.rho.flatten().tolist() == [0, 0.25, 1]
    assert norm.rho.data_ptr() == before  # a captured graph and the optimiser know it by its address
    assert norm.rho.requires_grad
    assert (other.weight == 7).all()
