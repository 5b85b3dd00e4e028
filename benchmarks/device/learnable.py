"""The trainings of the gate: the four methods on pictures that can be learnt, drawn by torch alone."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.bench_pix2pixhd import scene
from benchmarks.device.cases import Case, Domains, Images, Losses, Scenes
from benchmarks.device.gate import Run, Trained, judged, trained
from benchmarks.device.meter import Meter
from benchmarks.device.variants import Variant
from i2i.values import Instanced, Pair
from i2i_singan.pyramid import levels
from i2i_singan.pyramid import plan as pyramid_of
from i2i_singan.settings import Settings as SinGanSettings
from i2i_singan.step import Levels
from i2i_singan.step import make_step as pyramid_step

PICTURES, HELD_OUT = 32, 8
CLASSES = 8  # of the label maps
DISCS = 4


class Training(NamedTuple):
    """A method with its data.

    Attributes:
        case: the method.
        sizes: settings of its nets.
        made: the images that the nets of an engine make of what is held out.
        wanted: what those should be.
    """

    case: Case
    sizes: Mapping[str, Any]
    made: Callable[[Any], Tensor]
    wanted: Tensor

    def run(self, variant: Variant, seed: int) -> Run:
        """Return the training of a seed: weights, the order of the batches, and what is drawn in the updates."""
        case = self.case
        case.meter.clear()
        case.seed(seed)
        built: Any = case.built(variant._replace(changes={**self.sizes, **variant.changes}))
        engine, order = built.engine, random.Random(seed)

        def update(number: int) -> Losses:
            losses: Losses = built(order.randrange(len(case.batches)))
            engine.batches += 1
            return losses

        def images() -> Tensor:
            with torch.no_grad(), variant.policy.autocast(case.device):
                return self.made(engine)

        return Run(update, images, lambda: variant.flags(case.device))

    def trained(self, variant: Variant, seeds: Sequence[int], steps: int) -> Trained:
        """Train with each seed."""
        return trained(partial(self.run, variant), seeds, steps)

    def gate(self, base: Variant, tried: Variant, *, seeds: Sequence[int], steps: int) -> dict[str, Any]:
        """Train in two ways and compare; see `benchmarks.device.gate.judged`."""
        return judged(*(self.trained(variant, seeds, steps) for variant in (base, tried)), self.wanted)


def images(meter: Meter, size: int, **sizes: Any) -> Training:
    """CycleGAN; see `recoloured`."""
    return _unpaired(Images(meter, size, 1, small=False), size, sizes)


def domains(meter: Meter, size: int, **sizes: Any) -> Training:
    """U-GAT-IT with the light head; see `recoloured`."""
    return _unpaired(Domains(meter, size, small=False), size, sizes)


def _unpaired(case: Case, size: int, sizes: Mapping[str, Any]) -> Training:
    case.seed(1)
    batches = [Pair(pictures(1, size), recoloured(pictures(1, size))) for _ in range(PICTURES)]
    case.batches = batches
    held = pictures(HELD_OUT, size)

    def made(engine: Any) -> Tensor:
        pair = engine.place(Pair(held, recoloured(held)))
        return torch.cat((engine.nets.G(pair.a).image, engine.nets.F(pair.b).image))

    return Training(case, sizes, made, torch.cat((recoloured(held), held)))


def scenes(meter: Meter, size: int, **sizes: Any) -> Training:
    """The global stage of pix2pixHD: rectangles, each painted as its class is."""
    case = Scenes(meter, size, size, joint=False, small=False, labels=CLASSES)
    case.seed(1)
    drawn = [painted(scene(size, size, CLASSES)) for _ in range(PICTURES + HELD_OUT)]
    case.batches = drawn[:PICTURES]
    held = Instanced(*map(torch.cat, zip(*drawn[PICTURES:], strict=True)))

    def made(engine: Any) -> Tensor:
        placed = engine.place(held)
        image: Tensor = engine.nets.current.G.render(placed.labels, placed.instances, None).image
        return image

    return Training(case, sizes, made, held.image)


class Pyramid(Case):
    """SinGAN at three scales of one image.

    Args:
        meter: knows the device.
        size: of the image.
        steps: of all scales together.
    """

    def __init__(self, meter: Meter, size: int, steps: int) -> None:
        super().__init__(meter)
        self.pyramid = pyramid_of(size, size, scale_factor=24 / size)
        self.settings = SinGanSettings(steps=-(-steps // len(self.pyramid.sizes)))
        self.seed(1)
        self.image = pictures(1, size)
        self.batches = [Levels(levels(self.image, self.pyramid))]

    def built(self, variant: Variant) -> Callable[..., Losses]:
        settings = attrs.evolve(self.settings, **variant.changes)
        return self.engine(pyramid_step(settings, self.pyramid, self.batches[0]), None, variant)


def photograph(meter: Meter, size: int, steps: int) -> Training:
    """SinGAN; the image that is held against the one that is wanted is that of the fixed noise."""
    case = Pyramid(meter, size, steps)

    def made(engine: Any) -> Tensor:
        scale = engine.nets.current.G
        image: Tensor = scale(scale.prior, scale.noise)
        return image

    return Training(case, {}, made, case.image)


def pictures(count: int, size: int) -> Tensor:
    """Draw smooth fields of colour with discs on them, ``(count, 3, size, size)`` in ``[-1, 1]``."""
    picture = F.interpolate(torch.randn(count, 3, 4, 4), (size, size), mode="bicubic").mul(0.7).tanh()
    along = torch.linspace(0, 1, size)
    for _ in range(DISCS):
        y, x, radius = torch.rand(3, count, 1, 1, 1)
        distance = torch.hypot(along[:, None] - y, along - x)
        inside = ((0.05 + 0.2 * radius - distance) * size).clamp(0, 1)
        picture = torch.lerp(picture, torch.rand(count, 3, 1, 1) * 2 - 1, inside)
    return picture


def recoloured(picture: Tensor) -> Tensor:
    """Exchange the colours, and brighten: what translators have to find."""
    return 0.7 * picture.roll(1, dims=1) + 0.25


def painted(scene: Instanced) -> Instanced:
    """Paint a scene: each class has a colour, and stripes of its own width."""
    kind, along = scene.labels.float(), torch.arange(scene.labels.shape[-1])
    turns = torch.tensor([0, 1, 2]).view(3, 1, 1) / 3
    colour = torch.cos(2 * math.pi * (kind / CLASSES + turns))
    stripes = torch.sin((along[:, None] + along) * (0.2 + 0.15 * kind))
    return scene._replace(image=0.6 * colour + 0.3 * stripes)
