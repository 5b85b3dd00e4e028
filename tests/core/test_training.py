"""``train`` as a library: what demos call."""

from __future__ import annotations

import pytest

from i2i.errors import DataError, RunError, SettingsError
from i2i.models import load
from i2i.registry import recipe
from i2i.settings import RunSettings
from i2i.training import train

CODE = """
import attrs, torch
from torch import nn
import i2i, i2i.errors

@attrs.frozen
class Settings:
    steps: int = 3
    width: int = 2
    bad: int = -1

class Batches:  # four, one of which may hold a bad image, which is left out when it may be
    def __init__(self, settings, run):
        self.numbers, self.bad = [n for n in range(4) if not (run.skip_bad and n == settings.bad)], settings.bad

    def __iter__(self):
        for number in self.numbers:
            if number == self.bad:
                raise i2i.errors.DataError(f"{number}.png is bad")
            yield i2i.Single(torch.ones(1, 1, 2, 2))

made = []

def build(settings, run):
    def nets():
        made.append(nn.Conv2d(1, settings.width, 1))
        return i2i.nets(G=made[-1])
    step = i2i.player(lambda n: n.G, lambda n, x: {"size": n.G(x.image).square().mean()}, torch.optim.SGD,
                      weights={"size": 1}, lr=0.1)
    return i2i.Recipe(nets=nets, step=step, data=lambda: Batches(settings, run), length=settings.steps,
                      preview=lambda nets, batch: {"input": batch.image}, models=lambda nets: {},
                      preview_batch=lambda: i2i.Single(torch.ones(1, 1, 2, 2)))
"""
PLUGIN = """
import i2i
@i2i.hookimpl
def register_recipes(register): register("shrink", "shrink_code:Settings", "shrink_code:build")
"""


@pytest.fixture
def settings(install):
    """The class of settings of a toy recipe ``shrink``."""
    install("shrink", "x-shrink", shrink_plugin=PLUGIN, shrink_code=CODE)
    return recipe("shrink").settings()


def _run(tmp_path, name="run", **changes):
    return RunSettings(**{"out": tmp_path / name, "device": "cpu", "precision": "fp32"} | changes)


def test_one_seed_gives_the_same_weights_again_and_another_others(settings, tmp_path):
    weights = [
        train("shrink", settings(), _run(tmp_path, f"run{index}", seed=seed)).nets.G.weight
        for index, seed in enumerate((3, 3, 4))
    ]
    assert weights[0].equal(weights[1])
    assert not weights[0].equal(weights[2])


def test_policy_reaches_the_engine(settings, tmp_path):
    run = train("shrink", settings(), _run(tmp_path, average=0.5))
    assert run.batches == 3
    assert not run.average.G.weight.equal(run.nets.G.weight)


def test_no_samples_when_none_are_wanted(settings, tmp_path):
    train("shrink", settings(), _run(tmp_path, sample_every=0))
    assert (tmp_path / "run" / "metrics.jsonl").is_file()
    assert not (tmp_path / "run" / "samples").exists()


def test_precision_that_is_chosen_is_said(settings, tmp_path, capsys):
    train("shrink", settings(), _run(tmp_path, precision="auto"))
    assert " (auto): " in capsys.readouterr().out


def test_memory_is_said_before_training(settings, tmp_path, capsys):
    train("shrink", settings(), _run(tmp_path))
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("training shrink on cpu")
    assert second.startswith("memory: about 0.")
    assert second.endswith(" free on cpu")


def test_a_folder_is_needed(settings):
    with pytest.raises(SettingsError, match="--out RUN"):
        train("shrink", settings(), RunSettings())


def test_a_resumed_run_must_have_the_same_settings_and_recipe(settings, tmp_path):
    train("shrink", settings(steps=1), _run(tmp_path))
    with pytest.raises(RunError, match="--width is 5, but this run was begun with 2"):
        train("shrink", settings(width=5), _run(tmp_path, resume=True))
    assert train("shrink", settings(steps=2), _run(tmp_path, resume=True)).batches == 2
    path = tmp_path / "run" / "settings.toml"
    path.write_text(path.read_text().replace('"shrink"', '"grow"'))
    with pytest.raises(RunError, match="is a run of 'grow', not of 'shrink'"):
        train("shrink", settings(), _run(tmp_path, resume=True))


def test_a_bad_image_in_mid_run_is_told_with_the_way_on(settings, tmp_path):
    with pytest.raises(DataError) as caught:
        train("shrink", settings(bad=2), _run(tmp_path))
    command = f"i2i train --resume --skip-bad --out {tmp_path / 'run'}"
    assert str(caught.value) == f"2.png is bad; 2 batches are saved, go on with: {command}"
    assert train("shrink", settings(bad=2), _run(tmp_path, resume=True, skip_bad=True)).batches == 3


