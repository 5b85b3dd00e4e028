"""The script behind the ablations can be stopped and gone on with; the training itself is left out here."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from PIL import Image

from i2i_pix2pixhd.demo import MEAN, NEAREST, Scenes

EVIDENCE = Path(__file__).parents[2] / "benchmarks" / "evidence"
COUNT = 14  # held-out scenes


class Evidence:
    """The script, in folders of its own; a row makes images of one level."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(str(EVIDENCE))
        self.script = importlib.import_module("pix2pixhd")
        self.levels = {row: (10 * number) / 127.5 - 1 for number, row in enumerate(self.script.ROWS, start=1)}
        self.trained: list[tuple[str, int]] = []
        self.most = 100
        results = importlib.import_module("results")
        self.json = folder / f"{self.script.NAME}.json"
        self.picture, self.kept = folder / "picture.png", folder / "kept"
        scenes = torch.zeros(COUNT, 1, 8, 8, dtype=torch.int32)
        self.scenes = Scenes(scenes, scenes, torch.ones(COUNT, 3, 8, 8))
        simple = {name: [np.zeros((8, 8, 3))] * COUNT for name in (MEAN, NEAREST)}
        for module in (results, self.script):
            monkeypatch.setattr(module, "RESULTS", folder)
        replaced = {
            "PICTURE": self.picture, "KEPT": self.kept, "run": self.run, "write_data": lambda *_: ({}, {}),
            "as_scenes": lambda _: self.scenes, "baselines": lambda *_: simple,
        }  # fmt: skip
        for name, value in replaced.items():
            monkeypatch.setattr(self.script, name, value)

    def run(self, settings: Any, seed: int, *_: Any) -> tuple[dict[str, Any], torch.Tensor]:
        row = next(name for name, new in self.script.ROWS.items() if attrs.evolve(self.script.BASE, **new) == settings)
        if len(self.trained) == self.most:
            raise KeyboardInterrupt
        self.trained.append((row, seed))
        return {"seconds": 1.0}, torch.full((COUNT, 3, 8, 8), self.levels[row])

    def main(self) -> list[tuple[str, int]]:
        """Run the script; return what it trained."""
        self.trained = []
        assert self.script.main() == 0
        return self.trained

    @property
    def every(self) -> list[tuple[str, int]]:
        return [(row, seed) for seed in self.script.SEEDS for row in self.script.ROWS]

    def written(self) -> list[tuple[str, int]]:
        return [(one["row"], one["seed"]) for one in json.loads(self.json.read_text())["runs"]]

    def drawn(self) -> list[int]:
        """The level of each column but the labels, in the middle of the first image."""
        with Image.open(self.picture) as image:
            across = np.linspace(0, image.width, len(self.levels) + 2, endpoint=False) + image.width / 16
            return [image.getpixel((int(x), 60))[0] for x in across[1:]]  # type: ignore[index]


@pytest.fixture
def evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Evidence]:
    yield Evidence(tmp_path, monkeypatch)
    for name in ("pix2pixhd", "results"):  # scripts, which nobody else shall import
        sys.modules.pop(name)


COLUMNS = [10, 20, 30, 40, 50, 255]


@pytest.mark.parametrize("most", [2, 5, 7])
def test_what_is_gone_on_with_draws_all_rows(evidence: Evidence, most: int) -> None:
    evidence.most = most
    with pytest.raises(KeyboardInterrupt):
        evidence.main()
    assert evidence.written() == evidence.every[:most]
    assert not evidence.picture.exists()
    evidence.most = 100
    assert evidence.main() == evidence.every[most:]
    assert evidence.written() == evidence.every
    assert evidence.drawn() == COLUMNS


def test_what_is_done_is_not_done_again(evidence: Evidence) -> None:
    assert evidence.main() == evidence.every
    for path in evidence.kept.rglob("*.npy"):
        path.unlink()
    assert evidence.main() == []  # another checkout: figures and picture are there
    assert evidence.drawn() == COLUMNS


def test_rows_of_which_nothing_was_kept_are_trained_again_for_a_picture(evidence: Evidence) -> None:
    evidence.main()
    evidence.picture.unlink()
    second = evidence.every[1]
    evidence.script.kept(second[0]).unlink()
    assert evidence.main() == [second]
    assert evidence.written() == evidence.every
    assert evidence.drawn() == COLUMNS
