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


@pytest.fixture(scope="module")
def staged(killing: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The photographs, and what an undisturbed run with stages leaves."""
    folder = tmp_path_factory.mktemp("staged")
    data = killing.write_photographs(folder / "data")
    return data, killing.finish(killing.train("singan", data, folder / "whole", killing.by_fork), folder / "whole")


@pytest.mark.parametrize("index", [3, 5])
def test_a_killed_run_with_stages_ends_as_an_undisturbed_one(
    killing: Any, staged: tuple[Path, dict[str, str]], index: int, tmp_path: Path
) -> None:
    data, undisturbed = staged
    length = killing.STEPS // killing.SCALES
    pictures = {f"samples/batch-{length * (k + 1):07d}.png" for k in range(killing.SCALES)}
    assert {"metrics.jsonl", f"checkpoints/step-{killing.STEPS}/tensors.safetensors", *pictures} < set(undisturbed)
    moment = killing.moments_in_stages(seed=3)[index]  # both go on within a stage
    outcome = killing.killed_and_resumed(
        "singan", data, tmp_path / "killed", moment, undisturbed, start=killing.by_fork, again=killing.by_fork
    )
    assert outcome.differs == []
    assert moment.batch <= outcome.batch < killing.STEPS
    assert outcome.half_written or not moment.writing
