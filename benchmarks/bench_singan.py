"""A whole iteration of SinGAN (three moves of D, three of G) against the authors' in plain torch, at two scales.

The targets, 1.6 in float32 and 2.5 in bfloat16, are missed; what is reached must not get lost. Both compute about the
same: 86.5 and 86.0 GFLOP at scale 4, most of it in convolutions that run as fast as the processor multiplies. So on one
core little is to be gained in float32, where launches count for nothing; where they count, on GPUs, there are a quarter
as many (``tests/singan/test_cost.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from benchmarks.reference import singan as authors
from benchmarks.timing import compare
from i2i.engine import graphs_for
from i2i.graphs import Graphs
from i2i.net import place
from i2i.policy import Policy, Precision, Turn, best_precision
from i2i.values import Single
from i2i_singan.coarser import Coarser
from i2i_singan.model import Scale
from i2i_singan.networks import scale_discriminator, scale_generator
from i2i_singan.pyramid import Pyramid, plan
from i2i_singan.settings import Settings
from i2i_singan.step import Nets, new_scale

HEIGHT, WIDTH = 186, 250  # nine scales
ROUNDS = 5
fast_bf16 = pytest.mark.skipif(best_precision(torch.device("cpu")) != "bf16", reason="this CPU is not fast in bf16")


class Iterations(NamedTuple):
    """Ours and theirs; what ours trains, and its graphs where it has some."""

    ours: Callable[[], Mapping[str, Tensor]]
    theirs: authors.Scale
    nets: Nets
    graphs: Graphs | None


def iterations(
    settings: Settings,
    factor: float,
    sizes: Sequence[tuple[int, int]],
    widths: Sequence[int],
    policy: Policy | None = None,
) -> Iterations:
    """Return an iteration of ours and one of theirs at the last of the scales, from the same weights.

    They are made, and run, on torch's default device.
    """
    policy = policy or Policy()
    torch.manual_seed(0)
    images = [torch.rand(1, 3, *size) * 2 - 1 for size in sizes]
    nets = [scale_generator(width=width) for width in widths]
    below = [Scale(net.eval(), image) for net, image in zip(nets, images[:-1], strict=False)]
    below[0].noise = torch.randn_like(images[0])
    finished = []
    for scale, image in zip(below, images, strict=False):
        noise = F.pad(torch.randn_like(image), (5,) * 4)
        finished.append(authors.Finished(authors.weights_of(scale.net), noise, scale.amplitude, image))
    net, critic, image = nets[-1], scale_discriminator(width=widths[-1]), images[-1]
    G, D = authors.weights_of(net), authors.weights_of(critic)
    theirs = authors.Scale(G, D, image, finished, authors.Options(factor))
    stage = new_scale(settings, net, critic, Coarser(below, Pyramid(tuple(sizes), factor), settings, image))
    last = policy.channels_last(image.device)
    place(stage.nets, image.device, channels_last=last)
    batch = Single(image.contiguous(memory_format=torch.channels_last) if last else image)
    state = stage.step.init(stage.nets, policy, None)
    graphs = graphs_for(stage.step, policy, image.device)

    def ours() -> Mapping[str, Tensor]:
        if graphs is not None:
            return graphs.update(stage.nets, state, batch, 0)[1]
        return stage.step.update(stage.nets, state, batch, Turn(policy, 0))[1]

    return Iterations(ours, theirs, stage.nets, graphs)


@pytest.mark.benchmark(group="cpu/singan")
@pytest.mark.parametrize("scale", [4, 7])
@pytest.mark.parametrize(
    ("precision", "target", "least"),
    [pytest.param("fp32", 1.6, 1.0, id="fp32"), pytest.param("bf16", 2.5, 1.9, id="bf16", marks=fast_bf16)],
)
def test_singan(benchmark: BenchmarkFixture, scale: int, precision: Precision, target: float, least: float) -> None:
    pyramid, settings = plan(HEIGHT, WIDTH), Settings()
    sizes = pyramid.sizes[: scale + 1]
    widths = [settings.width(k) if benchmark.enabled else 2 for k in range(scale + 1)]
    ours, theirs, *_ = iterations(settings, pyramid.factor, sizes, widths, Policy(precision=precision))
    benchmark.extra_info.update(size=sizes[-1], width=widths[-1])
    compare(benchmark, theirs, ours, rounds=ROUNDS, target=target, least=least)
