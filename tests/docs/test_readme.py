from __future__ import annotations

import re

import torch
from PIL import Image

from i2i.cli import main
from i2i.photographs import LICENCES


def test_it_is_short(page):
    assert len(page("README.md").text.splitlines()) <= 150


def test_the_example_runs_as_written(page, images, tmp_path, monkeypatch):
    (code,) = page("README.md").blocks("python")
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 22
    images(tmp_path, "photos", "icons")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)  # as a reader would
    assert names["run"].batches == 20  # type: ignore[attr-defined]
    assert main(["translate", "mix-model", "photos", "--out", "translated", "--device", "cpu"]) == 0
    assert Image.open("translated/0.png").size == (84, 80)


def test_every_photograph_has_its_licence(page):
    rows = re.findall(r"^\| (\w+) \| scikit-\w+ \| (.*) \|$", page("README.md").text, re.MULTILINE)
    assert dict(rows) == dict(LICENCES)


def test_the_licence_is_apache(page):
    assert "Apache License" in page("LICENSE").text
    assert "Version 2.0, January 2004" in page("LICENSE").text


def test_no_figure_is_missing(page):
    assert "TO FILL" not in page("README.md").text