def test_after_a_bad_first_image_the_same_folder_can_be_used_anew(settings, tmp_path):
    every = {"log_every": 1, "sample_every": 1, "checkpoint_every": 1}
    for _ in range(2):
        with pytest.raises(DataError, match=r"^0.png is bad$"):
            train("shrink", settings(bad=0), _run(tmp_path, **every))
    assert train("shrink", settings(bad=0), _run(tmp_path, skip_bad=True, **every)).batches == 3


def test_a_resume_of_nothing(settings, tmp_path):
    with pytest.raises(RunError, match="is no run to resume"):
        train("shrink", settings(), _run(tmp_path, resume=True))
    assert not (tmp_path / "run").exists()


PYRAMID_PLUGIN = """
import i2i
@i2i.hookimpl
def register_parts(register): register("pyramid/net", "pyramid_code:net", kind="generator")
@i2i.hookimpl
def register_recipes(register): register("pyramid", "pyramid_code:Settings", "pyramid_code:build")
@i2i.hookimpl
def register_commands(app):
    app.command("sample", "pyramid_code:sample", help="make images")
    app.command("animate", "pyramid_code:animate", help="make them move")
"""
PYRAMID_CODE = """
import attrs, torch
from torch import nn
import i2i
from i2i.recipes import Span

@attrs.frozen
class Settings:
    steps: int = 3

class Net(nn.Module):
    takes = "noise"
    def __init__(self, scales):
        super().__init__()
        self.scales = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(scales)))
    def forward(self, image, condition=None):
        return i2i.Translation(self.scales(image))

@i2i.part(example=i2i.Example({"scales": 2}, ((1, 3, 4, 4),)))
def net(scales): return Net(scales)

def grow(k, finished):
    step = i2i.player(lambda n: n.G, lambda n, x: {"size": n.G(x.image + torch.rand(())).square().mean()},
                      torch.optim.Adam, weights={"size": 1}, lr=0.1)
    return i2i.Stage(i2i.nets(G=nn.Conv2d(3, 3, 1)), step)

def model(nets):
    made = net(len(nets.finished) + 1)
    made.scales = nn.Sequential(*(stage.G for stage in (*nets.finished, nets.current)))
    return made

def build(settings, run):
    batch = i2i.Single(torch.ones(1, 3, 4, 4))
    return i2i.Recipe(nets=lambda: None, step=i2i.staged(grow, [settings.steps] * 3), data=lambda: [batch],
                      length=3 * settings.steps, preview_batch=lambda: batch, models=lambda nets: {"": model(nets)},
                      preview=lambda nets, batch: {"made": model(nets)(batch.image).image},
                      stages=[Span(settings.steps, float(4 ** k), "scale") for k in range(3)])
"""


@pytest.fixture
def staged_settings(install):
    """The class of settings of a toy recipe ``pyramid``: three stages, of which one model of noise is made."""
    install("pyramid", "x-pyramid", pyramid_plugin=PYRAMID_PLUGIN, pyramid_code=PYRAMID_CODE)
    return recipe("pyramid").settings()


def _numbers(folder):
    return sorted(int(path.stem.split("-")[1]) for path in folder.iterdir())


def test_a_run_with_stages_shows_and_saves_each_and_counts_work(staged_settings, tmp_path, capsys):
    train("pyramid", staged_settings(), _run(tmp_path))
    assert _numbers(tmp_path / "run" / "samples") == _numbers(tmp_path / "run" / "checkpoints") == [3, 6, 9]
    said, shown = capsys.readouterr()
    assert said.splitlines()[1].startswith("memory: about 0.")
    model = tmp_path / "run" / "model"
    assert said.splitlines()[-1] == f"saved for use: {model}; i2i pyramid --help lists what it can make"
    assert "scale 3/3, batch 3/3: 100%" in shown
    assert len(load(model).scales) == 3


def test_a_run_with_stages_is_as_long_as_it_was_begun(staged_settings, tmp_path, capsys):
    train("pyramid", staged_settings(steps=3), _run(tmp_path))
    capsys.readouterr()
    train("pyramid", staged_settings(), _run(tmp_path, resume=True))
    assert "is already at 9 of 9 batches\n" in capsys.readouterr().out
    with pytest.raises(RunError, match="^--steps is 4, but this run was begun with 3; leave --steps out"):
        train("pyramid", staged_settings(steps=4), _run(tmp_path, resume=True))
    assert "steps = 3" in (tmp_path / "run" / "settings.toml").read_text()
    assert _numbers(tmp_path / "run" / "checkpoints") == [3, 6, 9]
