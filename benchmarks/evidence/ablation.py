"""The loss without some of its terms, as in the paper's tables 4 and 5: benchmarks/results/evidence-ablation.json.

Three seeds of each row, on the data of the demo, whose truth is known. What is done already is not done again, so that
it can be stopped and gone on with.

References:
    Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, section 5.1.3.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
from results import RESULTS, write
from torch import Tensor, nn

from i2i.models import load
from i2i.settings import RunSettings
from i2i.training import train
from i2i.values import Translation
from i2i_cyclegan.demo import SETTINGS, HeldOut, baselines, evaluate, write_data
from i2i_cyclegan.settings import Settings

NAME = "evidence-ablation"
SEEDS = (0, 1, 2)
STEPS = 600
ROWS: Mapping[str, Mapping[str, Any]] = {
    "cycle alone": {"adversarial_weight": 0.0, "identity_weight": 0.0},
    "GAN alone": {"cycle_weight_a": 0.0, "cycle_weight_b": 0.0, "identity_weight": 0.0},
    "GAN + forward cycle": {"cycle_weight_b": 0.0, "identity_weight": 0.0},
    "GAN + backward cycle": {"cycle_weight_a": 0.0, "identity_weight": 0.0},
    "full": {"identity_weight": 0.0},
    "full + identity": {},
}


class Back(nn.Module):
    """There and back again."""

    def __init__(self, there: nn.Module, back: nn.Module) -> None:
        super().__init__()
        self.there, self.back = there, back

    def forward(self, image: Tensor) -> Translation:
        """Translate ``image (b, c, h, w)`` twice."""
        result: Translation = self.back(self.there(image).image)
        return result


def main() -> int:
    """Train what is missing."""
    fill(NAME, ROWS)
    return 0


def fill(name: str, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Train what is missing in ``benchmarks/results/NAME.json``, seed by seed.

    Args:
        name: of the file.
        rows: changes of the demo's settings, by the name of the row.
    """
    torch.set_num_threads(1)
    path = RESULTS / f"{name}.json"
    before = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    runs: list[dict[str, Any]] = before.get("runs", []) if before.get("steps") == STEPS else []
    done = {(one["row"], one["seed"]) for one in runs}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        held_out = write_data(folder / "data")
        simple = both_baselines(folder, held_out)
        for seed in SEEDS:
            for row in (row for row in rows if (row, seed) not in done):
                settings = attrs.evolve(SETTINGS, steps=STEPS, **rows[row])
                print(f"{row}, seed {seed}", flush=True)
                runs.append({"row": row, "seed": seed, **run(settings, seed, folder, held_out)})
                write(name, {"steps": STEPS, "baselines": simple, "runs": runs})


def run(settings: Settings, seed: int, folder: Path, held_out: HeldOut) -> dict[str, Any]:
    """Train once; return how close it comes to the truth in both directions, and back to its input."""
    out = Path(tempfile.mkdtemp(dir=folder))
    begun = time.perf_counter()
    train(
        "cyclegan",
        settings,
        RunSettings(
            data=folder / "data", out=out, seed=seed, average=1 - 6 / STEPS, log_every=100, sample_every=0,
            checkpoint_every=STEPS,
        ),
    )  # fmt: skip
    seconds = time.perf_counter() - begun
    a2b, b2a = (load(out / "model" / key) for key in ("a2b", "b2a"))
    found = {
        "a2b": evaluate(a2b, held_out),
        "b2a": evaluate(b2a, turned(held_out)),
        "cycle_a": evaluate(Back(a2b, b2a), HeldOut(held_out.inputs, held_out.inputs)),
    }
    told = ", ".join(f"{name} {value}" for name, value in found.items())
    print(f"{told} in {seconds:.0f} s", flush=True)
    return {"seconds": round(seconds, 1), **{name: value._asdict() for name, value in found.items()}}


def turned(held_out: HeldOut) -> HeldOut:
    """Return the same crops for the other direction."""
    return HeldOut(inputs=held_out.truths, truths=held_out.inputs)


def both_baselines(folder: Path, held_out: HeldOut) -> dict[str, Any]:
    """Return what needs no network, in both directions."""
    other = folder / "turned"
    other.mkdir()
    for here, there in (("trainA", "trainB"), ("trainB", "trainA")):
        (other / here).symlink_to(folder / "data" / there, target_is_directory=True)
    found = {"a2b": baselines(folder / "data", held_out), "b2a": baselines(other, turned(held_out))}
    return {way: {name: value._asdict() for name, value in rows.items()} for way, rows in found.items()}


if __name__ == "__main__":
    sys.exit(main())
