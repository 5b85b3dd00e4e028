from __future__ import annotations

import re

import pytest

from i2i.testing import ContractError, check_plugin, write_images

PLUGIN = """
import i2i

@i2i.hookimpl
def register_parts(register):
    register("toy/generator", "toy_parts:generator", kind="generator")
    register("toy/discriminator", "toy_parts:discriminator", kind="discriminator")
    register("toy/layer", "toy_parts:layer", kind="layer")
    register("toy/size", "toy_parts:size", kind="term")
    register("toy/wgan", "toy_parts:critic", kind="criterion")
    register("toy/rate", "toy_parts:rate", kind="schedule")

@i2i.hookimpl
def register_recipes(register):
    register("toy", "toy_settings:Settings", "toy_recipe:build", demo="toy_recipe:demo")

@i2i.hookimpl
def register_commands(app):
    app.command("show", "toy_recipe:show", help="show it")

@i2i.hookimpl
def register_converters(register):
    register("toy", "toy_recipe:convert", help="old files")

@i2i.hookimpl
def register_observers(register):
    register("diary", "toy_recipe:observe")
"""
PARTS = """
import torch
from torch import nn
import i2i
from i2i.losses import wgan as critic

IMAGE = (2, 3, 8, 8)

class Generator(nn.Module):
    in_channels = out_channels = 3
    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, width, 1), nn.Tanh(), nn.Conv2d(width, 3, 1))
    def forward(self, image, condition=None):
        return i2i.Translation(self.layers(image))

class Discriminator(nn.Conv2d):
    def forward(self, image, condition=None):
        return i2i.Verdict((super().forward(image),))

@i2i.part(example=i2i.Example({"width": 2}, (IMAGE,)))
def generator(width=4):
    return Generator(width)

@i2i.part(example=i2i.Example({}, (IMAGE,)))
def discriminator():
    return Discriminator(3, 1, 1)

@i2i.part(example=i2i.Example({}, (IMAGE,)))
def layer():
    return nn.Conv2d(3, 3, 1)

@i2i.part(example=i2i.Example({}, (IMAGE,)))
def size(fake):
    return fake.image.square().mean()

@i2i.part(example=i2i.Example({"value": 3.0}, ()))
def rate(value):
    return lambda now: value
"""
SETTINGS = """
import attrs

@attrs.frozen
class Settings:
    '''A toy.'''

    steps: int = 9
    '''Batches.'''
    base_width: int = 8
    '''Channels.'''
"""
RECIPE = """
from pathlib import Path
import torch
import i2i
from toy_parts import generator

def loss(nets, batch):
    return {"size": nets.G(batch.image).image.square().mean()}

def build(settings, run):
    return i2i.Recipe(
        nets=lambda: i2i.nets(G=generator(settings.base_width)),
        step=i2i.player(lambda n: n.G, loss, torch.optim.Adam, weights={"size": 1}, lr=1e-3),
        data=lambda: i2i.data.single(IMAGES(run), batch_size=2),
        length=settings.steps,
        preview_batch=lambda: next(iter(i2i.data.single(IMAGES(run)))),
        preview=lambda nets, batch: {"made": nets.G(batch.image).image},
        models=lambda nets: {"": nets.G},
    )

def IMAGES(run):
    return run.data / "trainA"

def demo(out, seed, steps, resume):
    pass

def show(model: str, /, *, size: int = 3) -> None:
    '''Show it.

    Args:
        model: a run.
        size: in pixels.
    '''

def convert(found, name, *, bits: int = 8):
    '''Convert it.

    Args:
        bits: of each channel.
    '''
    return {}

def observe(run):
    return None
"""
MODULES = {"toy_plugin": PLUGIN, "toy_parts": PARTS, "toy_settings": SETTINGS, "toy_recipe": RECIPE}
ITEMS = [
    "imports", "toy/discriminator", "toy/generator", "toy/layer", "toy/rate", "toy/size", "toy/wgan", "recipe toy",
    "command toy show", "converter toy", "observer diary",
]  # fmt: skip


def changed(module, old, new):
    assert old in MODULES[module]
    return MODULES | {module: MODULES[module].replace(old, new)}


def test_all_that_is_registered_is_checked(install):
    install("toy", "i2i-toy", **MODULES)
    report = check_plugin("toy")
    assert list(dict.fromkeys(outcome.item for outcome in report.outcomes)) == ITEMS
    assert report.subject == "toy, i2i-toy 1.0"
    assert [(outcome.item, outcome.promise) for outcome in report.of("skipped")] == [("recipe toy", "evaluation")]
    kept = {(outcome.item, outcome.promise) for outcome in report.of("kept")}
    assert kept >= {
        ("imports", "no torch for help"), ("imports", "public names"), ("toy/generator", "saving"),
        ("toy/rate", "asked again"), ("recipe toy", "settings file"), ("recipe toy", "saving"), ("recipe toy", "demo"),
        ("recipe toy", "data go on"), ("command toy show", "help"), ("observer diary", "import"),
    }  # fmt: skip


def test_it_can_be_given_other_images(install, tmp_path):
    install("toy", "i2i-toy", **changed("toy_recipe", 'run.data / "trainA"', 'run.data / "mine"'))
    (write_images(tmp_path) / "trainA").rename(tmp_path / "mine")
    assert check_plugin("toy", data=tmp_path).of("broken") == []
    with pytest.raises(ContractError, match=r"^recipe toy, build: raises DataError: .*mine.*; it is built with tiny"):
        check_plugin("toy")


