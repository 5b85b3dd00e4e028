"""What settings of SinGAN do to one photograph: benchmarks/results/evidence-singan.json, and pictures in docs/images.

``python benchmarks/evidence/singan.py [GROUP ...]`` trains a small model for each setting. A picture for each group
shows, row by row, the image of the fixed noise and samples. Each row is one training, from seed 0 where it does not
name another: the rows of the group ``seeds`` show how much of a difference is chance.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from results import RESULTS, write

from i2i import photographs
from i2i.demos import one_thread, write_colours
from i2i.grids import grid
from i2i.settings import RunSettings
from i2i.training import train
from i2i_singan.demo import PHOTOGRAPH, SETTINGS, SHORT_SIDE, measured
from i2i_singan.files import load_model
from i2i_singan.model import PyramidGenerator
from i2i_singan.sampling import generate, reconstruct
from i2i_singan.settings import Settings

IMAGES = Path(__file__).parents[2] / "docs" / "images"
SAMPLES = 4
Variant = tuple[str, Mapping[str, Any]]
#: by group: what is shown, row by row; the defaults of the demo are a row of each
GROUPS: Mapping[str, Sequence[Variant]] = {
    "seeds": [("seed 0", {}), ("seed 1", {"seed": 1}), ("seed 2", {"seed": 2}), ("coffee", {"photograph": "coffee"})],
    "min-size": [(f"min_size {size}", {"min_size": size}) for size in (12, 19, 28)],
    "steps": [(f"steps {steps}", {"steps": steps}) for steps in (50, 250, 1000)],
    "scale-factor": [(f"scale_factor {factor}", {"scale_factor": factor}) for factor in (0.4, 0.66, 0.8)],
    "layers": [(f"layers {layers}", {"layers": layers}) for layers in (3, 5, 7)],
    "width": [(f"base_width {width}", {"base_width": width}) for width in (8, 32)],
    "reconstruction": [(f"reconstruction_weight {w}", {"reconstruction_weight": w}) for w in (0.0, 10.0, 100.0)],
    "noise": [(f"noise_weight {weight}", {"noise_weight": weight}) for weight in (0.02, 0.1, 0.5)],
    "padding": [("noise_padding false", {}), ("noise_padding true", {"noise_padding": True})],
    "paper": [
        ("defaults", {}),
        ("fixed_noise false", {"fixed_noise": False}),
        ("generator_gradient stale", {"generator_gradient": "stale"}),
        ("generator_gradient single", {"generator_gradient": "single"}),
        ("penalty_per image", {"penalty_per": "image"}),
        ("reference", {"reference": True}),
    ],
    "precision": [("bf16", {"precision": "bf16"}), ("fp32", {"precision": "fp32"})],
}


def main() -> int:
    """Train what is asked for; groups that are not keep what was measured before."""
    path = RESULTS / "evidence-singan.json"
    found = json.loads(path.read_text("utf-8"))["groups"] if path.is_file() else {}
    for name in sys.argv[1:] or GROUPS:
        with tempfile.TemporaryDirectory() as folder, one_thread():
            found[name] = group(name, Path(folder))
        write(
            "evidence-singan", {"steps": SETTINGS.steps, "groups": {key: found[key] for key in GROUPS if key in found}}
        )
    return 0


def group(name: str, folder: Path) -> list[dict[str, Any]]:
    """Train the variants of a group, draw them, and return their figures."""
    rows, shown = [], []
    for label, changes in GROUPS[name]:
        settings, run, photograph = asked(changes)
        model, seconds = trained(folder, settings, run, photograph)
        rows.append({"name": label, "scales": len(model), "seconds": round(seconds, 1), **measured(model)})
        print(rows[-1], flush=True)
        shown.append(pictures(model))
    columns = ["fixed noise", *[f"sample {index + 1}" for index in range(SAMPLES)]]
    sheet = grid({title: torch.cat([row[k : k + 1] for row in shown]) for k, title in enumerate(columns)})
    sheet.save(IMAGES / f"singan-{name}.png")
    return rows


def asked(changes: Mapping[str, Any]) -> tuple[Settings, RunSettings, str]:
    """Return settings of the method and of the run, and the photograph, of a variant."""
    own = {"seed": 0, "precision": "auto", "photograph": PHOTOGRAPH, **changes}
    run = RunSettings(seed=own.pop("seed"), precision=own.pop("precision"), sample_every=0)
    photograph = own.pop("photograph")
    return attrs.evolve(SETTINGS, **own), run, photograph


@functools.cache
def trained(folder: Path, settings: Settings, run: RunSettings, photograph: str) -> tuple[PyramidGenerator, float]:
    """Return a model of the photograph, and the seconds of one core that it took; what is equal is trained once."""
    out = folder / str(len(list(folder.iterdir())))
    write_colours(out / "photograph.png", photographs.load(SHORT_SIDE)[photograph])
    begun = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        train("singan", settings, attrs.evolve(run, data=out / "photograph.png", out=out / "run"))
    return load_model(out / "run", "cpu"), time.process_time() - begun


def pictures(model: PyramidGenerator) -> torch.Tensor:
    """Return the image of the fixed noise, and samples."""
    return torch.cat((reconstruct(model)[-1], generate(model, SAMPLES)))


if __name__ == "__main__":
    sys.exit(main())
