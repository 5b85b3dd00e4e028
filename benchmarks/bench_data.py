"""Loading images against a bare Pillow loop that does the same work: the throughput of ours divided by its.

Both run in one process, in turn, on the same images and random numbers, and are timed by the CPU time of the process.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from benchmarks.timing import compare
from i2i.data import unpaired
from i2i.data.draws import shuffled, uniforms

IMAGES, LOAD, CROP, ROUNDS = 32, 286, 256, 15


def photograph(rng: np.random.Generator) -> Image.Image:
    """Smooth colours with a little noise: a JPEG of about the size of a photograph of 256 x 256."""
    coarse = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).resize(
        (256, 256), Image.Resampling.BICUBIC
    )
    return Image.fromarray(np.clip(np.asarray(coarse) + rng.normal(0, 6, (256, 256, 3)), 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root, rng = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for domain in ("a", "b"):
        (root / domain).mkdir()
        for i in range(IMAGES):
            photograph(rng).save(root / domain / f"{i:03d}.jpg", quality=90)
    return root / "a", root / "b"


def bare_image(path: Path, left: float, top: float, mirror: float) -> Tensor:
    image = Image.open(path).convert("RGB").resize((LOAD, LOAD), Image.Resampling.BICUBIC)
    x, y = int(left * (LOAD - CROP + 1)), int(top * (LOAD - CROP + 1))
    image = image.crop((x, y, x + CROP, y + CROP))
    if mirror < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
    return pixels.to(torch.float32).div(255).sub(0.5).div(0.5)


def choices(folders: tuple[Path, Path], epoch: int) -> list[tuple[Path, list[float], Path, list[float]]]:
    """What an epoch reads, made ahead: the bare loop is not charged for it."""
    a, b = (sorted(folder.iterdir()) for folder in folders)
    chosen = []
    for position, index in enumerate(shuffled(IMAGES, 0, epoch)):
        pick, *draws = uniforms(7, 0, epoch, position)
        chosen.append((a[index], draws[:3], b[int(pick * IMAGES)], draws[3:]))
    return chosen


def bare_epoch(
    chosen: list[tuple[Path, list[float], Path, list[float]]], batch_size: int
) -> list[tuple[Tensor, Tensor]]:
    batches = []
    for start in range(0, len(chosen), batch_size):
        rows = chosen[start : start + batch_size]
        left = torch.stack([bare_image(a, *draws) for a, draws, _, _ in rows])
        right = torch.stack([bare_image(b, *draws) for _, _, b, draws in rows])
        batches.append((left, right))
    return batches


@pytest.mark.benchmark(group="data/unpaired")
@pytest.mark.parametrize("batch_size", [1, 8])
def test_unpaired(benchmark: BenchmarkFixture, folders: tuple[Path, Path], batch_size: int) -> None:
    data = unpaired(*folders, load_size=LOAD, crop_size=CROP, batch_size=batch_size)
    for epoch in range(2):
        for ours, bare in zip(data, bare_epoch(choices(folders, epoch), batch_size), strict=True):
            assert torch.equal(ours.a, bare[0])
            assert torch.equal(ours.b, bare[1])

    chosen = choices(folders, 0)
    compare(benchmark, lambda: bare_epoch(chosen, batch_size), lambda: list(data), rounds=ROUNDS, target=0.8)
    if benchmark.enabled:
        benchmark.extra_info["images_per_cpu_second"] = round(2 * IMAGES / benchmark.extra_info["ours_cpu_s"], 1)
