from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from i2i.errors import CompositionError
from i2i.net import as_discriminator, as_generator, nets, place
from i2i.values import Translation, Verdict


def test_nets_are_named() -> None:
    G, D = nn.Linear(1, 1), nn.Linear(1, 1)
    named = nets(G=G, D=D)
    assert named._fields == ("G", "D")
    assert named.G is G
    assert tuple(named) == (G, D)


def test_nets_that_are_none_are_refused() -> None:
    with pytest.raises(CompositionError, match="^net D is a function, not an nn.Module$"):
        nets(G=nn.Linear(1, 1), D=lambda x: x)  # type: ignore[arg-type]
    with pytest.raises(
        CompositionError, match=r"^nets\(\) needs at least one net, for example nets\(G=\.\.\., D=\.\.\.\)$"
    ):
        nets()


class Sum(nn.Module):
    def forward(self, image: Tensor, condition: Tensor | None = None) -> Tensor:
        return image if condition is None else image + 10 * condition


def test_adapters_wrap_what_a_module_returns_and_hand_on_a_condition() -> None:
    image, condition = torch.ones(1, 1, 2, 2), torch.full((1, 1, 2, 2), 3.0)
    made, judged = as_generator(Sum()), as_discriminator(Sum())
    assert isinstance(made(image), Translation)
    assert isinstance(judged(image), Verdict)
    for wanted, arguments in ((1.0, (image,)), (31.0, (image, condition))):
        assert made(*arguments).image.unique().item() == wanted
        (logits,) = judged(*arguments).logits
        assert logits.unique().item() == wanted


def test_adapters_take_modules_of_one_argument() -> None:
    image = torch.randn(1, 2, 4, 4)
    conv = nn.Conv2d(2, 1, 1)
    torch.testing.assert_close(as_generator(conv)(image).image, conv(image))
    assert [name for name, _ in as_generator(conv).named_parameters()] == ["module.weight", "module.bias"]


def test_place_keeps_the_modules_and_lays_weights_out() -> None:
    named = nets(G=nn.Conv2d(4, 4, 3), D=nn.Linear(2, 2))
    weight = named.G.weight
    for channels_last in (False, True):
        place({"x": (named, 3)}, torch.device("cpu"), channels_last=channels_last)
        assert named.G.weight is weight
        assert weight.is_contiguous(memory_format=torch.channels_last) is channels_last
    place(None, torch.device("cpu"), channels_last=True)
