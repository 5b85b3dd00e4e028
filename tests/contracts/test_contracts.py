"""Everything that is registered keeps the promises of its kind."""

from __future__ import annotations

import shutil
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import i2i
import i2i.testing as kit
from i2i.losses import Criterion
from i2i.parts import Example, part
from i2i.recipes import Recipe, Span
from i2i.registry import registry
from i2i.settings import RunSettings
from i2i.values import Translation, Verdict

PARTS = registry().tables.parts.all()
RECIPES = registry().tables.recipes.all()


@pytest.mark.parametrize("entry", PARTS, ids=lambda entry: entry.name)
def test_part_keeps_its_contract(entry):
    loaded = entry.load()
    if entry.kind == "schedule":
        kit.check_schedule(loaded(**loaded.example.arguments))
    else:
        getattr(kit, f"check_{entry.kind}")(loaded)


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    draws = np.random.default_rng(0)
    for domain in ("trainA", "trainB", "testA", "testB"):
        (root / domain).mkdir()
        for index in range(4):
            Image.fromarray(draws.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(root / domain / f"{index}.png")
        shutil.copy(root / domain / "0.png", root / f"{domain}.png")  # for recipes that read one folder of images
    for kind in ("label", "inst"):  # for recipes that read maps of ids beside the images
        (root / f"train_{kind}").mkdir()
        for index in range(4):
            ids = Image.fromarray(draws.integers(0, 35, (20, 24), dtype=np.uint8))
            ids.save(root / f"train_{kind}" / f"{index}.png")
    shutil.copytree(root / "trainA", root / "train_img")
    return root


@pytest.mark.parametrize("entry", RECIPES, ids=lambda entry: entry.name)
def test_recipe_keeps_its_contract(entry, photographs):
    kit.check_recipe(entry.build(kit.tiny(entry.settings()), RunSettings(data=photographs)))


def test_something_is_registered():
    assert {entry.kind for entry in PARTS} >= {"generator", "discriminator", "criterion", "term", "schedule"}
    assert "cyclegan" in {entry.name for entry in RECIPES}


def test_settings_of_stages_are_made_small_too():
    @attrs.frozen
    class Staged:
        steps: tuple[int, ...] = ()
        blocks: int = 9

    assert kit.tiny(Staged) == Staged(steps=(3,), blocks=1)


# The kit itself can fail: parts that break one promise each.


class _Net(nn.Module):
    def __init__(self, kind, fault):
        super().__init__()
        self.layer, self.kind, self.fault = nn.Conv2d(3, 3, 1), kind, fault
        self.unused = nn.Conv2d(1, 1, 1) if fault == "unused" else None

    def forward(self, image, condition=None):
        if self.fault == "in-place":
            image.mul_(0.5)
        made = self.layer(image)
        if self.fault == "nan":
            made = made / 0
        if self.fault == "mixes":
            made = made - made.mean(0, keepdim=True)
        if self.fault == "tensor":
            return made
        if self.fault == "flat":
            made = made.flatten(1)
        return Translation(made) if self.kind == "generator" else Verdict((made,), features=self._features(made))

    def _features(self, made):
        return ((made,), (made,)) if self.fault == "scales" else ()


def _factory(kind, fault):
    @part(example=Example({}, ((2, 3, 8, 8),)))
    def net():
        return _Net(kind, fault)

    return net


@pytest.mark.parametrize(
    ("kind", "fault", "message"),
    [
        ("generator", "tensor", "returns a Tensor, not a Translation"),
        ("generator", "nan", "not finite"),
        ("generator", "flat", "not \\(b, c, h, w\\)"),
        ("generator", "in-place", "changes its input"),
        ("generator", "unused", "no gradient reaches unused.weight"),
        ("generator", "mixes", "depends on the others"),
        ("discriminator", "tensor", "not a Verdict"),
        ("discriminator", "scales", "one per scale"),
        ("discriminator", "mixes", "depends on the others"),
    ],
)
def test_the_kit_finds_a_broken_net(kind, fault, message):
    with pytest.raises(kit.ContractError, match=message):
        getattr(kit, f"check_{kind}")(_factory(kind, fault))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda x: {"features": x}, "returns a dict, not a"),
        (lambda x: (x, x[:1]), "must return tensors \\(b, ...\\)"),
        (lambda x: x / 0, "not finite"),
    ],
)
def test_the_kit_finds_a_broken_layer(made, message):
    class Layer(nn.Conv2d):
        def forward(self, x):
            return made(super().forward(x))

    @part(example=Example({}, ((2, 3, 8, 8),)))
    def layer():
        return Layer(3, 3, 1)

    with pytest.raises(kit.ContractError, match=message):
        kit.check_layer(layer)


