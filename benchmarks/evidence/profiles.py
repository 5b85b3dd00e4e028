"""Where the time of a step goes on a CPU, ours and the authors' in plain torch: results/evidence-profile.json.

One thread, float32, about five minutes. Each operation counts with the time that it takes itself, for the kind that it
or the nearest operation around it is of. What no operation takes, such as Python and numpy, is the rest of the time on
the processor. Both steps are profiled in turn.
"""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from results import write
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import bench_pix2pixhd, bench_singan, bench_steps, bench_ugatit
from benchmarks.reference.cyclegan import CycleGAN
from benchmarks.timing import Clock, timed
from i2i.policy import Policy
from i2i.values import Pair

Step = Callable[[], object]

ROUNDS = 2
LARGE = 2048  # rows and columns of the matrices whose product is the rate to reach
FORWARD, BACKWARD, ELSE, OUTSIDE = "convolution forward", "convolution backward", "else", "outside of operations"
#: by kind, what the names of its operations contain; the first kind that fits
KINDS: Mapping[str, str] = {
    BACKWARD: r"aten::convolution_backward$",
    FORWARD: r"aten::convolution$",
    "optimiser": r"Optimizer\.step|_fused_adam",
    "norm": r"batch_norm|instance_norm|BatchNorm|var_mean|VarMean|NormLeaky|Slope|Normali|LayerInstance",
    "activation and pad": r"relu|tanh|sigmoid|threshold|elu|_pad|pad2d|pad_nd",
    "resize": r"upsample|aten::b?mm$|avg_pool|max_pool",
    "copies and layout": r"aten::(copy_|cat|clone|contiguous|stack|fill_|zero_)$",
}


def kind_of(event: Any) -> str:
    """Return the kind of the nearest operation around an event that has one, itself included."""
    while event is not None:
        for kind, names in KINDS.items():
            if re.search(names, event.name):
                return kind
        event = event.cpu_parent
    return ELSE


def profiled(step: Step) -> dict[str, float]:
    """Return the seconds of each kind, of all on the processor, and of the system for memory, in one step."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        start, system = Clock.now(), resource.getrusage(resource.RUSAGE_SELF).ru_stime
        step()
        took, system = Clock.now().since(start), resource.getrusage(resource.RUSAGE_SELF).ru_stime - system
    seconds = dict.fromkeys([*KINDS, ELSE], 0.0)
    for event in found.events():
        seconds[kind_of(event)] += event.self_cpu_time_total / 1e6
    seconds[OUTSIDE] = max(0.0, took.wall - sum(seconds.values()))
    # The profiler's clock hangs on the wall: others who compute on this machine stretch all kinds alike.
    of_processor = {kind: on_wall * took.cpu / took.wall for kind, on_wall in seconds.items()}
    return {**of_processor, "total": took.cpu, "system": system}


def convolved(step: Step) -> float:
    """Return the floating-point operations of the convolutions of a step, in GFLOP."""
    with FlopCounterMode(display=False) as counter:
        step()
    counted = counter.get_flop_counts()["Global"]
    return sum(count for operation, count in counted.items() if "convolution" in str(operation)) / 1e9


def rate() -> float:
    """Return what a large product of matrices reaches, in GFLOP/s."""
    a, b = torch.randn(2, LARGE, LARGE).unbind()
    return 2 * LARGE**3 / min(timed(lambda: torch.mm(a, b)).cpu for _ in range(5)) / 1e9


def compared(ours: Step, plain: Step) -> dict[str, Any]:
    """Profile both in turn; figures are means of the rounds."""
    steps = {"ours": ours, "plain": plain}
    gflop = {name: convolved(step) for name, step in steps.items()}  # and warms up
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in steps}
    rates = [rate()]
    for _ in range(ROUNDS):
        for name, step in steps.items():
            rounds[name].append(profiled(step))
        rates.append(rate())
    product = float(np.median(rates))
    found: dict[str, Any] = {"product_gflop_per_s": product}
    for name, each in rounds.items():
        mean = {kind: sum(one[kind] for one in each) / ROUNDS for kind in each[0]}
        total, convolutions = mean.pop("total"), mean[FORWARD] + mean[BACKWARD]
        found[name] = {
            "seconds": total,
            "shares": {kind: seconds / total for kind, seconds in mean.items()},
            "gflop": gflop[name],
            "gflop_per_s": gflop[name] / convolutions,
        }
    theirs, mine = found["plain"]["seconds"], found["ours"]
    found["faster"] = theirs / mine["seconds"]
    found["convolutions_alone"] = theirs * mine["gflop_per_s"] / mine["gflop"]
    found["convolutions_alone_at_product"] = theirs * product / mine["gflop"]
    return found


def singan(scale: int) -> tuple[Step, Step]:
    pyramid, settings = bench_singan.plan(bench_singan.HEIGHT, bench_singan.WIDTH), bench_singan.Settings()
    widths = [settings.width(k) for k in range(scale + 1)]
    made = bench_singan.iterations(settings, pyramid.factor, pyramid.sizes[: scale + 1], widths, Policy())
    return made[0], made[1]


def pair(size: int) -> Pair:
    return Pair(*torch.rand(2, 1, 3, size, size).mul(2).sub(1).unbind())


def cyclegan() -> tuple[Step, Step]:
    batch, plain = pair(bench_steps.SIZE), CycleGAN(bench_steps.WIDTH, bench_steps.BLOCKS)
    return bench_steps.ours_from(plain, "fp32", batch), lambda: plain(*batch)


def ugatit() -> tuple[Step, Step]:
    batch, plain = pair(bench_ugatit.SIZE), bench_ugatit.Step(size=bench_ugatit.SIZE, width=64)
    ours = bench_ugatit.ours_from(plain, bench_ugatit.Settings(crop_size=bench_ugatit.SIZE), "fp32")
    return lambda: ours(batch), lambda: plain.update(*batch)


def pix2pixhd() -> tuple[Step, Step]:
    settings = bench_pix2pixhd.Settings(stages="global")
    batch = bench_pix2pixhd.scene(bench_pix2pixhd.HEIGHT, bench_pix2pixhd.WIDTH, settings.labels)
    plain, ours = bench_pix2pixhd.both(settings, "fp32")
    return lambda: ours(batch), lambda: plain(*batch)


METHODS: Mapping[str, Callable[[], tuple[Step, Step]]] = {
    "SinGAN, scale 4": lambda: singan(4),
    "SinGAN, scale 7": lambda: singan(7),
    "CycleGAN 128": cyclegan,
    "U-GAT-IT 128": ugatit,
    "pix2pixHD 256x512": pix2pixhd,
}


def main() -> int:
    """Profile every method."""
    torch.set_num_threads(1)
    found = {}
    for name, make in METHODS.items():
        torch.manual_seed(0)
        found[name] = compared(*make())
        print(name, {key: value for key, value in found[name].items() if isinstance(value, float)}, flush=True)
    write("evidence-profile", {"rounds": ROUNDS, "methods": found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
