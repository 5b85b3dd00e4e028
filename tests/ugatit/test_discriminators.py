"""The discriminator: sizes, scales, weights; its numbers are held against the authors' in the parity tests."""

from __future__ import annotations

import pytest
import torch

from benchmarks.reference.ugatit import Discriminator
from i2i.errors import DataError, SettingsError
from i2i_ugatit.discriminators import cam_discriminator
from tests.ugatit.keys import of_scales


@pytest.mark.parametrize(("side", "whole", "local"), [(96, 1, 10), (128, 2, 14), (256, 6, 30)])
def test_logits_and_heat_maps_of_both_scales(side: int, whole: int, local: int) -> None:
    with torch.device("meta"):
        verdict = cam_discriminator()(torch.zeros(2, 3, side, side))
    assert [tuple(logits.shape) for logits in verdict.logits] == [(2, 1, whole, whole), (2, 1, local, local)]
    shapes = [tuple(heatmap.shape[-2:]) for heatmap in verdict.extras["heatmap"]]
    assert shapes == [(whole + 1, whole + 1), (local + 1, local + 1)]
    assert [tuple(logits.shape) for logits in verdict.extras["cam_logits"]] == [(2, 2), (2, 2)]
    assert [len(features) for features in verdict.features] == [7, 5]
    assert [feature.shape[1] for feature in verdict.features[1]] == [64, 128, 256, 512, 512]


def test_weights_are_the_authors() -> None:
    with torch.device("meta"):
        ours, theirs = cam_discriminator().state_dict(), of_scales(Discriminator(7), Discriminator(5))
    assert {key: value.shape for key, value in theirs.items()} == {key: value.shape for key, value in ours.items()}
    assert len(ours) == 35 + 27


@pytest.mark.parametrize(("layers", "smallest"), [((3,), 6), ((4,), 12), ((6, 4), 48), ((7, 5), 96), ((5, 7), 96)])
def test_the_smallest_legal_size(layers: tuple[int, ...], smallest: int) -> None:
    net = cam_discriminator(base_width=2, layers=layers)
    assert net.smallest == smallest
    assert all(bool(x.isfinite().all()) for x in net(torch.rand(1, 3, smallest, smallest + 1)).logits)
    with pytest.raises(DataError, match=rf"height \(={smallest - 1}\) must be at least {smallest}"):
        net(torch.rand(1, 3, smallest - 1, smallest))
    scale = net.scales[layers.index(max(layers))]
    with pytest.raises(RuntimeError, match="[Pp]adding"):  # it is the layers that cannot, not only a rule that says so
        scale(torch.rand(1, 3, smallest - 1, smallest - 1))


def test_each_scale_has_weights_and_a_view_of_its_own() -> None:
    net = cam_discriminator(base_width=2, layers=(4, 3))
    image = torch.rand(1, 3, 16, 16, requires_grad=True)
    verdict = net(image)
    seen = []
    for logits in verdict.logits:
        (gradient,) = torch.autograd.grad(logits[0, 0, 0, 0], image, retain_graph=True)
        seen.append(int((gradient.abs().sum((0, 1, 2)) > 0).sum()))
    assert seen[0] > seen[1]


def test_a_condition_is_joined_to_the_image() -> None:
    net = cam_discriminator(4, base_width=2, layers=(3,)).eval()
    image, condition = torch.rand(1, 3, 8, 8), torch.rand(1, 1, 8, 8)
    joined = net(torch.cat((condition, image), dim=1))
    assert torch.equal(net(image, condition).logits[0], joined.logits[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": ()}, "at least one judge"),
        ({"layers": 4}, r"layers \(=4\) must have a number for at least one judge"),
        ({"layers": (7, 2)}, r"layers \(=2\) must be a whole number of at least 3"),
        ({"base_width": 0}, r"base_width \(=0\)"),
        ({"init": "zero"}, r"init \(='zero'\)"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        cam_discriminator(**arguments)  # type: ignore[arg-type]


def test_normal_weights_are_drawn_before_the_spectral_norm() -> None:
    torch.manual_seed(0)
    net = cam_discriminator(base_width=16, layers=(4,), init="normal")
    assert net.scales[0].layers[4].weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert net.scales[0].cam.average.weight.abs().max().item() == pytest.approx(64**-0.5, rel=0.1)
