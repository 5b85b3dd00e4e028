"""The mixes of docs/recipes: short, typed, and they train as they stand there but for sizes and lengths."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

import i2i
from i2i.cli import main

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / "docs" / "recipes"
PAGES = sorted(path.stem for path in RECIPES.glob("*.md") if path.stem != "index")
LINES = 30


class Small(NamedTuple):
    """How a mix is made small.

    Attributes:
        changes: old text and new text.
        folders: width and height of the images in each of the folders that its code names.
        batches: how many it is then trained for.
    """

    changes: Mapping[str, str]
    folders: Mapping[str, tuple[int, int]]
    batches: int


UNET = {"base_width=16, downs=4": "base_width=2, downs=2", "crop_size=64": "crop_size=16"}
PATCHES = {"base_width=16, layers=2": "base_width=2, layers=1"}
SMALL: Mapping[str, Small] = {
    "attention-and-scales": Small(
        {"base_width=16, blocks=2": "base_width=2, blocks=1", "base_width=16, scales=3": "base_width=2, scales=2",
         "steps=600": "steps=3"},
        {"marked": (16, 16), "plain": (16, 16)}, 3,
    ),
    "averaged-cyclegan": Small(
        {**UNET, **PATCHES, "steps=1000": "steps=3", "every(8": "every(2"}, {"photos": (20, 18), "thermal": (18, 20)}, 3
    ),
    "coarse-to-fine": Small(
        {**UNET, **PATCHES, "[800, 500]": "[2, 3]"}, {"photos": (20, 18), "thermal": (18, 20)}, 5
    ),
    "few-pairs": Small(
        {**UNET, **PATCHES, "steps=800": "steps=3"},
        {"sketches": (20, 18), "photos": (18, 20), "pairs": (40, 20)}, 3,
    ),
    "matched-unet": Small(
        {"base_width=24, downs=5": "base_width=2, downs=2", "base_width=24, layers=2": "base_width=2, layers=1",
         "crop_size=64, batch_size=8": "crop_size=16, batch_size=2", "steps=1200": "steps=3"},
        {"sketches": (20, 18), "photos": (20, 18)}, 3,
    ),
    "pyramid-norm": Small(
        {"min_size=19, scale_factor=0.66": "min_size=12", "(32,)": "(4,)", "iln(32)": "iln(4)", "[250]": "[2]",
         "scale_discriminator()": "scale_discriminator(width=4)"},
        {"photo": (20, 18)}, 8,
    ),
}  # fmt: skip


def code_of(name: str) -> str:
    (code,) = re.findall(r"^```python\n(.*?)^```$", (RECIPES / f"{name}.md").read_text("utf-8"), re.DOTALL | re.M)
    return str(code)


class Recorder:
    """What each batch leaves: metrics, and the weights of the nets by name."""

    every = 1

    def __init__(self) -> None:
        self.metrics: list[Mapping[str, float]] = []
        self.weights: list[dict[str, list[torch.Tensor]]] = []

    def __call__(self, seen: i2i.Seen) -> None:
        nets = seen.nets.current if isinstance(seen.nets, i2i.Stages) else seen.nets
        copied = {name: [p.detach().clone() for p in net.parameters()] for name, net in nets._asdict().items()}
        self.metrics.append(seen.metrics)
        self.weights.append(copied)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """In the place of the progress bar."""
    made = Recorder()
    monkeypatch.setattr(i2i.observers, "Progress", lambda: made)
    return made


def small(name: str) -> str:
    code = code_of(name)
    for old, new in SMALL[name].changes.items():
        assert code.count(old) == 1, f"{name}: {old}"
        code = code.replace(old, new)
    return code


def images(root: Path, folders: Mapping[str, tuple[int, int]]) -> None:
    draws = np.random.default_rng(0)
    for folder, size in folders.items():
        (root / folder).mkdir()
        for index in range(1 if folder == "photo" else 3):
            coarse = draws.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize(size).save(root / folder / f"{index}.png")


def test_every_page_is_tested() -> None:
    assert sorted(SMALL) == PAGES
    assert len(PAGES) == 6


@pytest.mark.parametrize("name", PAGES)
def test_it_is_short(name: str) -> None:
    lines = code_of(name).splitlines()
    assert sum(bool(line.strip()) for line in lines) <= LINES
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("name", PAGES)
def test_it_trains(name: str, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images(tmp_path, SMALL[name].folders)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names: dict[str, Any] = {"__name__": name}
    exec(compile(small(name), name, "exec"), names)
    assert len(recorder.metrics) == SMALL[name].batches
    assert all(math.isfinite(value) for metrics in recorder.metrics for value in metrics.values())
    for before, after in zip(recorder.weights, recorder.weights[1:], strict=False):
        assert all(map(_differ, before.values(), after.values()))
    _use(name, tmp_path)


def _differ(before: list[torch.Tensor], after: list[torch.Tensor]) -> bool:
    return any(
        one.shape != other.shape or not torch.equal(one, other) for one, other in zip(before, after, strict=False)
    )


def _use(name: str, root: Path) -> None:
    """Make images with the model that was saved, as a user would."""
    if name == "pyramid-norm":
        assert main(["singan", "sample", "mix-model", "--count", "2", "--out", "made", "--device", "cpu"]) == 0
        sizes = [Image.open(path).size for path in (root / "made").iterdir()]
        assert sizes == [SMALL[name].folders["photo"]] * 2
        return
    source, size = next(iter(SMALL[name].folders.items()))
    assert main(["translate", "mix-model", source, "--out", "made", "--device", "cpu"]) == 0
    made = [np.asarray(Image.open(path)) for path in sorted((root / "made").iterdir())]
    assert [image.shape for image in made] == [(size[1], size[0], 3)] * 3
    assert all(image.std() > 0 for image in made)


def test_they_are_typed_and_mistakes_are_found(tmp_path: Path) -> None:
    files = {name: code_of(name) for name in PAGES}
    right = files["averaged-cyclegan"]
    files["misspelt"] = right.replace("lambda n: (n.G, n.F)", "lambda n: (n.G, n.H)")
    one_domain = right.replace("def r1_loss(n: Nets, x: i2i.Pair", "def r1_loss(n: Nets, x: i2i.Single")
    files["other_batch"] = one_domain.replace("r1(n.DA, x.a) + r1(n.DB, x.b)", "r1(n.DA, x.image)")
    for name, code in files.items():
        (tmp_path / f"mix_{name.replace('-', '_')}.py").write_text(code, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", *map(str, tmp_path.iterdir())]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.splitlines()
    assert sorted(re.sub(r".*(mix_\w+).py:\d+: ", r"\1: ", line) for line in told) == [
        'mix_misspelt: error: "Nets" has no attribute "H"  [attr-defined]',
        'mix_other_batch: error: Cannot infer value of type parameter "B" of "alternate"  [misc]',
    ]
