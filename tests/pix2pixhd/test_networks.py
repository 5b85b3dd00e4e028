"""Networks from settings; that stages train them on is told in test_step.py."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from i2i_pix2pixhd.networks import Channels, new_discriminator, new_model, take_over
from i2i_pix2pixhd.settings import Settings

TINY: dict[str, Any] = {
    "labels": 5, "base_width": 4, "downs": 2, "blocks": 1, "discriminator_width": 4, "discriminator_layers": 2,
}  # fmt: skip
RGB = Channels(0, 3)


def test_the_defaults_are_the_networks_of_the_authors() -> None:
    """Counts of section 4 of the specification."""
    with torch.device("meta"):
        model = new_model(Settings(), RGB, None)
        styled = new_model(Settings(styles=True), RGB, None)
        judges = [new_discriminator(Settings(), name, RGB) for name in ("global", "joint")]
    counts = [sum(p.numel() for p in net.parameters()) for net in (model, styled.generator, styled.encoder, *judges)]
    assert counts == [182_546_755, 182_546_755 + 3 * 49 * 64, 788_803, 5_603_202, 8_404_803]


@pytest.mark.parametrize(
    ("before", "now", "kept"),
    [
        (2, 3, {0: 0, 1: 1}),
        (3, 3, {1: 0, 2: 1}),  # the coarsest one judged a resolution that is not judged any more
        (1, 3, {0: 1}),
        (1, 1, {0: 0}),
    ],
)
def test_discriminators_go_on_at_their_resolution(before: int, now: int, kept: dict[int, int]) -> None:
    torch.manual_seed(0)
    known = new_discriminator(
        Settings(**TINY, stages="global", discriminator_scales=before), "global", RGB
    ).state_dict()
    judge = new_discriminator(Settings(**TINY, discriminator_scales=now), "joint", RGB)
    take_over(judge, known)
    own = judge.state_dict()
    same = {
        (old, new)
        for old in range(before)
        for new in range(now)
        if torch.equal(known[f"scale{old}_layer1.0.weight"], own[f"scale{new}_layer1.0.weight"])
    }
    assert same == set(kept.items())
