"""Checks of recipes."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import attrs
from torch import Tensor, nn

from i2i.checkpoint import read_tree, restore_rng, rng_state, snapshot, write_tree
from i2i.observers import evaluating
from i2i.parts import Spec
from i2i.policy import Policy
from i2i.recipes import Evaluation, Recipe
from i2i.step import check_trained, modules_of
from i2i.testing.contract import Checks, Report, require, seeded
from i2i.testing.modules import reloaded
from i2i.testing.updates import Training, Watch, same_trees
from i2i.tree import leaves

_NO_BATCHES = "return what can be iterated again and again, or raise a DataError where there are too few images"


def check_recipe(recipe: Recipe) -> Report:
    """Check a recipe, best built with `tiny` settings, by a few updates.

    It trains, in bf16 too; two runs from one seed are the same; an update changes nothing but what the step trains; it
    goes on from what was saved as if undisturbed. Of one with stages, the second batch is the first one of the second
    stage.

    Returns:
        What was checked, and what was not and why.

    Raises:
        ContractError: it breaks a promise of `i2i.recipes.Recipe`; all that it breaks are listed.
    """
    checks = Checks("recipe")
    with checks.item("recipe"):
        examine_recipe(checks, recipe)
    return checks.report()


def tiny(settings: type[Any]) -> Any:
    """Return settings made small by the common vocabulary, for those of its fields that the class has.

    A field of another type than the common one, or one that refuses the small value, keeps its default.
    """
    small: dict[str, Any] = {
        "steps": 3, "batch_size": 2, "load_size": 18, "crop_size": 16, "base_width": 4, "blocks": 1, "downs": 2,
        "dropout": 0.0, "discriminator_width": 4, "discriminator_layers": 1, "max_width": 4, "min_size": 12,
        "max_size": 16, "perceptual": False,
    }  # fmt: skip
    for_each = {"steps": (3,), "discriminator_layers": (3,)}  # of each stage, of each judge
    defaults = {name: field.default for name, field in attrs.fields_dict(settings).items()}
    small |= {name: value for name, value in for_each.items() if isinstance(defaults.get(name), tuple)}
    accepted: dict[str, Any] = {}
    for name, value in (*small.items(), *small.items()):  # twice: one may be small only once another is
        if name not in defaults or _kind(defaults[name]) not in (_kind(value), type(None)):
            continue
        with suppress(Exception):  # whatever a validator raises
            settings(**accepted | {name: value})
            accepted[name] = value
    return settings(**accepted)


def _kind(value: object) -> type[Any]:
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)


def examine_recipe(checks: Checks, recipe: Recipe) -> None:
    """Check a recipe, promise by promise."""
    with checks.promise("form", needed=True):
        check_form(recipe)
    with checks.promise("data", needed=True, mend="it must have a few batches of small images"), seeded():
        batches = _batches(recipe)
    with checks.promise("training", needed=True, mend="it must train for three batches"), seeded():
        course = _Course(recipe, batches)
    with checks.promise("what an update changes"):
        require(not course.watch.broken, "; ".join(course.watch.broken))
    with checks.promise("run by seed"), seeded():
        again = Training(recipe, Policy())
        metrics = [again.update(batch, now) for batch, now in ((batches[0], 0), (batches[-1], course.later))]
        advice = "draw from the generators of torch, random and numpy only, which i2i train seeds"
        require(same_trees(metrics, course.metrics), f"a second run from one seed has other metrics: {advice}")
    with checks.promise("resume", mend="what is saved must be enough to go on"), seeded():
        _check_resumed(recipe, batches, course)
    with checks.promise("bf16", mend="use at_least_float32 of i2i.losses on what nets make"), seeded():
        made = Training(recipe, Policy(precision="bf16")).update(batches[0], 0)
        wild = [name for name, value in made.items() if not value.isfinite()]
        require(not wild, f"{', '.join(wild)} is not finite in bf16: use at_least_float32 of i2i.losses")
    nets = course.watch.training.nets
    with checks.promise("preview"), evaluating(nets):
        _check_images("preview()", recipe.preview(nets, recipe.preview_batch()))
    models: Mapping[str, nn.Module] = {}
    with checks.promise("models"):
        found = recipe.models(nets)
        _check_models(found, nets)
        models = found
    _check_saving(checks, models)
    if recipe.evaluation is None:
        checks.skip("evaluation", "it has none, so a run cannot be validated")
        return
    with checks.promise("evaluation"), evaluating(nets):
        _check_evaluation(recipe.evaluation, nets)


def examine_data(checks: Checks, build: Callable[[], Recipe]) -> None:
    """Check the data of a recipe, which is built anew each time."""
    with checks.promise("data by seed", needed=True):
        advice = "derive every choice from (seed, epoch, position), as i2i.data does"
        one, two = _first(build().data()), _first(build().data())
        require(same_trees(one, two), f"data() gives other batches when it is built again: {advice}")
    if not hasattr(build().data(), "load_state_dict"):
        checks.skip("data go on", "they have no state_dict(), so a resumed run winds them forward")
        return
    with checks.promise("data go on"):
        begun: Any = build().data()
        batches = _endless(begun)
        next(batches)
        saved, second = _through_files(begun.state_dict()), next(batches)
        resumed: Any = build().data()
        resumed.load_state_dict(saved)
        advice = "state_dict() must hold the position, after the batches that were handed out"
        require(same_trees(second, next(_endless(resumed))), f"data() goes on elsewhere once saved: {advice}")


def _first(data: Iterable[Any]) -> list[Any]:
    with seeded():
        return list(islice(_endless(data), 3))


def _endless(data: Iterable[Any]) -> Iterator[Any]:
    """Yield batches, begun anew whenever they end, as in a run."""
    while True:
        empty = True
        for batch in data:
            empty = False
            yield batch
        require(not empty, f"data() has no batches, or none the second time: {_NO_BATCHES}")


def check_form(recipe: object) -> None:
    """Check what a recipe says of itself; nothing of it is called.

    Raises:
        ContractError: it is no recipe, or its lengths are at odds.
    """
    advice = "build(settings, run) must return an i2i.Recipe"
    require(isinstance(recipe, Recipe), f"build() returns a {type(recipe).__name__}, not a Recipe: {advice}")
    assert isinstance(recipe, Recipe)  # for the type checker
    length = recipe.length
    right = isinstance(length, int) and length >= 1
    require(right, f"has length {length!r}; it must be a whole number of batches, 1 or more")
    whole = sum(span.batches for span in recipe.stages) if recipe.stages else length
    require(whole == length, f"has stages of {whole} batches in all, but length {length}: make them agree")


def _batches(recipe: Recipe) -> list[Any]:
    """Return the first batches, or say what is wrong with them."""
    batches = list(islice(iter(recipe.data()), 2))
    require(bool(batches), f"data() has no batches: {_NO_BATCHES}")
    held = list(leaves(batches[0]))
    strange = sorted({type(leaf).__name__ for leaf in held if not isinstance(leaf, Tensor)})
    advice = "batches are NamedTuples of tensors, keep the rest in what reads them"
    require(not strange, f"a batch holds a {', '.join(strange)}: {advice}")
    for group in _groups(batches[0]):
        sizes = sorted({len(leaf) if leaf.ndim else 0 for leaf in group})
        advice = "each must have the samples of the batch as its first dimension"
        require(len(sizes) == 1 and sizes[0] > 0, f"the tensors of a batch hold {sizes} samples: {advice}")
    return batches


def _groups(batch: Any) -> Iterator[list[Tensor]]:
    """Yield the tensors that must hold equally many samples: all, or those of each batch that was joined."""
    if isinstance(batch, tuple) and batch and all(isinstance(part, tuple) for part in batch):
        for part in batch:
            yield from _groups(part)
    else:
        yield list(leaves(batch))


class _Course:
    """The first updates of a recipe, and what is saved between them."""

    def __init__(self, recipe: Recipe, batches: list[Any]) -> None:
        stages = recipe.stages
        self.later = stages[0].batches if len(stages) > 1 else 1
        training = Training(recipe, Policy())
        if training.given is not None:
            check_trained(recipe.step, training.given)
        self.watch = Watch(training)
        first = self.watch.update(batches[0], 0)
        self.saved = _through_files([snapshot(training.state), _weights(training.given)])
        self.drawn = rng_state()
        second = self.watch.update(batches[-1], self.later)
        self.weights = copy.deepcopy(_weights(training.nets))
        self.metrics = [first, second]
        seen = [first, second]
        if recipe.length > self.later + 1:  # of stages, the first update that the second one is watched in
            seen.append(self.watch.update(batches[-1], self.later + 1))
        _check_metrics(seen, in_stages=len(stages) > 1)
        require(self.watch.moved, "no update changes what it trains: is the learning rate 0?")


def _check_metrics(seen: Sequence[Mapping[str, Tensor]], *, in_stages: bool) -> None:
    alike = seen[1:] if in_stages else seen  # the first ones are then of another stage, which may have other terms
    other = sorted(set().union(*alike) - set(alike[0]).intersection(*alike))
    require(not other, f"the names of its metrics change: {', '.join(other)}; a loss must always return the same terms")
    wild = sorted({name for metrics in seen for name, value in metrics.items() if not value.isfinite()})
    advice = "look for divisions, logarithms and square roots at 0"
    require(not wild, f"its metrics are not finite: {', '.join(wild)}; {advice}")


def _check_resumed(recipe: Recipe, batches: list[Any], course: _Course) -> None:
    state, weights = course.saved
    given = recipe.nets()
    for module, values in zip(modules_of(given), weights, strict=True):
        module.load_state_dict(values)
    resumed = Training(recipe, Policy(), given, state)
    restore_rng(course.drawn)
    metrics = resumed.update(batches[-1], course.later)
    advice = "keep all that changes in weights, buffers or the State (state_dict), and nothing in closures"
    same = same_trees(metrics, course.metrics[1]) and same_trees(_weights(resumed.nets), course.weights)
    require(same, f"goes on otherwise from what was saved: {advice}")


def _check_images(what: str, images: Mapping[str, Tensor]) -> None:
    require(isinstance(images, Mapping) and bool(images), f"{what} must return images by name, a column for each")
    wrong = [name for name, value in images.items() if not (isinstance(value, Tensor) and value.ndim == 4)]
    require(not wrong, f"{what} must return images by name: {', '.join(wrong)} is no tensor (b, c, h, w)")
    wild = [name for name, value in images.items() if not value.isfinite().all()]
    require(not wild, f"{what} returns images that are not finite: {', '.join(wild)}; is something divided by 0?")


def _check_models(models: Mapping[str, nn.Module], nets: Any) -> None:
    known = {id(parameter) for net in modules_of(nets) for parameter in net.parameters()}
    named = isinstance(models, Mapping)
    require(named, f"models() returns a {type(models).__name__}: return the models by name, one alone as {{'': net}}")
    require(bool(models), "models() must name nets that are trained, or what is made of such nets only: it names none")
    for name, model in models.items():
        shown = name or "the model"
        require(isinstance(model, nn.Module), f"models(): {shown} is a {type(model).__name__}, not an nn.Module")
        foreign = [key for key, parameter in model.named_parameters() if id(parameter) not in known]
        found = bool(list(model.parameters())) and not foreign
        advice = f"{shown} has weights of its own ({', '.join(foreign[:5]) or 'none at all'})"
        require(found, f"models() must name nets that are trained, or what is made of such nets only: {advice}")


def _check_saving(checks: Checks, models: Mapping[str, nn.Module]) -> None:
    """Check that what a run leaves can be loaded by its name."""
    from i2i.registry import name_of

    for name, model in models.items():
        promise = f"saving {name}" if name else "saving"
        spec = getattr(model, "spec", None)
        if not isinstance(spec, Spec) or name_of(spec.factory) is None:
            checks.skip(promise, "no registered part made the model, so only its weights are saved")
            continue
        with checks.promise(promise):
            reloaded(model)


def _check_evaluation(evaluation: Evaluation, nets: Any) -> None:
    batches = evaluation.batches()
    batch = None if batches is None else next(iter(batches), None)
    if batch is None:
        return  # these data hold nothing back
    for name, pair in evaluation.results(nets, batch).items():
        advice = "results() must return {name: (made, real)}, images (b, c, h, w)"
        right = isinstance(pair, tuple) and len(pair) == 2
        require(right, f"{name or 'its result'} is a {type(pair).__name__}: {advice}")
        _check_images("results()", {f"{name} made".strip(): pair[0], f"{name} real".strip(): pair[1]})
        made, real = (tuple(image.shape) for image in pair)
        require(not evaluation.paired or made == real, f"made is {made}, but real {real}: with paired they must agree")


def _weights(nets: Any) -> list[Any]:
    return [module.state_dict() for module in modules_of(nets)]


def _through_files(tree: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        write_tree(Path(folder) / "tree", tree)
        return read_tree(Path(folder) / "tree")
