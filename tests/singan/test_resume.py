"""A run that is killed in any scale, or between two, goes on bit for bit."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
import torch

from i2i.engine import fit
from i2i.observers import Checkpoints, JsonLines
from i2i.policy import Policy
from i2i_singan.pyramid import levels, plan
from i2i_singan.settings import Settings
from i2i_singan.step import Levels, make_step

STEPS = 3  # of each scale
SETTINGS = Settings(steps=STEPS, min_size=12, max_size=22, base_width=4, max_width=6)  # wider nets at the fifth scale
PYRAMID = plan(20, 22, min_size=12, max_size=22, scale_factor=0.8)
TOTAL = STEPS * len(PYRAMID.sizes)


def run(out: Path, *, batches: int = TOTAL, resume: bool = False) -> None:
    torch.manual_seed(99 if resume else 0)  # a new process would find other numbers
    random.seed(99 if resume else 0)
    image = torch.rand(1, 3, 20, 22, generator=torch.Generator().manual_seed(1)) * 2 - 1
    batch = Levels(levels(image, PYRAMID))
    observers = [JsonLines(1), Checkpoints(1, keep_last=TOTAL)]
    fit(
        make_step(SETTINGS, PYRAMID, batch), None, [batch], steps=batches, policy=Policy(average=0.9),
        observers=observers, out=out, resume=resume, device="cpu",
    )  # fmt: skip


def left(folder: Path, batches: int) -> dict[str, bytes]:
    files = {file.name: file.read_bytes() for file in (folder / "checkpoints" / f"step-{batches}").iterdir()}
    return files | {"metrics": b"".join((folder / "metrics.jsonl").read_bytes().splitlines(keepends=True)[:batches])}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    run(folder)
    return folder


def test_there_are_scales_of_two_widths() -> None:
    assert [SETTINGS.width(k) for k in range(len(PYRAMID.sizes))] == [4, 4, 4, 4, 6]


@pytest.mark.parametrize("batch", [1, 3, 8, 10, 12, 14])
def test_resumes_bit_for_bit_in_every_scale(batch: int, undisturbed: Path, tmp_path: Path) -> None:
    end = min(batch + STEPS, TOTAL)  # over the next border
    name = f"checkpoints/step-{batch}"
    shutil.copytree(undisturbed / name, tmp_path / name)
    lines = (undisturbed / "metrics.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "metrics.jsonl").write_text("".join(lines[: batch + 1]))
    run(tmp_path, batches=end, resume=True)
    assert left(tmp_path, end) == left(undisturbed, end)