def test_the_kit_finds_a_part_without_example():
    with pytest.raises(kit.ContractError, match="carries no example"):
        kit.check_generator(lambda: _Net("generator", ""))


@pytest.mark.parametrize(
    ("criterion", "message"),
    [
        (Criterion(lambda v: v.logits[0].mean(), lambda r, f: f.logits[0].mean()), "pass as real"),
        (Criterion(lambda v: -v.logits[0].mean(), lambda r, f: r.logits[0].mean()), "telling real from fake"),
        (Criterion(lambda v: -v.logits[0].mean(), lambda r, f: f.logits[0].mean()), "sum over scales"),
    ],
)
def test_the_kit_finds_a_broken_criterion(criterion, message):
    with pytest.raises(kit.ContractError, match=message):
        kit.check_criterion(criterion)


def test_the_kit_finds_a_broken_term():
    @part(example=Example({}, ((1, 3, 4, 4), (1, 3, 4, 4))))
    def blind(source, fake):
        return torch.zeros(())

    @part(example=Example({}, ((1, 3, 4, 4), (1, 3, 4, 4))))
    def shaped(source, fake):
        return source - fake.image

    with pytest.raises((kit.ContractError, RuntimeError), match=r"no gradient|does not require grad"):
        kit.check_term(blind)
    with pytest.raises(kit.ContractError, match="scalar"):
        kit.check_term(shaped)


def test_the_kit_finds_a_broken_schedule():
    values = iter(range(10**6))
    with pytest.raises(kit.ContractError, match="asked again"):
        kit.check_schedule(lambda now: float(next(values)))


def _two_stages(fault=""):
    """A recipe with a net for each of two stages, of which it makes one model; its losses draw at random."""

    def loss(nets, batch):
        return {"size": nets.G(batch.image + torch.randn_like(batch.image)).square().mean()}

    def grow(k, finished):
        if fault == "forgets" and k:
            grown.append(k)
            finished[0].G.bias.data.fill_(len(grown))
        step = i2i.player(lambda n: n.G, loss, torch.optim.Adam, weights={"size": 1}, lr=0.1)
        nets = i2i.nets(G=nn.Conv2d(1, 1, 1))
        if k:
            nets.G.load_state_dict(finished[0].G.state_dict())
        return i2i.Stage(nets, step)

    def models(nets):
        made = [stage.G for stage in (*nets.finished, nets.current)]
        return {"": nn.Sequential(*made, *[nn.Conv2d(1, 1, 1)] * (fault == "foreign"))}

    grown = []
    batch = i2i.Single(torch.ones(1, 1, 4, 4))
    return Recipe(
        nets=lambda: None,
        step=i2i.staged(grow, [2, 2]),
        data=lambda: [batch],
        length=4,
        preview_batch=lambda: batch,
        preview=lambda nets, batch: {"image": batch.image},
        models=models,
        stages=[Span(2, 1.0), Span(3 if fault == "longer" else 2, 1.0)],
    )


def test_the_kit_accepts_a_model_made_of_the_nets_of_stages():
    kit.check_recipe(_two_stages())


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("longer", "has stages of 5 batches in all, but length 4"),
        ("foreign", "models\\(\\) must name nets that are trained"),
        ("forgets", "goes on otherwise from what was saved"),
    ],
)
def test_the_kit_finds_a_broken_recipe(fault, message):
    with pytest.raises(kit.ContractError, match=message):
        kit.check_recipe(_two_stages(fault))
