"""What parts of U-GAT-IT do, and what a longer training brings: benchmarks/results/evidence-ugatit.json, and a picture.

The paper's ablation, three seeds of each row, on the data of the demo and measured like it: parts are taken out of the
networks that the recipe makes. Then one training of all of it that is longer, for figures and a picture in docs/images.
What is done already is not done again, so that it can be stopped and gone on with.

References:
    Kim et al., U-GAT-IT, 2020 (arXiv 1907.10830), section 4.3.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import attrs
import torch
from results import RESULTS, write
from torch import Tensor, nn

from i2i.demos import one_thread
from i2i.engine import fit
from i2i.grids import grid
from i2i.settings import RunSettings
from i2i_ugatit.adalin import ILN, AdaILN
from i2i_ugatit.cam import Attended
from i2i_ugatit.demo import SETTINGS, Translators, as_tensors, classifier_of, columns, untrained
from i2i_ugatit.discs import write_data
from i2i_ugatit.discs_measured import figures
from i2i_ugatit.generators import CamGenerator
from i2i_ugatit.recipe import build
from i2i_ugatit.settings import Settings
from i2i_ugatit.step import Nets

NAME = "evidence-ugatit"
PICTURE = Path(__file__).parents[2] / "docs" / "images" / "ugatit-long.png"
SEEDS = (0, 1, 2)
BASE = attrs.evolve(SETTINGS, steps=450)
LONG, LONG_RUN = "all of it, longer", 2500


class Unattended(nn.Module):
    """In the place of attention: features as they are, and logits that know nothing."""

    def forward(self, features: Tensor) -> Attended:
        unsure = features.new_zeros(len(features), 2)
        return Attended(features, unsure, features.sum(1, keepdim=True))


class Unadapted(nn.Module):
    """In the place of an adaptive norm: one with a scale and a shift of its own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ILN(channels)

    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        made: Tensor = self.norm(x)
        return made


def without_attention(nets: Nets) -> None:
    for generator in (nets.G, nets.F):
        generator.cam = Unattended()  # type: ignore[assignment]
    for judge in (nets.DA, nets.DB):
        for scale in judge.scales:
            scale.cam = Unattended()


def with_share(nets: Nets, rho: float) -> None:
    """Hold the share of the instance norm in all mixed norms of the generators."""
    for generator in (nets.G, nets.F):
        for module in generator.modules():
            if isinstance(module, AdaILN | ILN):
                module.rho.requires_grad_(False).fill_(rho)


def without_adaption(nets: Nets, rho: float) -> None:
    """Norms of the decoder with weights of their own, of one kind; nothing reads the style any more."""
    for generator in (nets.G, nets.F):
        _unadapted(generator)
        generator.style.requires_grad_(False)
    with_share(nets, rho)


def _unadapted(generator: CamGenerator) -> None:
    for block in generator.decoder:
        for name in ("norm1", "norm2"):
            setattr(block, name, Unadapted(getattr(block, name).rho.shape[1]))


class Row(NamedTuple):
    """What is done to the networks before the training, and other settings."""

    change: Callable[[Nets], None]
    settings: Mapping[str, Any] = {}


ROWS: Mapping[str, Row] = {
    "all of it": Row(lambda nets: None),
    "no attention": Row(without_attention, {"cam_weight": 0.0}),
    "instance norm": Row(lambda nets: without_adaption(nets, 1.0)),
    "layer norm": Row(lambda nets: without_adaption(nets, 0.0)),
    "adaptive instance norm": Row(lambda nets: with_share(nets, 1.0)),
}


def main() -> int:
    """Train what is missing."""
    runs = done()
    with tempfile.TemporaryDirectory() as temporary, one_thread():
        data = Path(temporary) / "data"
        held = as_tensors(write_data(data))
        classifier = classifier_of(data)
        for name, seed in [*product(ROWS, SEEDS), (LONG, SEEDS[0])]:
            if (name, seed) in runs and (name != LONG or PICTURE.is_file()):
                continue
            changes = {"steps": LONG_RUN} if name == LONG else ROWS[name].settings
            translators, seconds = run(attrs.evolve(BASE, **changes), ROWS.get(name), seed, data)
            found = figures(*translators, classifier, held)._asdict()
            runs[name, seed] = {"row": name, "seed": seed, "seconds": seconds, **found}
            print(runs[name, seed], flush=True)
            write(NAME, {"steps": BASE.steps, "long_steps": LONG_RUN, "runs": list(runs.values())})
            if name == LONG:
                grid(columns(untrained(BASE, seed), translators, held)).save(PICTURE)
    return 0


def done() -> dict[tuple[str, int], dict[str, Any]]:
    """Return what was written for each row and seed, if it was trained for as long as now."""
    path = RESULTS / f"{NAME}.json"
    before = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    runs = before.get("runs", []) if before.get("steps") == BASE.steps else []
    return {
        (one["row"], one["seed"]): one for one in runs if one["row"] != LONG or before.get("long_steps") == LONG_RUN
    }


def run(settings: Settings, row: Row | None, seed: int, data: Path) -> tuple[Translators, float]:
    """Train once; return the generators, and the seconds of one core that it took."""
    torch.manual_seed(seed)
    recipe = build(settings, RunSettings(data=data, seed=seed))
    nets = recipe.nets()
    if row is not None:
        row.change(nets)
    begun = time.process_time()
    nets = fit(recipe.step, nets, recipe.data(), steps=recipe.length).nets
    return Translators(nets.G, nets.F), round(time.process_time() - begun, 1)


if __name__ == "__main__":
    sys.exit(main())
