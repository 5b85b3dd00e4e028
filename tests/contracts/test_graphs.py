"""The updates of every recipe can be captured: from a graph they are, bit for bit, those without one."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from contextlib import nullcontext
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import i2i.testing as kit
from i2i.graphs import WARM_UP, Graphs
from i2i.policy import Policy, Turn
from i2i.recording import Recording
from i2i.registry import registry
from i2i.settings import RunSettings
from i2i.tree import tree_map
from tests.core.tape import TapeRecorder

REPLAYS = 2  # of each stage
ALONE = {"singan": "trainA.png"}  # learns from one image as well as from many, which take long on ``meta``


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


class OnDevice(TorchDispatchMode):
    """Notes operations that go from the host to the device or back; the device is ``meta``, which holds no data.

    Copies wait for the host or read its memory, and a graph could not hold them; scalars become part of a launch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = _devices((args, kwargs or {}))
        try:
            made = function(*args, **(kwargs or {}))
        except NotImplementedError:  # the guard's check, which changes what there is in place
            assert not function._schema.returns
            return None
        back = "meta" in given and "cpu" in _devices(made)
        if back or (given | _devices(made) == {"meta", "cpu"} and _copies(function)):
            self.noted.append(str(function))
        return made


class Written(TorchFunctionMode):
    """Notes tensors on ``meta`` that are written down in Python, which only a real device would have copied there."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[str] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        given = args[1] if function is torch.Tensor.__getitem__ else None
        listed = any(isinstance(each, list) for each in (given if isinstance(given, tuple) else (given,)))
        if (listed or function in (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor)) and made.is_meta:
            self.noted.append(str(function))
        return made


def _devices(tree: Any) -> set[str]:
    return {leaf.device.type for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)}


def _copies(function: Any) -> bool:
    return function._schema.name in ("aten::_to_copy", "aten::copy_", "aten::_foreach_copy_")


def laid_on_meta(tree: Any) -> Any:
    return tree_map(lambda leaf: leaf.to("meta") if isinstance(leaf, torch.Tensor | torch.nn.Module) else leaf, tree)


@pytest.mark.parametrize("entry", registry().tables.recipes.all(), ids=lambda entry: entry.name)
def test_an_update_keeps_to_the_device(entry, images, monkeypatch):
    """What a graph of it would hold: the first update listens, the second is what would be captured."""
    data = images / ALONE.get(entry.name, "")
    recipe = entry.build(kit.tiny(entry.settings()), RunSettings(data=data))
    policy, device = Policy(graphed=True), torch.device("meta")
    nets, batch = laid_on_meta(recipe.nets()), laid_on_meta(next(iter(recipe.data())))
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # there is none for this device
    with device:
        state = recipe.step.init(nets, policy, None)
    recording = Recording(0)
    turn = Turn(policy, 0, recording=recording)
    with OnDevice():
        state, _ = recipe.step.update(recipe.step.nets(nets, state), state, batch, turn)
    recording.listening = False
    with OnDevice() as copied, Written() as written:
        recipe.step.update(recipe.step.nets(nets, state), state, batch, turn)
    assert copied.noted + written.noted == []


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
