from __future__ import annotations

import torch
from torch import nn

from i2i.fitting import Fitting, brought_to


def sized(*size: int) -> nn.Module:
    net = nn.Identity()
    net.size = size  # type: ignore[assignment]
    return net


def test_sizes_are_width_and_height_and_those_of_nets_height_and_width() -> None:
    assert Fitting(sized(6, 8)).only == (8, 6)
    fitted = Fitting(sized(6, 8), fit=True)
    assert fitted.inside((40, 20)) == (8, 6)
    assert fitted.result((40, 20)) == (40, 20)


def test_the_short_side_and_the_aspect() -> None:
    short = Fitting(nn.Identity(), short=10)
    for size, expected in (((40, 20), (20, 10)), ((7, 21), (10, 30)), ((300, 1), (3000, 10)), ((33, 20), (16, 10))):
        assert short.inside(size) == short.result(size) == expected
    assert Fitting(nn.Identity(), short=1).inside((1, 1)) == (1, 1)
    assert Fitting(nn.Identity()).inside((40, 20)) == (40, 20)


def test_what_is_no_pair_of_sides_is_no_size() -> None:
    net = nn.Identity()
    for size in (None, 64, nn.Identity()):
        net.size = size  # type: ignore[assignment]
        assert Fitting(net).only is None
        Fitting(net).check((7, 5), "x.png")


def test_an_image_of_the_right_size_is_handed_on_as_it_is() -> None:
    image = torch.full((3, 5, 6), 2.0)
    assert brought_to(image, (6, 5)) is image
    assert brought_to(image, (9, 4)).equal(torch.ones(3, 4, 9))
