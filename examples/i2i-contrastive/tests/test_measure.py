from __future__ import annotations

import math
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn

import i2i
from i2i import registry

MEASURE = Path(__file__).parents[1] / "measure.py"


def test_a_net_is_compared_with_the_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = registry.part("cyclegan/resnet_generator").load()(base_width=1, blocks=0)
    for weight in net.parameters():  # all weights 0: it makes tanh(0) of everything, which is grey
        nn.init.zeros_(weight)
    i2i.save(net, tmp_path / "grey")
    for name, levels in (("testA", (0, 255)), ("testB", (102, 204))):
        (tmp_path / name).mkdir()
        for number, level in enumerate(levels):
            Image.fromarray(np.full((16, 16, 3), level, np.uint8)).save(tmp_path / name / f"{number}.png")
    runpy.run_path(str(MEASURE))["main"](tmp_path, tmp_path / "picture.png", tmp_path / "grey")
    decibels = sum(-20 * math.log10(abs(0.5 - level / 255)) for level in (102, 204)) / 2
    assert capsys.readouterr().out.startswith(f"grey: {decibels:.2f} dB, SSIM ")
    assert Image.open(tmp_path / "picture.png").width > 3 * 96
