"""What the demo measures, on maps and nets of which the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from i2i.values import Translation
from i2i_ugatit import demo
from i2i_ugatit.discs import Disc, masks
from i2i_ugatit.discs_measured import Figures, Goal, Held, aucs, enlarged, figures, heat_ratios, peaks_inside, right


def spot(row: int, column: int, height: float = 1.0, base: float = 0.0) -> NDArray[np.float32]:
    heat = np.full((64, 64), base, dtype=np.float32)
    heat[row, column] = height
    return heat


def test_a_disc_covers_what_is_no_farther_than_its_radius() -> None:
    mask = Disc(10, 20, 3).mask()
    assert mask[10, 17:24].all()
    assert mask.sum() == 29  # lattice points in a circle of radius 3
    assert not mask[13, 21]
    assert masks([None, Disc(10, 20, 3)]).sum((1, 2)).tolist() == [0, 29]


def test_peaks() -> None:
    heat = np.stack([spot(10, 20), spot(13, 21), spot(10, 23, 5.0, base=4.9)])
    inside = masks([Disc(10, 20, 3)] * 3)
    assert peaks_inside(heat, inside).tolist() == [True, False, True]


def test_heat_inside_one_disc_over_that_inside_another() -> None:
    red, blue = Disc(10, 20, 3), Disc(50, 20, 5)
    heat = np.ones((1, 64, 64), dtype=np.float32)
    heat[0, red.mask()] = 6.0
    heat[0, blue.mask()] = 1.5
    assert heat_ratios(heat, masks([red]), masks([blue])) == [4.0]
    heat[0, blue.mask()] = 0.0
    assert np.isfinite(heat_ratios(heat, masks([red]), masks([blue]))).all()


def test_auc_is_the_chance_that_a_pixel_inside_is_hotter() -> None:
    inside = np.zeros((3, 2, 3), dtype=bool)
    inside[:, 0, :2] = True
    heat = np.array([[[9, 8, 1], [2, 3, 4]], [[0, 0, 1], [2, 3, 4]], [[3, 1, 1], [2, 5, 0]]], dtype=np.float32)
    # 3 is hotter than 1, 2, 0 but not 5: 3 of 4; 1 is hotter than 0, equal to 1: 1.5 of 4.
    assert aucs(heat, inside) == pytest.approx([1.0, 0.0, 4.5 / 8])


def test_enlarged_as_it_is_shown() -> None:
    heat = torch.zeros(1, 1, 16, 16)
    heat[0, 0, 2, 5] = 1.0
    large = enlarged(heat, torch.zeros(1, 3, 64, 64))
    assert large.shape == (1, 64, 64)
    row, column = np.unravel_index(large[0].argmax(), (64, 64))
    assert 8 <= row <= 11
    assert 20 <= column <= 23


def test_right_logits() -> None:
    image = torch.zeros(1, 3, 4, 4)
    source = Translation(image, {"cam_logits": torch.tensor([[1.0, -1.0]])})
    target = Translation(image, {"cam_logits": torch.tensor([[-1.0, -2.0]])})
    assert right(source, target) == 0.75
    assert right(target, source) == 0.25


class Painter(nn.Module):
    """Makes images of one value; looks at one cell; knows white images from black ones."""

    def __init__(self, value: float, cell: tuple[int, int], sign: float) -> None:
        super().__init__()
        self.value, self.cell = nn.Parameter(torch.tensor(value)), cell
        self.sign = sign

    def forward(self, image: Tensor) -> Translation:
        heat = torch.zeros(len(image), 1, 16, 16)
        heat[:, :, self.cell[0], self.cell[1]] = 1.0
        logits = image.mean((1, 2, 3))[:, None].expand(-1, 2) * self.sign
        return Translation(torch.full_like(image, float(self.value)), {"heatmap": heat, "cam_logits": logits})


class Bright(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image.mean((1, 2, 3))[:, None]


def test_figures_of_nets_that_are_known() -> None:
    """A is black, B is white; the second of the two crops of B has its red disc elsewhere."""
    a, b = -torch.ones(2, 3, 64, 64), torch.ones(2, 3, 64, 64)
    red, blue = masks([Disc(10, 22, 7), Disc(10, 50, 7)]), masks([Disc(50, 22, 7)] * 2)
    found = figures(Painter(0.5, (9, 9), -1.0), Painter(-0.5, (2, 5), -1.0), Bright(), Held(a, b, red, blue))
    assert found.a2b_called_b == 1.0
    assert found.b2a_called_b == 0.0
    assert found.peak_in_red == 0.5
    assert found.a2b_logits == 1.0  # of A above 0, of B below
    assert found.b2a_logits == 0.0
    assert found.red_to_blue > 1e6
    assert 0.4 < found.auc < 0.9


def test_goals() -> None:
    before, after = (Figures(share, share, share, 1.0, 0.5, 0.5, 0.5) for share in (0.2, 0.7))
    found = {"before": before, "after": after}
    assert Goal("a2b_called_b", "after", "at least", 0.7).met(found)
    assert not Goal("a2b_called_b", "after", "at least", 0.71).met(found)
    assert Goal("b2a_called_b", "before", "at most", 0.2).met(found)
    assert not Goal("b2a_called_b", "after", "at most", 0.2).met(found)
    row = next(line for line in demo.table(found) if "taken for B" in line)
    assert " ".join(row.split()) == "A to B, taken for B 0.20 0.70 at least 0.75 (missed)"
