"""Recipes of several stages, and the data of recipes."""

from __future__ import annotations

import itertools

import attrs
import pytest
import torch
from torch import nn

import i2i
from i2i import Recipe
from i2i.recipes import Span
from i2i.testing import ContractError, check_recipe, tiny
from i2i.testing.contract import Checks
from i2i.testing.recipes import examine_data


def in_two_stages(fault="", *, later=()):
    """A recipe with a net for each of two stages, one model of both, random losses; only the second has ``later``."""

    def loss(nets, batch):
        more = {name: nets.G.bias.square().sum() for name in (later if before else ())}
        return {"size": nets.G(batch.image + torch.randn_like(batch.image)).square().mean(), **more}

    def after(nets):
        if fault == "moves what is finished" and before:
            before[0].bias.data.add_(1)

    def grow(k, finished):
        if k == 0:
            before.clear()
        else:
            before.append(finished[0].G)
        if fault == "forgets" and k:
            grown.append(k)
            finished[0].G.bias.data.fill_(len(grown))
        weights = dict.fromkeys(("size", *later) if k else ("size",), 1.0)
        step = i2i.player(lambda n: n.G, loss, torch.optim.Adam, weights=weights, lr=0.1, after=after)
        nets = i2i.nets(G=nn.Conv2d(1, 1, 1))
        if k:
            nets.G.load_state_dict(finished[0].G.state_dict())
        return i2i.Stage(nets, step)

    grown, before = [], []
    batch = i2i.Single(torch.ones(1, 1, 4, 4))
    return Recipe(
        nets=lambda: None,
        step=i2i.staged(grow, [2, 2]),
        data=lambda: [batch],
        length=4,
        preview_batch=lambda: batch,
        preview=lambda nets, batch: {"image": batch.image},
        models=lambda nets: {"": nn.Sequential(*[stage.G for stage in (*nets.finished, nets.current)])},
        stages=[Span(2, 1.0), Span(2, 1.0)],
    )


def test_a_model_may_be_made_of_the_nets_of_stages():
    assert check_recipe(in_two_stages()).of("broken") == []


def test_stages_may_have_other_terms():
    assert check_recipe(in_two_stages(later=("bias",))).of("broken") == []


def test_a_stage_keeps_its_terms():
    recipe = in_two_stages()

    def update(nets, state, batch, turn):
        state, metrics = recipe.step.update(nets, state, batch, turn)
        return state, metrics | ({"more": metrics["size"]} if turn.now > 2 else {})

    with pytest.raises(ContractError, match="training: the names of its metrics change: more; a loss must"):
        check_recipe(recipe._replace(step=recipe.step._replace(update=update)))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("forgets", "resume: goes on otherwise from what was saved"),
        ("moves what is finished", "what an update changes: an update changes finished.0.G.bias, which"),
    ],
)
def test_stages_are_watched(fault, message):
    with pytest.raises(ContractError, match=message):
        check_recipe(in_two_stages(fault))


class Batches:
    """Numbers from a position on."""

    def __init__(self, begin=0, saves=True):
        self.position, self.saves = begin, saves

    def __iter__(self):
        while self.position < 100:
            self.position += 1
            yield (torch.tensor([self.position]),)

    def state_dict(self):
        return {"position": self.position if self.saves else 0}

    def load_state_dict(self, state):
        self.position = state["position"]


def examined(data):
    checks = Checks("recipe")
    with checks.item("recipe"):
        examine_data(checks, lambda: in_two_stages()._replace(data=data))
    return checks.report()


def test_data_come_again_and_go_on():
    assert [outcome.promise for outcome in examined(Batches).of("kept")] == ["data by seed", "data go on"]
    (skipped,) = examined(lambda: [(torch.zeros(1),)]).of("skipped")
    assert skipped.reason == "they have no state_dict(), so a resumed run winds them forward"


def test_data_must_come_again():
    numbers = itertools.count()
    with pytest.raises(
        ContractError, match=r"data by seed: data\(\) gives other batches when it is built again: derive"
    ):
        examined(lambda: [(torch.tensor([next(numbers)]),)])


@pytest.mark.parametrize("data", [list, lambda: iter([(torch.zeros(1),)])])
def test_data_must_have_batches_whenever_they_are_read(data):
    with pytest.raises(
        ContractError, match="data by seed: data.. has no batches, or none the second time: return what"
    ):
        examined(data)


def test_data_must_go_on():
    with pytest.raises(
        ContractError, match=r"data go on: data\(\) goes on elsewhere once saved: state_dict\(\) must hold"
    ):
        examined(lambda: Batches(saves=False))


def test_settings_are_made_small():
    @attrs.frozen
    class Staged:
        steps: tuple[int, ...] = ()
        blocks: int = 9
        other: float = 1.5

    assert tiny(Staged) == Staged(steps=(3,), blocks=1)


def test_settings_of_other_types_or_bounds_stay_as_they_are():
    @attrs.frozen
    class Fixed:
        load_size: int = attrs.field(default=64, validator=attrs.validators.ge(16))
        crop_size: tuple[int, int] = (8, 12)
        dropout: bool = True
        perceptual: float = 2.5
        blocks: int = attrs.field(default=6, validator=attrs.validators.in_((6, 9)))
        downs: int | None = None

    assert tiny(Fixed) == Fixed(load_size=18, downs=2)


def test_settings_that_belong_together_are_made_small():
    @attrs.frozen
    class Bound:
        load_size: int = 64
        crop_size: int = 32

        def __attrs_post_init__(self):
            if self.crop_size > self.load_size:
                raise ValueError("the crop is too large")

    assert tiny(Bound) == Bound(load_size=18, crop_size=16)
