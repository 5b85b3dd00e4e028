from __future__ import annotations

import copy
import re

import pytest
import torch
from i2i_contrastive.features import FeaturedGenerator
from torch import Tensor, nn

import i2i
from i2i import Translation, registry
from i2i.errors import SettingsError


class Small(nn.Module):
    """Halve, keep, double; what runs is noted."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 4, 2, stride=2)
        self.middle = nn.Conv2d(4, 4, 1)
        self.up = nn.ConvTranspose2d(4, 3, 2, stride=2)
        self.spare = nn.Conv2d(3, 3, 1)
        self.ran: list[str] = []

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Translation:
        maps = image
        for name in ("down", "middle", "up"):
            maps = self.get_submodule(name)(maps)
            self.ran.append(name)
        return Translation(maps, {"mean": maps.mean()})


IMAGE = torch.arange(2 * 3 * 4 * 4).view(2, 3, 4, 4) / 96


def test_features_are_what_the_layers_make() -> None:
    net = Small()
    image, down, middle = FeaturedGenerator(net, ("input", "down", "middle")).features(IMAGE)
    assert image is IMAGE
    torch.testing.assert_close(down, net.down(IMAGE))
    torch.testing.assert_close(middle, net.middle(net.down(IMAGE)))
    assert net.ran == ["down"]  # what comes behind the last layer asked for is not computed


def test_they_come_in_the_order_asked_for() -> None:
    middle, down = FeaturedGenerator(Small(), ("middle", "down")).features(IMAGE)
    assert not torch.equal(middle, down)
    assert torch.equal(FeaturedGenerator(Small(), ("input",)).features(IMAGE)[0], IMAGE)


def test_a_translation_carries_them() -> None:
    net = Small()
    featured = FeaturedGenerator(net, ("input", "middle"))
    made, plain = featured(IMAGE), net(IMAGE)
    assert torch.equal(made.image, plain.image)
    assert set(made.extras) == {"mean", "features.input", "features.middle"}
    for maps, expected in zip(featured.features_of(made), featured.features(IMAGE), strict=True):
        assert torch.equal(maps, expected)


def test_gradients_reach_the_layers_and_the_image() -> None:
    net, image = Small(), IMAGE.clone().requires_grad_()
    FeaturedGenerator(net, ("middle",)).features(image)[0].sum().backward()
    assert [name for name, weight in net.named_parameters() if weight.grad is not None] == [
        "down.weight",
        "down.bias",
        "middle.weight",
        "middle.bias",
    ]
    assert image.grad is not None


def test_a_copy_watches_its_own_layers() -> None:
    featured = FeaturedGenerator(Small(), ("down",))
    featured(IMAGE)
    other = copy.deepcopy(featured)
    with torch.no_grad():
        for weight in other.parameters():
            weight.zero_()
    assert other.features(IMAGE)[0].abs().max() == 0
    assert featured.features(IMAGE)[0].abs().max() > 0
    assert not any(module._forward_hooks for module in [*featured.modules(), *other.modules()])


def test_no_hook_is_left_after_an_error() -> None:
    featured = FeaturedGenerator(Small(), ("down",))
    with pytest.raises(RuntimeError):
        featured.features(torch.zeros(1, 7, 4, 4))
    assert not any(module._forward_hooks for module in featured.modules())


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (("midle",), "layers (='midle'): no layer of the generator; did you mean 'middle'?"),
        (("down", "down"), "layers (='down down') must be one name or more, each once"),
        ((), "layers (='') must be one name or more, each once"),
    ],
)
def test_mistakes(layers: tuple[str, ...], message: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)):
        FeaturedGenerator(Small(), layers)


def test_a_layer_that_does_not_run() -> None:
    with pytest.raises(SettingsError, match=r"'spare'\): this layer does not run"):
        FeaturedGenerator(Small(), ("down", "spare")).features(IMAGE)


def test_a_layer_that_makes_no_map() -> None:
    with pytest.raises(SettingsError, match=r"'module'\): this layer makes no map"):
        FeaturedGenerator(i2i.as_generator(nn.Flatten()), ("module",)).features(IMAGE)


def test_layers_that_are_computed_again_have_the_same_gradients() -> None:
    gradients = []
    for recompute in (False, True):
        torch.manual_seed(0)
        net = registry.part("cyclegan/resnet_generator").load()(base_width=2, blocks=1, recompute=recompute)
        (maps,) = FeaturedGenerator(net, ("model.7",)).features(torch.arange(192.0).view(1, 3, 8, 8) / 192)
        maps.square().sum().backward()
        gradients.append([weight.grad for weight in net.parameters() if weight.grad is not None])
    assert len(gradients[0]) == 6
    torch.testing.assert_close(*gradients)
