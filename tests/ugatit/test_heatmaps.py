from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i.errors import CompositionError, DataError, ModelError
from i2i.values import Translation, Verdict
from i2i_ugatit.attention import look
from i2i_ugatit.heatmaps import colours, overlay, peak, unit_range


def maps(*rows: list[float]) -> Tensor:
    return torch.tensor([[rows]])


def test_each_map_has_a_range_of_its_own() -> None:
    two = torch.cat((maps([-1.0, 0.0], [3.0, 1.0]), maps([10.0, 30.0], [20.0, 10.0])))
    assert unit_range(two).flatten(1).tolist() == [[0, 0.25, 1, 0.5], [0, 1, 0.5, 0]]


@pytest.mark.parametrize("value", [0.0, 7.0, -3e8])
def test_a_map_that_is_the_same_everywhere_but_for_rounding(value: float) -> None:
    flat = torch.full((2, 1, 3, 4), value)
    flat[1, 0, 1, 2] += 2e-7 * value
    assert unit_range(flat).eq(0).all()
    assert peak(flat) == [None, None]


def test_a_small_difference_is_one_where_the_values_are_small() -> None:
    assert unit_range(maps([1e-9, 3e-9, 2e-9])).flatten().tolist() == pytest.approx([0, 1, 0.5])


def test_no_gradients_and_no_half_precision_in_pictures() -> None:
    heat = maps([0.0, 1.0]).bfloat16().requires_grad_()
    found = overlay(torch.zeros(1, 3, 2, 4, dtype=torch.bfloat16), heat)
    assert (found.requires_grad, found.dtype) == (False, torch.float32)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, (-1, -1, 0)),  # dark blue
        (0.125, (-1, -1, 1)),  # blue
        (0.25, (-1, 0, 1)),
        (0.375, (-1, 1, 1)),  # cyan
        (0.5, (0, 1, 0)),
        (0.625, (1, 1, -1)),  # yellow
        (0.75, (1, 0, -1)),
        (0.875, (1, -1, -1)),  # red
        (1.0, (0, -1, -1)),  # dark red
    ],
)
def test_colours(value: float, expected: tuple[float, ...]) -> None:
    assert colours(torch.full((2, 1, 1, 1), value))[1].flatten().tolist() == list(expected)


def test_an_overlay_is_so_much_image_and_so_much_map() -> None:
    image = torch.tensor([0.2, -0.4, 0.6])[None, :, None, None].expand(1, 3, 2, 4)
    heat = maps([0.0, 1.0])
    assert overlay(image, heat, strength=0).equal(image)
    whole = overlay(image, heat, strength=1)
    # Each cell of the map covers two columns; between their middles the values rise in a straight line.
    assert whole[0, :, 1].T.tolist() == [[-1, -1, 0], [-1, 0, 1], [1, 0, -1], [0, -1, -1]]
    quarter = overlay(image, heat, strength=0.25)
    assert quarter[0, :, 0, 0].tolist() == pytest.approx([0.75 * 0.2 - 0.25, -0.75 * 0.4 - 0.25, 0.75 * 0.6])


def test_an_overlay_of_grey_of_many_channels_and_of_what_is_out_of_range() -> None:
    grey = overlay(torch.full((1, 1, 2, 2), 3.0), maps([5.0]), strength=0.5)
    assert grey[0, :, 0, 0].tolist() == [0, 0, 0.5]  # white, and the dark blue of a map without differences
    many = torch.tensor([0.1, 0.2, 0.3, 0.9, 0.9])[None, :, None, None]
    assert overlay(many, maps([5.0]), strength=0).flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("heat", "expected"),
    [
        (maps([0.0, 0.0, 0.0], [0.0, 0.0, 9.0]), (2, 1)),
        (maps([9.0, 0.0, 0.0], [0.0, 0.0, 0.0]), (0, 0)),
        (maps([-3.0, -2.0], [-1.0, -2.0]), (0, 1)),
        (maps([5.0, 5.0, 5.0, 5.0, 0.0], [5.0, 5.0, 5.0, 5.0, 0.0], [5.0, 5.0, 5.0, 5.0, 0.0]), (1, 1)),
        (maps([0.0, 5.0, 0.0, 5.0, 5.0, 5.0]), (1, 0)),  # of two places the first
        (maps([4.0]), None),
    ],
)
def test_peak(heat: Tensor, expected: tuple[int, int] | None) -> None:
    assert peak(heat) == [expected]


