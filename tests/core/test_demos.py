"""What demos have in common; whole demos run in the tests of the plugins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from i2i import demos
from i2i.errors import RunError
from i2i.net import as_generator


def crops(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(1).random((count, 16, 16, 3)))


def test_colours_become_tensors_and_come_back() -> None:
    colours = crops(2)
    tensor = demos.to_tensor(colours)
    assert tensor.shape == (2, 3, 16, 16)
    assert tensor[1, 2, 3, 4].item() == pytest.approx(2 * colours[1][3, 4, 2] - 1, abs=1e-6)
    for back, before in zip(demos.to_colours(tensor), colours, strict=True):
        np.testing.assert_allclose(back, before, atol=1e-6)


def test_files_hold_levels_that_are_rounded_and_cut(tmp_path: Path) -> None:
    colours = np.array([[[-0.2, 0.5, 1.3], [0.0, 0.499, 1.0]]])
    demos.write_colours(tmp_path / "in" / "b.png", colours)
    demos.write_colours(tmp_path / "in" / "a.png", np.zeros((1, 1, 3)))
    assert np.asarray(Image.open(tmp_path / "in" / "b.png")).tolist() == [[[0, 128, 255], [0, 127, 255]]]
    first, second = demos.read_colours(tmp_path / "in")
    assert first.tolist() == [[[0, 0, 0]]]
    np.testing.assert_allclose(second[0, 0], [0, 128 / 255, 1])


def test_what_is_held_out_is_cut_from_the_same_place_of_both_sides(tmp_path: Path) -> None:
    place = np.linspace(0, 1, 90 * 70).reshape(90, 70)
    whole = {name: np.stack([place, place, np.full_like(place, i / 2)], -1) for i, name in enumerate(("one", "two"))}
    held_out = demos.write_held_out(tmp_path, whole, {name: 1 - image for name, image in whole.items()})
    assert len(held_out.inputs) == len(held_out.truths) == 48
    assert [crop[0, 0, 2] for crop in held_out.inputs[:4]] == [0, 0.5, 0, 0.5]  # in turn
    for source, truth in zip(*held_out, strict=True):
        assert source.shape == (64, 64, 3)
        np.testing.assert_allclose(source + truth, 1)
    assert len({float(crop[0, 0, 0]) for crop in held_out.inputs}) > 24
    assert sorted(path.name for path in (tmp_path / "testA").iterdir())[:2] == ["00-one.png", "01-two.png"]
    assert len(list((tmp_path / "testB").iterdir())) == 48


def test_a_net_is_evaluated_in_eval_mode_and_left_as_it_was() -> None:
    net = as_generator(nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.Dropout(0.9)))
    with torch.no_grad():
        net.get_parameter("module.0.weight").copy_(torch.eye(3)[:, :, None, None] * 2)
    net.train()
    images = demos.to_tensor(crops(2))
    assert demos.translated(net, images).equal((images * 2).clamp(-1, 1))
    assert net.training
    perfect = demos.HeldOut(crops(1), [np.clip(2 * crops(1)[0] - 0.5, 0, 1)])
    assert demos.evaluate(net, perfect).psnr > 100


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    unused: demos.Demo = demos.Demo(*[None] * len(demos.Demo._fields))  # type: ignore[arg-type]
    with pytest.raises(RunError, match="is not empty; choose another --out, or go on with the demo in it: --resume"):
        demos.play(unused, tmp_path, seed=0, steps=1, resume=False)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
