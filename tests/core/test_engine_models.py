"""Wherever a run stops, what is saved for use is as old as its checkpoint."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from i2i.checkpoint import latest
from i2i.engine import fit
from i2i.errors import DataError
from i2i.models import load
from i2i.observers import Checkpoints
from i2i.protocols import Seen
from i2i.step import Step, player


class Nets(NamedTuple):
    G: nn.Module


STEP: Step[Nets, Tensor] = player(
    lambda n: n.G, lambda n, x: {"size": n.G(x).square().mean()}, torch.optim.SGD, weights={"size": 1}, lr=0.1
)
BATCHES = [torch.full((1, 1), float(i)) for i in range(1, 9)]


def make_nets() -> Nets:
    torch.manual_seed(0)
    return Nets(nn.Linear(1, 1))


def checkpoints() -> Checkpoints:
    return Checkpoints(2, lambda nets: {"g": nets.G})


def weight(out: Path) -> Tensor:
    loaded: Any = load(out / "model" / "g", into=nn.Linear(1, 1))
    return loaded.weight.detach()


pytestmark = pytest.mark.filterwarnings("ignore:saved the weights only")  # nn.Linear is no registered part


def test_a_run_killed_between_its_last_checkpoint_and_its_model_saves_it_when_resumed(tmp_path: Path) -> None:
    run = fit(STEP, make_nets(), BATCHES, steps=4, observers=[checkpoints()], out=tmp_path)
    shutil.rmtree(tmp_path / "model")
    fit(STEP, make_nets(), BATCHES, steps=4, observers=[checkpoints()], out=tmp_path, resume=True)
    assert torch.equal(weight(tmp_path), run.nets.G.weight)


def test_an_interrupted_run_has_a_model_of_its_last_batch(tmp_path: Path) -> None:
    class Interrupt:
        every = 3

        def __call__(self, seen: Seen) -> None:
            signal.raise_signal(signal.SIGINT)

    nets = make_nets()
    with pytest.raises(KeyboardInterrupt):
        fit(STEP, nets, BATCHES, steps=8, observers=[checkpoints(), Interrupt()], out=tmp_path)
    found = latest(tmp_path)
    assert found is not None
    assert found[0] == 3
    assert torch.equal(weight(tmp_path), nets.G.weight)


def test_a_bad_image_in_the_middle_loses_nothing_that_was_trained(tmp_path: Path) -> None:
    class Bad:
        def __iter__(self) -> Iterator[Tensor]:
            yield from BATCHES[:5]
            raise DataError("photo.png is cut off")

    nets = make_nets()
    with pytest.raises(DataError, match=r"photo.png is cut off"):
        fit(STEP, nets, Bad(), steps=8, observers=[checkpoints()], out=tmp_path)
    found = latest(tmp_path)
    assert found is not None
    assert found[0] == 5
    assert torch.equal(weight(tmp_path), nets.G.weight)