def test_the_peak_of_an_enlarged_map_is_the_middle_of_its_cell() -> None:
    cells = torch.zeros(4, 1, 3, 5)
    for image, (y, x) in enumerate(((0, 0), (1, 3), (2, 4), (0, 2))):
        cells[image, 0, y, x] = 1 + image / 7
    large = F.interpolate(cells, size=(24, 40), mode="bilinear")  # 8 pixels a cell: the middle is at 3.5
    # At borders a cell is at its full height from its middle to the border, at 4 pixels: 0 ... 3 and 36 ... 39.
    assert peak(large) == [(1, 1), (27, 11), (37, 21), (19, 1)]


class Heated(nn.Module):
    """Its map is the mean of each block of 8x8; of what it is given, a generator or discriminator."""

    multiple, smallest = 8, 16

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, image: Tensor) -> object:
        self.seen = image
        heat = F.avg_pool2d(image.mean(1, keepdim=True), 8)
        if self.kind == "judge":
            return Verdict((heat,), (), {"heatmap": (heat, -heat), "cam_logits": (heat[..., 0, 0], heat[..., 1, 1])})
        made = {"other": Verdict((heat,)), "plain": Translation(image), "tensor": image}
        return made.get(self.kind, Translation(image, {"heatmap": heat * (float("nan") if self.kind == "nan" else 1)}))


def test_looking_pads_on_all_sides_and_crops_the_map_to_the_image() -> None:
    image = torch.full((1, 3, 21, 13), -1.0)
    image[..., 6:14, 6:] = 1  # with 1 row above and 1 column to the left, the second cell from the left and top
    net = Heated("generator")
    seen = look(net, image)
    assert net.seen.shape == (1, 3, 24, 16)
    assert net.seen[..., 1:22, 1:14].equal(image)
    assert (len(seen.heatmaps), seen.heatmaps[0].shape, seen.logits) == (1, (1, 1, 21, 13), (None,))
    enlarged = F.interpolate(F.avg_pool2d(net.seen.mean(1, keepdim=True), 8), size=(24, 16), mode="bilinear")
    assert seen.heatmaps[0].equal(enlarged[..., 1:22, 1:14])


def test_looking_with_several_judges() -> None:
    seen = look(Heated("judge"), torch.rand(2, 3, 16, 24))
    assert seen.heatmaps[0].equal(-seen.heatmaps[1])
    assert [logits.shape for logits in seen.logits if logits is not None] == [(2, 1), (2, 1)]


@pytest.mark.parametrize(
    ("kind", "error", "told"),
    [
        ("plain", CompositionError, r"this Translation has no heatmap \(it has image\)"),
        ("other", CompositionError, r"this Verdict has no heatmap \(it has logits\)"),
        ("tensor", CompositionError, "this net makes a Tensor, which has no heatmap"),
        ("nan", ModelError, "holds infinite numbers or none at all"),
    ],
)
def test_nets_that_cannot_be_looked_through(kind: str, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        look(Heated(kind), torch.rand(1, 3, 16, 16))


def test_a_map_of_several_channels_is_none() -> None:
    class Wide(nn.Module):
        def forward(self, image: Tensor) -> Translation:
            return Translation(image, {"heatmap": image})

    with pytest.raises(CompositionError, match=r"a heat map of shape \(1, 3, 4, 4\); expected \(1, 1, height, width\)"):
        look(Wide(), torch.rand(1, 3, 4, 4))


def test_a_net_that_does_not_accept_the_image_says_so_itself() -> None:
    from i2i_ugatit import cam_discriminator

    with pytest.raises(DataError, match=r"this network reads \(batch, 3, height, width\)"):
        look(cam_discriminator(base_width=2, layers=(3,)), torch.rand(1, 1, 16, 16))
