"""The generator: sizes, heads, weights, tiles; its numbers are held against the authors' in the parity tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import i2i
from i2i.errors import CompositionError, DataError, SettingsError
from i2i.modes import fixed_statistics
from i2i.tiles import approximation, in_tiles
from i2i.translate import translate
from i2i_ugatit.generators import cam_generator
from tests.ugatit.keys import of_generator


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_weights_of_the_whole_networks() -> None:
    with torch.device("meta"):
        light, full = cam_generator(), cam_generator(head="full", size=(256, 256))
        article = cam_generator(head="full", size=(256, 256), blocks=6)
        pooled = cam_generator(head="pooled")
    assert (count(light), count(full)) == (10_589_888, 278_959_808)
    assert count(article) == pytest.approx(283.68e6, abs=5e3)
    assert count(pooled) == count(light) + 15 * 256 * 256
    assert len(light.state_dict()) == len(full.state_dict()) == 44


@pytest.mark.parametrize("side", [64, 128, 512])
def test_the_full_head_grows_with_the_image(side: int) -> None:
    with torch.device("meta"):
        net = cam_generator(head="full", size=(side, side))
    assert count(net) / 1e6 == pytest.approx({64: 27.3, 128: 77.6, 512: 1084}[side], rel=2e-3)


@pytest.mark.parametrize("head", ["light", "pooled"])
@pytest.mark.parametrize("size", [(8, 8), (16, 24), (36, 12)])
def test_light_and_pooled_heads_take_any_size(head: str, size: tuple[int, int]) -> None:
    made = cam_generator(base_width=4, blocks=1, head=head)(noise(2, 3, *size))  # type: ignore[arg-type]
    assert made.image.shape == (2, 3, *size)
    assert made.extras["heatmap"].shape == (2, 1, size[0] // 4, size[1] // 4)
    assert made.extras["cam_logits"].shape == (2, 2)
    assert made.image.abs().max() <= 1


def test_the_heads_see_means_of_all_of_parts_and_every_pixel() -> None:
    """What the style depends on: for the light head the order of pixels does not matter, for the others it does."""
    features = noise(1, 16, 8, 8)
    shuffled = features.flip(-1)
    swapped = features.reshape(1, 16, 4, 2, 4, 2).flip(3).reshape(1, 16, 8, 8)  # within the parts of the pooled head
    changes = {}
    for head, size in (("light", None), ("pooled", None), ("full", (32, 32))):
        style = cam_generator(base_width=4, blocks=1, head=head, size=size).style  # type: ignore[arg-type]
        gamma, _ = style(features)
        changes[head] = [not torch.allclose(style(each)[0], gamma, atol=1e-6) for each in (shuffled, swapped)]
    assert changes == {"light": [False, False], "pooled": [True, False], "full": [True, True]}


def test_a_full_head_refuses_other_sizes() -> None:
    net = cam_generator(base_width=4, blocks=1, head="full", size=(16, 24))
    assert net(noise(1, 3, 16, 24)).image.shape == (1, 3, 16, 24)
    listed = cam_generator(base_width=4, blocks=1, head="full", size=[16, 24])  # type: ignore[arg-type]
    assert listed(noise(1, 3, 16, 24)).image.shape == (1, 3, 16, 24)
    with pytest.raises(DataError, match="an image of 16x24: this network was built for 24x16 only"):
        net(noise(1, 3, 24, 16))


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((4, 16), r"height \(=4\) must be at least 8"),
        ((16, 18), r"width \(=18\) must be a multiple of 4; use 16 or 20"),
    ],
)
def test_images_that_it_could_not_make_again_are_refused(size: tuple[int, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        cam_generator(base_width=4, blocks=1)(noise(1, 3, *size))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"blocks": 0}, r"blocks \(=0\)"),
        ({"base_width": 0}, r"base_width \(=0\)"),
        ({"head": "heavy"}, r"head \(='heavy'\) must be one of: light, full, pooled"),
        ({"head": "full"}, "head full is built for one size of images"),
        ({"size": (16, 16)}, "is for head full only"),
        ({"head": "full", "size": 16}, r"size \(=16\) must be height and width"),
        ({"head": "full", "size": (16,)}, r"size \(=\(16,\)\) must be height and width"),
        ({"head": "full", "size": (16, 18)}, r"size \(=\(16, 18\)\) must be two multiples of 4"),
        ({"init": "xavier"}, r"init \(='xavier'\) must be one of: torch, normal"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        cam_generator(**{"base_width": 4, **arguments})  # type: ignore[arg-type]


def test_a_condition_is_refused() -> None:
    with pytest.raises(CompositionError, match="takes no condition"):
        cam_generator(base_width=4, blocks=1)(noise(1, 3, 16, 16), noise(1, 3, 16, 16))


def test_recomputed_layers_have_equal_names_results_and_gradients() -> None:
    kept, again = (cam_generator(base_width=4, blocks=2, recompute=flag).double() for flag in (False, True))
    again.load_state_dict(kept.state_dict())
    gradients = []
    for net in (kept, again):
        made = net(noise(1, 3, 16, 16).double())
        (made.image.square().sum() + made.extras["cam_logits"].sum()).backward()
        gradients.append([parameter.grad for parameter in net.parameters()])
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-12)


def test_normal_weights_are_those_of_convolutions_only() -> None:
    torch.manual_seed(0)
    net = cam_generator(base_width=16, init="normal")
    for name, parameter in net.named_parameters():
        if parameter.ndim == 4 and not name.endswith(("rho", "gamma", "beta")):
            assert parameter.std().item() == pytest.approx(0.02, rel=0.15), name
    bound = 64**-0.5  # torch's own for linear layers of 64 inputs
    assert net.style.gamma.weight.abs().max().item() == pytest.approx(bound, rel=0.05)


@pytest.mark.parametrize("blocks", [1, 2])
def test_a_pixel_sees_no_further_than_it_says(blocks: int) -> None:
    """With the statistics held, a change of a pixel in the worst place goes as far as ``reach``, and no further."""
    torch.manual_seed(0)
    net = cam_generator(base_width=2, blocks=blocks).double().eval()
    image, far = noise(1, 3, 112, 112).double(), 0
    with torch.no_grad(), fixed_statistics(net, lambda: net(image)):
        for place in range(56, 60):  # on each of the places that a cell of the smallest map covers
            changed = image.clone()
            changed[..., place, place] += 1.0
            moved = (net(changed).image - net(image).image).abs().amax((0, 1)).amax(0).nonzero().flatten()
            far = max(far, place - int(moved.min()), int(moved.max()) - place)
    assert far == net.reach


def test_tiles_fit_together() -> None:
    """Scale and shift of the adaptive norms, style included, are taken once for all tiles."""
    torch.manual_seed(0)
    net = cam_generator(base_width=2, blocks=1).double().eval()
    image = noise(1, 3, 96, 160).double()
    assert approximation(net, 96) is None
    with torch.no_grad():
        small = torch.nn.functional.interpolate(image, (74, 124), mode="bilinear", antialias=True)
        with fixed_statistics(net, lambda: translate(net, small)):
            expected = translate(net, image)
        made = in_tiles(net, image, 96)
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-5)


def test_a_saved_model_is_light_and_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = cam_generator().eval()
    i2i.save(net, tmp_path / "model")
    weights = next((tmp_path / "model").glob("*.safetensors"))
    assert weights.stat().st_size < 45e6
    loaded = i2i.load(tmp_path / "model")
    with torch.no_grad():
        image = noise(1, 3, 16, 16)
        assert torch.equal(loaded(image).image, net(image).image)


def test_the_keys_are_all_of_the_authors() -> None:
    from benchmarks.reference.ugatit import Generator

    with torch.device("meta"):
        theirs, ours = of_generator(Generator().state_dict()), cam_generator().state_dict()
    assert {key: value.shape for key, value in theirs.items()} == {key: value.shape for key, value in ours.items()}
