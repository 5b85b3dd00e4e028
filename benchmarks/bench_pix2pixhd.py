"""A whole training step of pix2pixHD's global stage, with VGG19, against the authors' in plain torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from benchmarks.reference.pix2pixhd import Pix2pixHD, Vgg
from benchmarks.timing import compare
from i2i.policy import Policy, Precision, Turn, best_precision
from i2i.values import Instanced
from i2i_pix2pixhd.networks import Channels
from i2i_pix2pixhd.settings import Settings
from i2i_pix2pixhd.step import make_step
from i2i_pix2pixhd.vgg import vgg19

HEIGHT, WIDTH = 256, 512
ROUNDS = 3  # a step of theirs takes about eleven seconds of one core
#: the authors' names of our terms, and the weights that they log them with
NAMES = {"g/adv": ("G_GAN", 1.0), "g/matching": ("G_GAN_Feat", 10.0), "g/perceptual": ("G_VGG", 10.0)}


def scene(height: int, width: int, labels: int, block: int = 16) -> Instanced:
    """Return a scene of rectangles, each of a class and with an instance id of its own, and a random image."""
    rows, columns = height // block, width // block
    coarse = torch.randint(0, labels, (1, 1, rows, columns), dtype=torch.int32)
    ids = 1000 * coarse + torch.arange(rows * columns, dtype=torch.int32).view_as(coarse)
    maps = (map.repeat_interleave(block, 2).repeat_interleave(block, 3) for map in (coarse, ids))
    return Instanced(*maps, torch.rand(1, 3, height, width) * 2 - 1)


def both(settings: Settings, precision: Precision) -> tuple[Pix2pixHD, Callable[[Instanced], dict[str, Tensor]]]:
    """Return their step and ours, from the same weights."""
    known, s = vgg19("untrained"), settings
    step = make_step(s, [10**6], Channels(0, 3), known)
    policy = Policy(precision=precision)
    state = step.init(None, policy, None)
    nets = step.nets(None, state).current
    theirs = Pix2pixHD(labels=s.labels, vgg=Vgg(), width=s.base_width, blocks=s.blocks)
    pairs: list[tuple[Any, Any]] = [(theirs.G, nets.G.generator), (theirs.D, nets.D), (theirs.vgg, known.net)]
    for net, other in pairs:
        net.load_state_dict(other.state_dict())

    def ours(batch: Instanced) -> dict[str, Tensor]:
        _, metrics = step.update(step.nets(None, state), state, batch, Turn(policy, 0))
        return dict(metrics)

    return theirs, ours


def check(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    told = {name: weight * found[ours].double() for ours, (name, weight) in NAMES.items()}
    told["D"] = found["d/real_or_fake"].double()
    wanted = {**expected, "D": expected["D_fake"] + expected["D_real"]}
    for name, value in told.items():
        torch.testing.assert_close(value, wanted[name].double(), rtol=tolerance, atol=0)


@pytest.mark.benchmark(group="cpu/pix2pixhd_512x256")
@pytest.mark.parametrize(
    ("precision", "tolerance", "target"),
    [
        pytest.param("fp32", 1e-4, 1.05, id="fp32"),
        pytest.param("bf16", 0.02, 1.6, id="bf16", marks=pytest.mark.skipif(
            best_precision(torch.device("cpu")) != "bf16", reason="this CPU is not fast in bf16"
        )),
    ],
)  # fmt: skip
def test_pix2pixhd_256x512(benchmark: BenchmarkFixture, precision: Precision, tolerance: float, target: float) -> None:
    torch.manual_seed(0)
    small: dict[str, Any] = {} if benchmark.enabled else {"base_width": 16, "blocks": 2}
    settings = Settings(stages="global", **small)
    height, width = (HEIGHT, WIDTH) if benchmark.enabled else (64, 128)
    batch = scene(height, width, settings.labels)
    theirs, ours = both(settings, precision)
    check(ours(batch), theirs(*batch), tolerance)

    benchmark.extra_info.update(size=(height, width), width=settings.base_width)
    compare(benchmark, lambda: theirs(*batch), lambda: ours(batch), rounds=ROUNDS, target=target)
