"""What an iteration costs at the finest of nine scales: operations dispatched, numbers read, floating-point operations.

How many operations there are depends on neither sizes nor widths, so both are tiny here.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from math import ceil
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.bench_singan import iterations
from i2i.policy import Policy, Turn
from i2i.values import Single
from i2i_singan.coarser import Coarser
from i2i_singan.model import Scale
from i2i_singan.networks import scale_discriminator, scale_generator
from i2i_singan.pyramid import plan
from i2i_singan.settings import Settings
from i2i_singan.step import new_scale

FACTOR = plan(186, 250).factor
SIZES = tuple((ceil(40 * FACTOR**k), ceil(48 * FACTOR**k)) for k in reversed(range(len(plan(186, 250).sizes))))
#: what the transcription of the authors' iteration dispatches, views apart
DISPATCHED = 3839


class Dispatched(TorchDispatchMode):
    """Counts operations of ATen that are no views."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function.namespace == "aten" and not function.is_view:
            self.counts[function.overloadpacket.__name__] += 1
        return function(*args, **(kwargs or {}))


def dispatched(iteration: Callable[[], object]) -> Counter[str]:
    """Count the operations of the second iteration."""
    iteration()
    with Dispatched() as mode:
        iteration()
    return mode.counts


@pytest.mark.parametrize("settings", [Settings(), Settings(generator_gradient="single")])
def test_a_quarter_of_the_authors_operations(settings: Settings) -> None:
    ours, theirs = map(dispatched, iterations(settings, FACTOR, SIZES, [2] * 9)[:2])
    assert theirs.total() == DISPATCHED
    assert ours.total() <= theirs.total() / 4


@pytest.mark.parametrize("settings", [Settings(), Settings(reference=True), Settings(generator_gradient="single")])
def test_nothing_is_read_from_the_device(settings: Settings) -> None:
    """The transcription reads numbers in each move; a copy would be a way to the host."""
    policy = Policy(graphed=True)  # else, on the CPU, where nobody waits for a reading, the guard reads each loss
    ours, theirs = map(dispatched, iterations(settings, FACTOR, SIZES, [2] * 9, policy)[:2])
    assert theirs["_local_scalar_dense"] > 100
    assert not {"_local_scalar_dense", "equal", "nonzero", "is_nonzero"} & set(ours)
    assert ours["_to_copy"] == (2 * len(SIZES[1:]) if settings.reference else 0)  # to float64 and back


def flops(width: int, height: int, length: int, outputs: int, border: int) -> list[int]:
    """Return the operations of each of five valid 3x3 convolutions on an image in a border."""
    channels = [3, width, width, width, width, outputs]
    return [
        2 * 9 * channels[i] * channels[i + 1] * (height + 2 * border - 2 * i - 2) * (length + 2 * border - 2 * i - 2)
        for i in range(5)
    ]


def test_flops_of_an_iteration_at_186_by_250_pixels() -> None:
    """Three fakes and six images in one pass each; no gradient of what is frozen or given."""
    settings, pyramid = Settings(), plan(186, 250)
    widths = [settings.width(k) for k in range(9)]
    with FakeTensorMode():
        images = [torch.empty(1, 3, *size) for size in pyramid.sizes]
        nets = [scale_generator(width=width) for width in widths]
        critic = scale_discriminator(width=widths[-1])
        below = [Scale(net.eval(), image) for net, image in zip(nets, images[:-1], strict=False)]
        below[0].noise = torch.empty_like(images[0])
        stage = new_scale(settings, nets[-1], critic, Coarser(below, pyramid, settings, images[-1]))
        policy = Policy(guarded=False)
        state = stage.step.init(stage.nets, policy, None)
        with FlopCounterMode(display=False) as counter:
            stage.step.update(stage.nets, state, Single(images[-1]), Turn(policy, 0))

    made = [flops(width, *size, 3, 5) for width, size in zip(widths, pyramid.sizes, strict=True)]
    judged = flops(widths[-1], *pyramid.sizes[-1], 1, 0)
    G, D = sum(made[-1]), sum(judged)
    resized = sum(2 * 3 * 3 * (h1 * h0 * w0 + h1 * w0 * w1) for (h0, w0), (h1, w1) in itertools.pairwise(pyramid.sizes))
    priors = 3 * sum(map(sum, made[:-1])) + resized
    # forwards, slope; weights and images, weights and slopes: all but the images and the ones that are given
    d = 3 * D + D + (3 * D + 3 * (D - judged[0])) + (D + D - judged[-1])
    g = 2 * G + D + D + 2 * G + 2 * (G - made[-1][0])
    assert counter.get_total_flops() == pytest.approx(priors + 3 * G + 3 * d + 3 * g, rel=1e-3)
