"""A short training of all three stages on real photographs; the demo trains longer (docs/evidence.md)."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
from skimage.metrics import peak_signal_noise_ratio

from i2i.demos import one_thread, to_colours, to_tensor
from i2i_pix2pixhd.demo import MEAN, SETTINGS, as_scenes, baselines, result_of, stage_model, train_demo, write_data
from i2i_pix2pixhd.scenes_of_photographs import CLASSES

#: classes of colours, crops of half the demo's size, fewer blocks: 2.2 dB above the mean photograph were seen
SHORT = {
    "labels": CLASSES["colour"],
    "steps": (300, 40, 120),
    "crop_size": 64,
    "load_size": 64,
    "blocks": 2,
    "local_blocks": 1,
    "lr": 2e-3,
}


def test_photographs_of_held_out_maps(tmp_path: Path) -> None:
    settings = attrs.evolve(SETTINGS, **SHORT, styles=False)
    training, held_out = write_data(tmp_path / "data", "colour")
    with one_thread():
        run = train_demo(settings, tmp_path, seed=0)
    scenes = as_scenes(list(held_out.values()))
    truths = [region.image for region in held_out.values()]

    def decibels(images: list[np.ndarray]) -> float:  # type: ignore[type-arg]
        found = [
            peak_signal_noise_ratio(truth, image, data_range=1.0) for truth, image in zip(truths, images, strict=True)
        ]
        return float(np.mean(found))

    enhancer, joint = (decibels(to_colours(result_of(stage_model(settings, run, k), scenes))) for k in (1, 2))
    mean = decibels(to_colours(to_tensor(baselines(training, held_out)[MEAN])))
    print(f"mean photograph {mean:.2f} dB, enhancer {enhancer:.2f} dB, joint {joint:.2f} dB")
    assert joint >= mean + 1.5
    assert joint > enhancer