def test_a_recipe_may_read_one_image(install):
    code = 'i2i.data.find_images(run.data) if run.data.suffix else i2i.data.find_images(run.data / "nothing")'
    install("toy", "i2i-toy", **changed("toy_recipe", 'run.data / "trainA"', code))
    assert check_plugin("toy").of("broken") == []


def test_one_that_opens_an_image_itself_is_given_one_too(install):
    code = "[run.data] if run.data.open('rb') else []"
    install("toy", "i2i-toy", **changed("toy_recipe", 'run.data / "trainA"', code))
    assert check_plugin("toy").of("broken") == []


FAULTS = [
    [
        ("toy_plugin", "import i2i\n", "import i2i\nimport i2i.tree\n", r"imports, public names: .*i2i.tree \(toy"),
        ("toy_plugin", "toy_parts:layer", "toy_parts:nothing", "toy/layer, import: raises PluginError: .*nothing"),
        ("toy_parts", "lambda now: value", "lambda now: str(value)", "toy/rate, values: gives '3.0' for batch 0"),
        ("toy_parts", "square().mean()", "square()", r"toy/size, value: returns \(2, 3, 8, 8\), not a scalar"),
        ("toy_parts", "as critic", "as real\ncritic = i2i.losses.Criterion(real.generator, real.generator)",
         "toy/wgan, values: raises TypeError: "),
        ("toy_settings", "'''Channels.'''", "", "recipe toy, help: no help for --base-width"),
        ("toy_recipe", "size: in pixels", "length: in pixels", "command toy show, help: no help for size"),
        ("toy_recipe", "*, bits: int", "*, bits", "converter toy, help: no type for bits"),
        ("toy_recipe", "observe(run)", "observe()", "observer diary, import: toy_recipe:observe must be a function"),
    ],
    [
        ("toy_settings", "import attrs", "import attrs, torch", "imports, no torch for help: importing toy_settings"),
        ("toy_parts", '({"value": 3.0}', "({}", "toy/rate, example: raises TypeError: .*missing 1 required"),
        ("toy_settings", "base_width: int = 8", "base_width: int = 8.0", "recipe toy, settings file: the defaults"),
        ("toy_recipe", "def demo(", "demo = 3\ndef other(", "recipe toy, demo: toy_recipe:demo must be a function"),
        ("toy_recipe", "def observe", "def watch", "observer diary, import: raises PluginError: .*observe"),
    ],
    [("toy_settings", "@attrs.frozen", "", "recipe toy, import: raises PluginError: .* must be an attrs class")],
    [("toy_recipe", "data=lambda", "data=lambda x", "recipe toy, build: raises TypeError: .*; it is built with tiny")],
    [("toy_recipe", "length=settings.steps", "length=0", "recipe toy, build: has length 0; it must be")],
    [("toy_recipe", "lr=1e-3", "lr=0.0", "recipe toy, training: no update changes what it trains")],
    [("toy_recipe", "generator(settings.base_width)", "generator(__import__('numpy').int64(8))",
      "recipe toy, saving: saved the weights only, .*; arguments must be numbers")],
]  # fmt: skip


@pytest.mark.parametrize("faults", FAULTS, ids=lambda faults: faults[0][3].partition(":")[0])
def test_all_that_is_broken_is_said_at_once(install, faults):
    modules = dict(MODULES)
    for module, old, new, _ in faults:
        assert old in modules[module]
        modules[module] = modules[module].replace(old, new)
    install("toy", "i2i-toy", **modules)
    with pytest.raises(ContractError) as caught:
        check_plugin("toy")
    lines = str(caught.value).splitlines()
    if len(faults) > 1:
        assert lines.pop(0) == f"{len(faults)} promises broken:"
    assert len(lines) == len(faults)
    for line, (*_, message) in zip(lines, faults, strict=True):
        assert re.match(message, line.strip()), line


def test_a_plugin_must_be_installed(install):
    install("toy", "i2i-toy", **MODULES)
    with pytest.raises(ContractError) as caught:
        check_plugin("toi")
    assert str(caught.value) == (
        "no plugin 'toi' is installed, did you mean 'toy'?; install it (pip install -e .) and see that its entry point "
        "of the group i2i is named 'toi'"
    )


def test_a_broken_plugin_says_what_is_wrong(install):
    install("toy", "i2i-toy", **changed("toy_plugin", "def register_parts", "def register_part"))
    with pytest.raises(
        ContractError, match=r"^plugin 'toy' is broken: .*'register_part' is unknown.*; `i2i plugins` shows"
    ):
        check_plugin("toy")


def test_a_name_belongs_to_one_distribution(install):
    install("toy", "i2i-toy", **MODULES)
    code = (
        "import i2i\n\n@i2i.hookimpl\ndef register_observers(register):\n    register('diary', 'other_plugin:build')\n"
    )
    install("other", "i2i-other", other_plugin=code)
    for name in ("toy", "other"):
        with pytest.raises(
            ContractError, match="observer 'diary' is registered by i2i-other and i2i-toy; uninstall one"
        ):
            check_plugin(name)
    install("toy", "i2i-again", again_plugin="")
    with pytest.raises(
        ContractError, match="plugin 'toy' is a name of i2i-again and i2i-toy: uninstall one of them, or"
    ):
        check_plugin("toy")
