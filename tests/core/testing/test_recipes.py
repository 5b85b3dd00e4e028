"""Recipes that break one promise each."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

import i2i
from i2i import Recipe, Single
from i2i.recipes import Evaluation, Span
from i2i.testing import ContractError, check_recipe

COUNT = itertools.count(1)


def batch(value=1.0):
    return Single(torch.full((2, 1, 4, 4), value))


def make_nets():
    nets = i2i.nets(G=nn.Conv2d(1, 1, 1), D=nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)))
    nets.D.requires_grad_(False).eval()
    return nets


def size(nets, batch):
    return {"size": nets.G(batch.image + torch.rand_like(batch.image)).square().mean()}


def player(loss=size, *, lr=0.1, after=None, optimizer=torch.optim.Adam):
    return i2i.player(lambda n: n.G, loss, optimizer, weights={"size": 1}, lr=lr, after=after)


def recipe(**changes):
    sound = Recipe(
        nets=make_nets,
        step=player(),
        data=lambda: [batch(), batch(2.0)],
        length=4,
        preview_batch=batch,
        preview=lambda nets, batch: {"image": nets.G(batch.image)},
        models=lambda nets: {"": nets.G},
        evaluation=Evaluation(
            batches=lambda: [batch()], results=lambda nets, batch: {"": (nets.G(batch.image), batch.image)}, paired=True
        ),
    )
    return sound._replace(**changes)


def test_what_is_checked_is_reported():
    report = check_recipe(recipe())
    assert [outcome.promise for outcome in report.of("kept")] == [
        "form", "data", "training", "what an update changes", "run by seed", "resume", "bf16", "preview", "models",
        "evaluation",
    ]  # fmt: skip
    reason = "no registered part made the model, so only its weights are saved"
    assert [(outcome.promise, outcome.reason) for outcome in report.of("skipped")] == [("saving", reason)]
    without = check_recipe(recipe(evaluation=None)).of("skipped")
    assert ("evaluation", "it has none, so a run cannot be validated") in [(o.promise, o.reason) for o in without]
    none_held_out = Evaluation(batches=lambda: None, results=lambda nets, batch: {}, paired=True)
    assert check_recipe(recipe(evaluation=none_held_out)).of("broken") == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": 0}, "form: has length 0; it must be a whole number of batches, 1 or more"),
        ({"length": 2.5}, "form: has length 2.5"),
        (
            {"stages": [Span(2, 1.0), Span(3, 1.0)]},
            "form: has stages of 5 batches in all, but length 4: make them agree",
        ),
        ({"data": list}, r"data: data\(\) has no batches: return what can be iterated again"),
        ({"data": lambda: [(batch(), "a.png")]}, "data: a batch holds a str: batches are NamedTuples of tensors"),
        (
            {"data": lambda: [(batch(), torch.zeros(3))]},
            r"data: the tensors of a batch hold \[2, 3\] samples: each must have the samples of the batch",
        ),
        (
            {"data": lambda: [(batch(), (torch.zeros(3), torch.zeros(4)))]},
            r"data: the tensors of a batch hold \[3, 4\] samples",
        ),
        ({"data": lambda: [Single(torch.zeros(()))]}, r"data: the tensors of a batch hold \[0\] samples"),
        ({"nets": lambda: i2i.nets(G=nn.ReLU())}, "training: raises CompositionError: .*; it must train for three"),
        ({"step": player(lr=0.0)}, r"training: no update changes what it trains: is the learning rate 0\?"),
        ({"preview": lambda nets, batch: {}}, r"preview: preview\(\) must return images by name, a column for each"),
        ({"preview": lambda nets, batch: [batch.image]}, r"preview: preview\(\) must return images by name"),
        (
            {"preview": lambda nets, batch: {"A": batch.image[0]}},
            r"preview: preview\(\) must return images by name: A is no tensor \(b, c, h, w\)",
        ),
        (
            {"preview": lambda nets, batch: {"A": batch.image / 0}},
            r"preview: preview\(\) returns images that are not finite: A; is something divided by 0\?",
        ),
        ({"models": lambda nets: {"": nets.H}}, r"models: raises AttributeError: .*H"),
        (
            {"models": lambda nets: nets.G},
            r"models: models\(\) returns a Conv2d: return the models by name, .* {'': net}",
        ),
        ({"models": lambda nets: {}}, r"models: models\(\) must name nets that are trained, .*: it names none"),
        ({"models": lambda nets: {"a2b": nets.G.forward}}, r"models: models\(\): a2b is a method, not an nn.Module"),
        (
            {"models": lambda nets: {"": nn.Sequential(nets.G, nn.Conv2d(1, 1, 1))}},
            r"models: models\(\) must name nets that are trained, .*: the model has weights of its own \(1.weight",
        ),
        ({"models": lambda nets: {"": nn.ReLU()}}, r"models: .*: the model has weights of its own \(none at all\)"),
    ],
)
def test_a_broken_recipe_is_found(changes, message):
    with pytest.raises(ContractError, match=f"^recipe, {message}"):
        check_recipe(recipe(**changes))


def test_joined_batches_may_differ_in_size():
    joined = (batch(), Single(torch.ones(3, 1, 4, 4)))
    report = check_recipe(recipe(data=lambda: [joined], step=player(lambda nets, x: size(nets, x[1]))))
    assert report.of("broken") == []


def test_a_recipe_is_a_recipe():
    with pytest.raises(
        ContractError, match=r"^recipe, form: build\(\) returns a dict, not a Recipe: build\(settings, run"
    ):
        check_recipe({})


def infinite_later(nets, batch):
    return {"size": size(nets, batch)["size"] / (2 - batch.image.mean())}


def counted(nets, batch):
    return {"size": size(nets, batch)["size"] * next(COUNT)}


def low_precision(nets, batch):
    made = nets.G(batch.image)
    return {"size": made.square().mean() + 0 / (made.detach() * 0 + 1.001 - 1).mean()}


def mixed_types(nets, batch):
    return {"size": batch.image.lerp(nets.G(batch.image), 0.5).square().mean()}


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (infinite_later, "training: its metrics are not finite: .*; look for divisions"),
        (counted, "run by seed: a second run from one seed has other metrics: draw from the generators of torch"),
        (low_precision, "bf16: size, total is not finite in bf16: use at_least_float32 of i2i.losses"),
        (mixed_types, "bf16: raises RuntimeError: .*; use at_least_float32 of i2i.losses on what nets make"),
    ],
)
def test_a_broken_loss_is_found(loss, message):
    with pytest.raises(ContractError, match=message):
        check_recipe(recipe(step=player(loss)))


def test_metrics_keep_their_names():
    step = player()

    def update(nets, state, batch, turn):
        state, metrics = step.update(nets, state, batch, turn)
        return state, metrics if turn.now == 0 else {**metrics, "more": metrics["size"]}

    with pytest.raises(ContractError, match="^recipe, training: the names of its metrics change: more; a loss must"):
        check_recipe(recipe(step=step._replace(update=update)))


def moves_the_other(nets):
    nets.D[0].weight.add_(1)


def moves_a_buffer(nets):
    nets.D[1].running_mean.add_(1)


def changes_a_flag(nets):
    nets.D[0].weight.requires_grad_(True)


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (
            moves_the_other,
            r"an update changes D.0.weight, which step.trains\(nets\) does not hold: name all that a player",
        ),
        (moves_a_buffer, r"an update changes D.1.running_mean, which step.trains\(nets\) does not hold: .*eval\(\)"),
        (
            changes_a_flag,
            r"an update leaves another requires_grad at D.0.weight: use .detach\(\), or put the flag back",
        ),
    ],
)
def test_an_update_changes_what_it_trains_only(after, message):
    with pytest.raises(ContractError, match=f"^recipe, what an update changes: {message}"):
        check_recipe(recipe(step=player(after=after)))


class Forgetful(torch.optim.SGD):
    """Its momentum is not saved."""

    def state_dict(self):
        return {**super().state_dict(), "state": {}}


def test_what_is_saved_must_be_enough_to_go_on():
    def with_momentum(parameters, lr):
        return Forgetful(parameters, lr=lr, momentum=0.9)

    with pytest.raises(
        ContractError, match=r"^recipe, resume: goes on otherwise from what was saved: keep all that chan"
    ):
        check_recipe(recipe(step=player(optimizer=with_momentum)))


@pytest.mark.parametrize(
    ("results", "message"),
    [
        (
            lambda nets, batch: {"a2b": batch.image},
            r"a2b is a Tensor: results\(\) must return \{name: \(made, real\)\}",
        ),
        (lambda nets, batch: {"": (batch.image, 1)}, r"results\(\) must return images by name: real is no tensor"),
        (
            lambda nets, batch: {"": (batch.image[..., 1:], batch.image)},
            r"made is \(2, 1, 4, 3\), but real \(2, 1, 4, 4\): with paired they must agree",
        ),
    ],
)
def test_a_broken_evaluation_is_found(results, message):
    evaluation = Evaluation(batches=lambda: [batch()], results=results, paired=True)
    with pytest.raises(ContractError, match=f"^recipe, evaluation: {message}"):
        check_recipe(recipe(evaluation=evaluation))
