"""What the tests need: W&B that knows no account and writes nowhere but into a temporary folder, and a server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb
from server import Server, serving

from i2i import registry

PLUGIN = """
import i2i
@i2i.hookimpl
def register_recipes(register): register("toy", "toy_code:Settings", "toy_code:build")
"""
CODE = """
import attrs, torch, i2i
from torch import nn

@attrs.frozen
class Settings:
    steps: int = 4
    lr: float = 0.1

def build(settings, run):
    batches = [i2i.Single(torch.full((1, 3, 4, 4), value)) for value in (0.5, 1.0)]
    step = i2i.player(lambda n: n.G, lambda n, x: {"size": n.G(x.image).square().mean()}, torch.optim.SGD,
                      weights={"size": 1}, lr=settings.lr)
    return i2i.Recipe(nets=lambda: i2i.nets(G=nn.Conv2d(3, 3, 1)), step=step, data=lambda: batches,
                      length=settings.steps, preview=lambda n, x: {"made": n.G(x.image)}, models=lambda n: {},
                      preview_batch=lambda: batches[0])
"""


@pytest.fixture(autouse=True)
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody is logged in, and nothing is asked."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name in ("HOME", "WANDB_DIR", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    yield
    wandb.teardown()  # ends its process; the next test brings other settings


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server at which the user is logged in."""
    with serving() as started:
        monkeypatch.setenv("WANDB_BASE_URL", started.url)
        monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
        yield started
        wandb.teardown()


@pytest.fixture
def toy(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A plugin with a recipe that takes no time."""
    site = tmp_path_factory.mktemp("site")
    info = site / "x_toy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: x-toy\nVersion: 1.0\nRequires-Dist: i2i-core>=0.1\n")
    (info / "entry_points.txt").write_text("[i2i]\ntoy = toy_plugin\n")
    (site / "toy_plugin.py").write_text(PLUGIN)
    (site / "toy_code.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(site))
    registry.registry.cache_clear()
    yield
    registry.registry.cache_clear()
