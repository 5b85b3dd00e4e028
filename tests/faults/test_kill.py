"""``kill -9`` loses nothing: a resumed run ends as an undisturbed one, bit for bit. Twenty kills: ``make evidence``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

EVIDENCE = Path(__file__).parents[2] / "benchmarks" / "evidence"


@pytest.fixture(scope="module")
def killing() -> Iterator[Any]:
    if sys.platform == "win32":
        pytest.skip("needs SIGKILL")
    sys.path.insert(0, str(EVIDENCE))
    yield importlib.import_module("killing")
    sys.path.remove(str(EVIDENCE))


@pytest.mark.parametrize(("kind", "index"), [("resnet", 0), ("unet", 1), ("wgan", 2)])
def test_a_killed_run_ends_as_an_undisturbed_one(killing: Any, kind: str, index: int, tmp_path: Path) -> None:
    data = killing.write_photographs(tmp_path / "data")
    undisturbed = killing.finish(killing.train(kind, data, tmp_path / "whole", killing.by_fork), tmp_path / "whole")
    last = f"checkpoints/step-{killing.STEPS}"
    assert {"metrics.jsonl", f"{last}/tensors.safetensors", f"{last}/state.json", "model/a2b/model.safetensors"} < set(
        undisturbed
    )
    moment = killing.moments(3, seed=1)[index]
    start = killing.by_command if kind == "resnet" else killing.by_fork
    outcome = killing.killed_and_resumed(
        kind, data, tmp_path / "killed", moment, undisturbed, start=start, again=killing.by_fork
    )
    assert outcome.differs == []
    assert outcome.batch < killing.STEPS
    assert outcome.half_written or not moment.writing


def test_a_run_with_stages_ends_as_an_undisturbed_one_however_often_it_is_killed(killing: Any, tmp_path: Path) -> None:
    """Within a stage, and where one ends: while its checkpoint is written, and while its model is."""
    data, out, short = killing.write_photographs(tmp_path / "data"), tmp_path / "killed", "--scale-factor 0.6 --steps 6"
    whole = killing.train("singan", data, tmp_path / "whole", killing.by_fork, changes=short)
    undisturbed = killing.finish(whole, tmp_path / "whole")
    ends = {f"samples/batch-{batch:07d}.png" for batch in (6, 12, 18)}
    assert {"metrics.jsonl", "checkpoints/step-18/tensors.safetensors", "model/config.json", *ends} < set(undisturbed)
    running = killing.train("singan", data, out, killing.by_fork, changes=short)
    for moment in (
        killing.Moment(3),
        killing.Moment(6, writing=["checkpoints"]),
        killing.Moment(12, writing=["model"]),
    ):
        found = killing.kill(running, out, moment)
        assert moment.batch <= found.batch < 18
        assert found.half_written or not moment.writing
        running = killing.resume(out, killing.by_fork)
    assert killing.finish(running, out) == undisturbed
