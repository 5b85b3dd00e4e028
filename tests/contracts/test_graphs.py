"""The updates of every recipe can be captured: from a graph they are, bit for bit, those without one."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch

import i2i.testing as kit
from i2i.graphs import WARM_UP, Graphs
from i2i.policy import Policy, Turn
from i2i.registry import registry
from i2i.settings import RunSettings
from tests.core.tape import TapeRecorder

REPLAYS = 2  # of each stage


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.write_images(tmp_path_factory.mktemp("data"))


def trained(build: Callable[[], Any], batches: int, recorder: TapeRecorder | None) -> list[dict[str, float]]:
    """Return the metrics of each batch."""
    torch.manual_seed(0)
    random.seed(0)
    recipe = build()
    nets, policy, step = recipe.nets(), Policy(graphed=recorder is not None), recipe.step
    state, seen = step.init(nets, policy, None), []
    torch.manual_seed(1)
    graphs = None if recorder is None else Graphs(step, policy, recorder)
    for now, batch in enumerate(islice(cycle(recipe.data()), batches)):
        current = step.nets(nets, state)
        if graphs is None:
            state, metrics = step.update(current, state, batch, Turn(policy, now))
        else:
            state, metrics = graphs.update(current, state, batch, now)
        seen.append({name: value.item() for name, value in metrics.items()})
    return seen


@pytest.mark.parametrize("entry", registry().tables.recipes.all(), ids=lambda entry: entry.name)
def test_a_recipe_is_captured(entry, images, capsys):
    settings = kit.tiny(entry.settings())
    length = 1 + WARM_UP + REPLAYS  # in the first batch of a stage its nets are made
    each = (length,) * len(settings.steps) if isinstance(settings.steps, tuple) else length
    build = functools.partial(entry.build, attrs.evolve(settings, steps=each), RunSettings(data=images))
    stages = min(2, max(1, len(build().stages)))
    recorder = TapeRecorder()
    assert trained(build, length * stages, recorder) == trained(build, length * stages, None)
    assert "no graph" not in capsys.readouterr().err
    assert recorder.recorded == stages
    assert recorder.replayed >= REPLAYS * stages
