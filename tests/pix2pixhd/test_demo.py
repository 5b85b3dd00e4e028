from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from PIL import Image

from i2i.cli import main
from i2i.errors import RunError
from i2i_pix2pixhd import demo
from i2i_pix2pixhd.scenes_of_photographs import CLASSES, CROP, Kind, held_out_crops, regions, training_crops

SMALL: dict[str, Any] = {
    "base_width": 4, "downs": 1, "blocks": 0, "local_blocks": 0, "discriminator_width": 2, "encoder_width": 2,
    "encoder_downs": 1, "batch_size": 1,
}  # fmt: skip


def test_the_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "SETTINGS", attrs.evolve(demo.SETTINGS, **SMALL))
    out = tmp_path / "demo"
    assert main(["demo", "pix2pixhd", "--out", str(out), "--steps", "1"]) == 0
    said = capsys.readouterr().out
    found = json.loads((out / "result.json").read_text())
    assert list(found["psnr"]) == [
        "mean photograph", "nearest label map", "global", "enhancer", "joint", "joint, usual styles",
    ]  # fmt: skip
    for name, value in found["psnr"].items():
        assert f"{name:24}{value:6.2f} dB" in said
    assert found["psnr"]["mean photograph"] == pytest.approx(11.47, abs=0.1)
    assert found["psnr"]["nearest label map"] == pytest.approx(13.51, abs=0.1)
    assert 0 <= found["nearer_than"]["nearest label map"] <= 1
    assert sorted(path.name for path in (out / "edited").iterdir()) == [
        "instances.png", "labels.png", "result.png", "step-1.png", "step-2.png", "step-3.png", "styles.json",
    ]  # fmt: skip
    assert len(list((out / "made").iterdir())) == 36
    assert len(list((out / "styles" / "sample").iterdir())) == 3
    assert Image.open(out / "demo.png").width > 7 * CROP
    assert Image.open(out / "styles.png").width > 8 * CROP
    before = np.asarray(Image.open(out / "data" / "test_label" / "13-coffee.png"))
    after = np.asarray(Image.open(out / "edited" / "labels.png"))
    assert (before != after).any()
    with pytest.raises(RunError, match="is not empty"):
        demo.demo(out)
    assert main(["demo", "pix2pixhd", "--out", str(out), "--steps", "1", "--resume"]) == 0


@pytest.mark.parametrize("kind", ["lightness", "colour"])
def test_scenes_of_photographs(kind: Kind) -> None:
    training, other = regions(kind)
    held_out = held_out_crops(other)
    assert len(held_out) == 36
    assert {region.image.shape for region in held_out.values()} == {(CROP, CROP, 3)}
    for name, region in training.items():
        assert region.image.shape[1] == pytest.approx(
            0.62 * (region.image.shape[1] + other[name].image.shape[1]), abs=1
        )
        assert set(np.unique(region.labels)) <= set(range(CLASSES[kind]))
        assert np.array_equal(region.instances // 1000, region.labels)
        if kind == "lightness":  # classes part the range of lightness
            means = [
                (region.image @ [0.299, 0.587, 0.114])[region.labels == k].mean() for k in np.unique(region.labels)
            ]
            assert np.diff(np.sort(means)).min() > 0.05
        # An instance is a segment of similar colour: it varies less than the photograph.
        ids = np.unique(region.instances)
        spread = [region.image[region.instances == one].std(0).mean() for one in ids]
        assert np.mean(spread) < 0.5 * region.image.std((0, 1)).mean()
    crops = training_crops(training, 12)
    assert {crop.labels.shape for crop in crops} == {(CROP, CROP)}
    again = training_crops(training, 12)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(crops, again, strict=True))
