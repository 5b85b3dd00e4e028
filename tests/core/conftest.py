"""What several tests of the core need: an installed plugin, and a kill at any file operation."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from i2i import registry

TOY_PLUGIN = """
import i2i.hookspecs

@i2i.hookspecs.hookimpl
def register_parts(register):
    for name in ("generator", "laid_out", "tied", "noisy", "attribute", "number", "deep", "wrapper"):
        register(f"toy/{name}", f"toy_plugin_parts:{name}", kind="generator")
"""

TOY_PARTS = """
import torch
from torch import nn
from i2i.errors import SettingsError
from i2i.parts import Example, part
from i2i.values import Translation

EXAMPLE = Example({}, ((1, 3, 8, 8),))

class Net(nn.Module):
    def __init__(self, *layers, channels=3, multiple=1):
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.in_channels = self.out_channels = channels
        self.multiple = multiple
    def forward(self, image, condition=None):
        return Translation(self.layers(image))

@part(example=EXAMPLE)
def generator(channels=3, *, width=4, sizes=(1, 3), scale=1.5, name="a", bias=True, nothing=None):
    if not isinstance(sizes, tuple) or width < 1:
        raise SettingsError(f"width (={width}) must be at least 1")
    return Net(nn.Conv2d(channels, width, sizes[0], bias=bias), nn.BatchNorm2d(width),
               nn.Conv2d(width, channels, sizes[1], padding=sizes[1] // 2), channels=channels, multiple=4)

@part(example=EXAMPLE)
def laid_out():
    return generator(4).to(memory_format=torch.channels_last)

@part(example=EXAMPLE)
def tied():
    first, second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1, bias=False)
    second.weight = first.weight
    return Net(first, second)

@part(example=EXAMPLE)
def noisy():
    net = Net(nn.Conv2d(3, 3, 1))
    net.register_buffer("filter", torch.full((2,), 7.0), persistent=False)
    return net

@part(example=EXAMPLE)
def attribute():
    net = Net(nn.Conv2d(3, 3, 1))
    net.kernel = torch.full((2,), 5.0)
    return net

@part(example=EXAMPLE)
def number():
    return 3

@part(example=EXAMPLE)
def deep(layers):
    return Net(*(nn.Conv2d(3, 3, 1) for _ in range(layers)))

@part(example=EXAMPLE)
def wrapper(inner):
    return Net(inner.layers)
"""


@pytest.fixture
def toy_plugin(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed plugin ``toy`` of the distribution ``i2i-toy`` 2.5 with the parts above."""
    site = tmp_path_factory.mktemp("site")
    info = site / "i2i_toy-2.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: i2i-toy\nVersion: 2.5\n")
    (info / "entry_points.txt").write_text("[i2i]\ntoy = toy_plugin\n")
    (site / "toy_plugin.py").write_text(TOY_PLUGIN)
    (site / "toy_plugin_parts.py").write_text(TOY_PARTS)
    monkeypatch.syspath_prepend(str(site))
    registry.registry.cache_clear()
    yield
    registry.registry.cache_clear()
    for name in ("toy_plugin", "toy_plugin_parts"):
        sys.modules.pop(name, None)


@pytest.fixture
def killed_everywhere() -> Callable[[Path, Callable[[], object]], Iterator[int]]:
    """``killed_everywhere(folder, action)``: run ``action`` in children that die before the 1st, 2nd, ... operation.

    An operation is whatever opens, renames, makes or removes something below ``folder``. The child dies as by kill -9:
    nothing is flushed or cleaned up. Yields after each death; ends when a child has lived through the action.
    """
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")

    def attempts(folder: Path, action: Callable[[], object]) -> Iterator[int]:
        for fatal in itertools.count(1):
            child = os.fork()
            if child == 0:
                _die_at(fatal, folder)
                try:
                    action()
                except BaseException:
                    os._exit(1)
                os._exit(0)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert code in (0, 9)
            if code == 0:
                return
            yield fatal

    return attempts


def _die_at(fatal: int, folder: Path) -> None:
    left = fatal

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir") and str(folder) in str(arguments[0]):
            left -= 1
            if left == 0:
                os._exit(9)

    sys.addaudithook(watch)
