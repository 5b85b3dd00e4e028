"""What parts of pix2pixHD do, in small: benchmarks/results/evidence-pix2pixhd.json, and a picture in docs/images.

Three seeds of each row, on the scenes of the demo, with half of its batches and without styles, so that only the maps
are known of a held-out scene. What is done already is not done again, so that it can be stopped and gone on with: what
the picture needs of the rows of the first seed is kept in runs/.

References:
    Wang et al., High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs, section 4.1.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
import tempfile
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
import torch.nn.functional as F
from results import RESULTS, write
from torch import Tensor

from i2i.data import coloured
from i2i.demos import one_thread
from i2i.grids import grid
from i2i_pix2pixhd.demo import (
    MEAN,
    NEAREST,
    SETTINGS,
    Scenes,
    as_scenes,
    baselines,
    psnr,
    result_of,
    stage_model,
    to_tensor,
    train_demo,
    write_data,
)
from i2i_pix2pixhd.scenes_of_photographs import CLASSES, Kind
from i2i_pix2pixhd.settings import Settings

NAME = "evidence-pix2pixhd"
_ROOT = Path(__file__).parents[2]
PICTURE = _ROOT / "docs" / "images" / "pix2pixhd-ablation.png"
KEPT = _ROOT / "runs" / NAME
SEEDS = (0, 1, 2)
KIND: Kind = "colour"
BASE = attrs.evolve(SETTINGS, steps=(450, 125, 250), styles=False, labels=CLASSES[KIND])
ROWS: Mapping[str, Mapping[str, Any]] = {
    "resize (as in the demo)": {},
    "transposed (the authors')": {"upsampling": "transposed"},
    "no feature matching": {"matching_weight": 0.0},
    "one scale": {"discriminator_scales": 1},
    "no boundaries": {"boundaries": False},
}
_SHOWN = (1, 2, 3, 4, 5, 13)


def main() -> int:
    """Train what is missing."""
    runs = done()
    with tempfile.TemporaryDirectory() as temporary, one_thread():
        folder = Path(temporary)
        training, held_out = write_data(folder / "data", KIND)
        scenes = as_scenes(list(held_out.values()))
        simple = {name: to_tensor(images) for name, images in baselines(training, held_out).items()}
        figures = {name: np.array(psnr(made, scenes.image)) for name, made in simple.items()}
        told = {
            "steps": list(BASE.steps),
            "baselines": {name: float(values.mean()) for name, values in figures.items()},
            "checkerboard_of_truth": checkerboard(scenes.image),
        }
        for row, seed in missing(runs):
            found, made = run(attrs.evolve(BASE, **ROWS[row]), seed, folder / f"{seed} {row}", folder, scenes)
            values = np.array(psnr(made, scenes.image))
            found["nearer_than"] = {name: float((values > figures[name]).mean()) for name in (MEAN, NEAREST)}
            if seed == SEEDS[0]:
                kept(row).parent.mkdir(parents=True, exist_ok=True)
                np.save(kept(row), made[list(_SHOWN)].numpy())
            runs[row, seed] = {"row": row, "seed": seed, **found}
            print(runs[row, seed], flush=True)
            write(NAME, {**told, "runs": list(runs.values())})
        if all(kept(row).is_file() for row in ROWS):
            draw(scenes)
    return 0


def done() -> dict[tuple[str, int], dict[str, Any]]:
    """Return what was written for each row and seed, if it was trained for as long as now."""
    path = RESULTS / f"{NAME}.json"
    before = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    runs = before.get("runs", []) if before.get("steps") == list(BASE.steps) else []
    return {(one["row"], one["seed"]): one for one in runs}


def missing(runs: Collection[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return the rows and seeds without figures, and those of the first seed without what is to be drawn of them."""
    drawn = PICTURE.is_file() and all((row, SEEDS[0]) in runs for row in ROWS)
    unkept = set() if drawn else {(row, SEEDS[0]) for row in ROWS if not kept(row).is_file()}
    return [(row, seed) for seed in SEEDS for row in ROWS if (row, seed) not in runs or (row, seed) in unkept]


def kept(row: str) -> Path:
    """Return where the shown images of a row lie."""
    return KEPT / "-".join(map(str, BASE.steps)) / (re.sub(r"\W+", "-", row).strip("-") + ".npy")


def draw(scenes: Scenes) -> None:
    """Draw the shown scenes, and what each row makes of them."""
    shown = list(_SHOWN)
    rows = {row: torch.from_numpy(np.load(kept(row))) for row in ROWS}
    grid({"labels": coloured(scenes.labels[shown]), **rows, "truth": scenes.image[shown]}).save(PICTURE)


def run(settings: Settings, seed: int, out: Path, data: Path, scenes: Scenes) -> tuple[dict[str, Any], Tensor]:
    """Train once; return figures of each stage, and what the last one makes of the held-out scenes."""
    out.mkdir()
    (out / "data").symlink_to(data / "data", target_is_directory=True)
    begun = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        trained = train_demo(settings, out, seed)
    seconds = time.process_time() - begun
    stages = {
        name: result_of(stage_model(settings, trained, number), scenes, half=name == "global")
        for number, name in enumerate(settings.names)
    }
    made = stages["joint"]
    return {
        "seconds": round(seconds, 1),
        "psnr": {name: float(np.mean(psnr(images, scenes.image))) for name, images in stages.items()},
        "checkerboard": checkerboard(made),
    }, made


def checkerboard(images: Tensor) -> float:
    """Return the part of images that alternates from pixel to pixel both ways: root mean square, in levels of 255."""
    kernel = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).expand(3, 1, 2, 2) / 4
    return float(F.conv2d(images, kernel, groups=3).square().mean().sqrt() * 127.5)


if __name__ == "__main__":
    sys.exit(main())
