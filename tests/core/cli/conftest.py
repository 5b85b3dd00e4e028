"""A third party's plugin with a recipe, an observer and a command; installed as any other."""

from __future__ import annotations

import pytest

PLUGIN = """
import i2i

@i2i.hookimpl
def register_parts(register):
    register("blur/net", "blur_code:net", kind="generator")
    register("blur/noise", "blur_code:noise", kind="generator")
    register("blur/lost", "blur_nowhere:net", kind="layer")

@i2i.hookimpl
def register_recipes(register):
    register("blur", "blur_settings:Settings", "blur_code:build", demo="blur_code:demo")

@i2i.hookimpl
def register_observers(register):
    register("shout", "blur_code:Shout")

@i2i.hookimpl
def register_commands(app):
    app.command("twice", "blur_code:twice", help="print a number twice")
"""

SETTINGS = '''
import attrs
from i2i.settings import above, at_least

@attrs.frozen
class Speed:
    lr: float = attrs.field(default=0.1, validator=above(0))
    """Learning rate of the toy."""

@attrs.frozen
class Settings:
    """Learn to blur."""
    steps: int | None = attrs.field(default=None, validator=at_least(1))
    """Batches to train."""
    epochs: int = 2
    """Passes over the three batches, where steps does not say how many to train."""
    base_width: int = attrs.field(default=2, validator=at_least(1))
    """Channels inside."""
    speed: Speed = Speed()
'''

CODE = '''
"""Code that needs torch: never imported for help."""
from pathlib import Path
from typing import NamedTuple
import torch
from torch import nn
import i2i

class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(3, width, 1), nn.Conv2d(width, 3, 1))
        self.in_channels = self.out_channels = 3
        self.multiple = 4
        self.size = None
    def forward(self, image, condition=None):
        if self.size not in (None, image.shape[-2:]):
            raise i2i.errors.DataError("an image of another size reached the net")
        return i2i.Translation(self.inner(image))

@i2i.part(example=i2i.Example({}, ((1, 3, 4, 4),)))
def net(width=2):
    """Two layers.

    And more.
    """
    return Net(width)

@i2i.part(example=i2i.Example({}, ((1, 3, 4, 4),)))
def noise(width=2, takes="noise", size=None):
    made = Net(width)
    made.takes, made.size = takes, size
    return made

class Nets(NamedTuple):
    G: nn.Module

def loss(nets, batch):
    return {"l2": (nets.G(batch.image).image - 0.5 * batch.image).square().mean()}

def build(settings, run):
    if run.data is not None and not run.data.is_dir():
        from i2i.errors import DataError
        raise DataError(f"{run.data}: no such folder")
    generator = torch.Generator().manual_seed(7)
    batches = [i2i.Single(torch.rand(2, 3, 4, 4, generator=generator)) for _ in range(3)]
    step = i2i.player(lambda n: n.G, loss, torch.optim.Adam, weights={"l2": 1}, lr=settings.speed.lr)
    return i2i.Recipe(
        nets=lambda: Nets(net(settings.base_width)), step=step, data=lambda: batches,
        length=settings.steps or 3 * settings.epochs,
        preview=lambda nets, batch: {"input": batch.image, "output": nets.G(batch.image).image},
        models=lambda nets: {"a2b": nets.G}, preview_batch=lambda: batches[0],
    )

def demo(out, seed, steps, resume):
    print("demo", out, seed, steps, resume)

class Shout:
    every = 2
    def __init__(self, run):
        self.seed = run.seed
    def __call__(self, seen):
        print("SHOUT", self.seed, seen.batches)

def twice(number: int, /, *, plus: float = 0.5, fail: bool = False) -> None:
    """Print a number twice.

    Args:
        number: the number.
        plus: what is added.
        fail: raise instead.
    """
    if fail:
        raise ValueError("this\\nfailed")
    print(number + plus, number + plus)
'''


@pytest.fixture
def blur(install):
    """The plugin ``blur`` of the distribution ``x-blur``."""
    install("blur", "x-blur", blur_plugin=PLUGIN, blur_settings=SETTINGS, blur_code=CODE)
