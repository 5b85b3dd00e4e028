"""Does bfloat16 train as well? Each method, small, by the gate of the GPU suite: results/evidence-precision.json.

``python benchmarks/evidence/precision.py [METHOD ...]``, about a quarter of an hour of one core; what was found of
other methods is kept. For CycleGAN there are controls, too: float32 with other seeds and in the other layout, which
must pass, and a fault, which must not.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from results import RESULTS, write

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.device import learnable
from benchmarks.device.gate import judged
from benchmarks.device.learnable import Training
from benchmarks.device.meter import Meter
from benchmarks.device.variants import Variant

NAME = "evidence-precision"
SEEDS, OTHERS, STEPS, SIZE = range(5), range(5, 10), 120, 48
NETS: Mapping[str, Any] = {"base_width": 16, "discriminator_width": 16}
METER = Meter(torch.device("cpu"))
METHODS: Mapping[str, Callable[[], Training]] = {
    "CycleGAN": lambda: learnable.images(METER, SIZE, blocks=3, **NETS),
    "pix2pixHD global": lambda: learnable.scenes(METER, SIZE, blocks=3, downs=3, **NETS),
    "U-GAT-IT light": lambda: learnable.domains(METER, SIZE, blocks=2, discriminator_layers=(5, 4), **NETS),
    "SinGAN, three scales": lambda: learnable.photograph(METER, SIZE, STEPS),
}
BASE = Variant("fp32")
BF16 = "bf16"
#: What is tried, and with which seeds; channels first, as `fit` lays images out on a CPU.
TRIED: Mapping[str, tuple[Variant, range]] = {BF16: (Variant("bf16", last=False), SEEDS)}
CONTROLS: Mapping[str, tuple[Variant, range]] = {
    "fp32, other seeds": (BASE, OTHERS),
    "fp32, half the learning rate": (Variant("fp32", changes={"lr": 1e-4}), SEEDS),
    "fp32, channels-last": (Variant("fp32", last=True), SEEDS),
}


def main() -> int:
    """Run gates; 1 if bfloat16 does not pass one of them, or a control comes out as it must not."""
    torch.set_num_threads(1)
    good = {BF16, "fp32, other seeds", "fp32, channels-last"}
    as_it_must = True
    for name in sys.argv[1:] or METHODS:
        training, begun = METHODS[name](), time.process_time()
        base = training.trained(BASE, SEEDS, STEPS)
        rows: list[dict[str, Any]] = []
        for tried, (variant, seeds) in (TRIED | CONTROLS if name == "CycleGAN" else TRIED).items():
            found = judged(base, training.trained(variant, seeds, STEPS), training.wanted)
            print(f"{name}, {tried}: {'passed' if found['passed'] else found['failed']}", flush=True)
            rows.append({"name": name, "tried": tried, **found})
            as_it_must &= found["passed"] == (tried in good)
        keep(name, {"rows": rows, "processor_seconds": time.process_time() - begun})
    return int(not as_it_must)


def keep(name: str, found: Mapping[str, Any]) -> None:
    """Write what was found of a method, beside the others."""
    path = RESULTS / f"{NAME}.json"
    before = json.loads(path.read_text("utf-8"))["methods"] if path.exists() else {}
    methods = {**before, name: found}
    write(NAME, {"size": SIZE, "methods": {each: methods[each] for each in METHODS if each in methods}})


if __name__ == "__main__":
    sys.exit(main())
