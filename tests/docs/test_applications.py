"""The commands of the page: their settings go together, and the data come as they say."""

from __future__ import annotations

import re
import shlex

import attrs
import pytest
import torch

from i2i.cli.train import arguments

SMALL = {"base_width": 1, "blocks": 0, "discriminator_width": 1, "steps": 1}


def commands(text: str) -> list[list[str]]:
    blocks = re.findall(r"^```bash\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


@pytest.fixture
def trainings(page, images, tmp_path, monkeypatch):
    """The arguments of the page's trainings; the folders that they name are there."""
    found = [words[2:] for words in commands(page("docs/applications.md").text) if words[1] == "train"]
    names = {words[words.index(name) + 1] for words in found for name in ("--a", "--b")}
    images(tmp_path, *sorted(names), size=40, count=1)
    monkeypatch.chdir(tmp_path)
    return found


def test_each_training_begins(trainings):
    assert len(trainings) == 6
    for recipe, *flags in trainings:
        entry, settings, run = arguments(recipe, flags, resume=False)
        built = entry.build(attrs.evolve(settings, **SMALL), run)
        batch = next(iter(built.data()))
        assert {images.shape[-2:] for images in batch} == {torch.Size([settings.crop_size] * 2)}, flags
        assert min(settings.adversarial_weight, settings.cycle_weight_a, settings.identity_weight) > 0, flags


def test_each_run_that_is_translated_with_is_trained_before(page):
    trained: dict[str, set[str]] = {}
    for _, command, *words in commands(page("docs/applications.md").text):
        if command == "train":
            trained[words[words.index("--out") + 1]] = {words[words.index(name) + 1] for name in ("--a", "--b")}
            continue
        run, source = words[:2]
        assert source in trained[run], words


def test_the_table_of_the_ablation_is_what_was_run(page):
    """Rows of the page against benchmarks/evidence/ablation.py, as text: both must be changed together."""
    rows = re.findall(
        r"^\| (cycle alone|GAN .*?|full.*?) \| (.*?) \|$", page("docs/applications.md").text, re.MULTILINE
    )
    settings = {
        name.partition(" (")[0].partition(",")[0]: set(re.findall(r"--([\w-]+) 0", text)) for name, text in rows
    }
    code = page("benchmarks/evidence/ablation.py").text
    run = {
        name: {flag.replace("_", "-") for flag in re.findall(r'"(\w+)": 0\.0', changes)}
        for name, changes in re.findall(r'^    "([\w +]+)": \{(.*)\},$', code, re.MULTILINE)
    }
    assert settings == run
    assert len(run) == 6
