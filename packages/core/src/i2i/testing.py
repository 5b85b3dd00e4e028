"""The conformance kit: what the authors of a plugin run on their parts and recipes. It does not import pytest.

Example:
    >>> from i2i.losses import hinge
    >>> check_criterion(hinge)
"""

from __future__ import annotations

import copy
import inspect
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from i2i.checkpoint import read_tree, restore_rng, rng_state, snapshot, write_tree
from i2i.errors import CompositionError
from i2i.losses import Criterion
from i2i.parts import Example, Spec
from i2i.policy import Policy, Turn
from i2i.protocols import Schedule
from i2i.recipes import Recipe
from i2i.step import check_trained, modules_of
from i2i.tree import leaves
from i2i.values import Translation, Verdict


class ContractError(AssertionError):
    """A part does not keep what its kind promises; the message says which promise."""


def check_generator(factory: Callable[..., nn.Module]) -> None:
    """Check a generator at its ``@part(example=...)``: values, gradients, precision, saving.

    Raises:
        ContractError: it breaks a promise of `i2i.protocols.Generator`.
    """
    net, inputs = _built(factory)
    made = _called(net, inputs, Translation)
    image = made.image
    _require(image.ndim == 4 and len(image) == len(inputs[0]), f"makes {tuple(image.shape)}, not (b, c, h, w)")
    _require(bool(image.isfinite().all()), "makes values that are not finite")
    _check_net(net, inputs, lambda value: value.image)
    multiple = getattr(net, "multiple", 1)
    _require(isinstance(multiple, int) and multiple >= 1, f"has multiple {multiple!r}; it must be a whole number")


def check_discriminator(factory: Callable[..., nn.Module]) -> None:
    """Check a discriminator at its ``@part(example=...)``: values, gradients, precision, saving.

    Raises:
        ContractError: it breaks a promise of `i2i.protocols.Discriminator`.
    """
    net, inputs = _built(factory)
    verdict = _called(net, inputs, Verdict)
    batch = len(inputs[0])
    _require(isinstance(verdict.logits, tuple) and len(verdict.logits) > 0, "returns no logits")
    for logits in verdict.logits:
        _require(logits.ndim == 4 and len(logits) == batch, f"logits are {tuple(logits.shape)}, not (b, c, h, w)")
    counts = (len(verdict.features), *map(len, verdict.extras.values()))
    scales = len(verdict.logits)
    _require(
        all(count in (0, scales) for count in counts), f"features and extras must be () or one per scale ({scales})"
    )
    _check_net(net, inputs, lambda value: torch.stack([logits.mean() for logits in value.logits]))


def check_layer(factory: Callable[..., nn.Module]) -> None:
    """Check a layer at its ``@part(example=...)``: values, gradients, precision, saving.

    It returns a tensor, or a NamedTuple of tensors, with a leading batch dimension.

    Raises:
        ContractError: it breaks one of these promises.
    """
    net, inputs = _built(factory)
    made = list(leaves(_called(net, inputs, Tensor | tuple)))
    for value in made:
        _require(isinstance(value, Tensor) and len(value) == len(inputs[0]), "must return tensors (b, ...)")
        _require(bool(value.isfinite().all()), "makes values that are not finite")
    _check_net(net, inputs, lambda value: torch.cat([leaf.float().flatten() for leaf in leaves(value)]))


def check_term(term: Callable[..., Tensor]) -> None:
    """Check a loss term at its ``@part(example=...)``: a finite scalar that something can learn from.

    Parameters are filled by their names, with shapes from the example's inputs: ``source``, ``target``: Tensor;
    ``fake``, ``same``, ``back``: Translation; ``judged_real``, ``judged_fake``: Verdict, both with every extra that is
    asked for; ``critic``: a small discriminator, which takes no shape. Those that have a default are left at it.

    Raises:
        ContractError: it breaks a promise of `i2i.terms`.
    """
    example = _example(term)
    names = [
        n for n, p in inspect.signature(term).parameters.items() if p.default is p.empty and n not in example.arguments
    ]
    shapes = iter(example.inputs)
    values: dict[str, Any] = {}
    learns: list[Tensor] = []
    for name in names:
        if name == "critic":
            critic = nn.Conv2d(example.inputs[0][1], 1, 3)
            learns += list(critic.parameters())
            values[name] = lambda image, condition=None, critic=critic: Verdict((critic(image).square(),))
            continue
        tensor = torch.rand(next(shapes)).mul(2).sub(1).requires_grad_(True)
        learns.append(tensor)
        values[name] = _wrapped(name, tensor)
    result = term(**values, **example.arguments)
    _require(isinstance(result, Tensor) and result.ndim == 0, "must return a scalar tensor")
    _require(bool(result.isfinite()), f"is {result} on an ordinary input")
    found = torch.autograd.grad(result, learns, allow_unused=True)
    _require(any(g is not None and bool(g.any()) for g in found), "has no gradient towards any input")


def check_criterion(criterion: Criterion) -> None:
    """Check a criterion: it works on any number of scales, and rewards the right answers.

    Raises:
        ContractError: it breaks a promise of `i2i.losses.Criterion`.
    """
    low, high = (Verdict((torch.full((2, 1, 3, 3), value),)) for value in (-1.0, 1.0))
    _require(criterion.generator(high).ndim == 0, "generator() must return a scalar")
    _require(bool(criterion.generator(high) < criterion.generator(low)), "does not reward fakes that pass as real")
    apart, confused = criterion.discriminator(high, low), criterion.discriminator(low, high)
    _require(bool(apart < confused), "does not reward telling real from fake")
    both = Verdict((*high.logits, torch.full((2, 1, 5, 5), -1.0)))
    summed = criterion.generator(high) + criterion.generator(low)
    _require(torch.allclose(criterion.generator(both), summed), "generator() does not sum over scales")


def check_schedule(schedule: Schedule) -> None:
    """Check a schedule: a finite number for each batch, the same each time it is asked.

    Raises:
        ContractError: it breaks a promise of `i2i.protocols.Schedule`.
    """
    first = [schedule(now) for now in range(20)]
    _require(all(isinstance(v, float | int) and abs(v) < float("inf") for v in first), f"gives {first}")
    _require(first[::-1] == [schedule(now) for now in reversed(range(20))], "gives other values when asked again")


def check_recipe(recipe: Recipe) -> None:
    """Check a recipe, best built with `tiny` settings: it trains, and goes on from what was saved as if undisturbed.

    Of one with stages, the second batch is the first one of the second stage.

    Raises:
        ContractError: it breaks a promise of `i2i.recipes.Recipe`.
    """
    _require(isinstance(recipe, Recipe), f"build() returns a {type(recipe).__name__}, not a Recipe")
    _require(isinstance(recipe.length, int) and recipe.length >= 1, f"has length {recipe.length!r}")
    whole = sum(span.batches for span in recipe.stages) if recipe.stages else recipe.length
    _require(whole == recipe.length, f"has stages of {whole} batches in all, but length {recipe.length}")
    later = recipe.stages[0].batches if len(recipe.stages) > 1 else 1
    batches = list(islice(iter(recipe.data()), 2))
    _require(bool(batches), "data() has no batches")
    policy = Policy()
    given = recipe.nets()
    state = recipe.step.init(given, policy, None)
    if given is not None:
        check_trained(recipe.step, given)
    state, first = recipe.step.update(given, state, batches[0], Turn(policy, 0))
    saved, drawn = _through_files([snapshot(state), [m.state_dict() for m in modules_of(given)]]), rng_state()
    state, second = recipe.step.update(given, state, batches[-1], Turn(policy, later))
    _require(set(first) == set(second), "the names of its metrics change")
    _require(all(bool(v.isfinite()) for v in second.values()), "its metrics are not finite")
    again = recipe.nets()
    for module, weights in zip(modules_of(again), saved[1], strict=True):
        module.load_state_dict(weights)
    resumed = recipe.step.init(again, policy, saved[0])
    restore_rng(drawn)
    resumed, third = recipe.step.update(again, resumed, batches[-1], Turn(policy, later))
    _require(all(torch.equal(second[n], third[n]) for n in second), "goes on otherwise from what was saved")
    nets = recipe.step.nets(again, resumed)
    shown = recipe.preview(nets, recipe.preview_batch())
    _require(all(isinstance(v, Tensor) and v.ndim == 4 for v in shown.values()), "preview() must return images by name")
    models = [list(model.parameters()) for model in recipe.models(nets).values()]
    known = {id(parameter) for net in modules_of(nets) for parameter in net.parameters()}
    made = bool(models) and all(bool(model) and all(id(p) in known for p in model) for model in models)
    _require(made, "models() must name nets that are trained, or what is made of such nets only")


def tiny(settings: type[Any]) -> Any:
    """Return settings made small by the common vocabulary, for those of its fields that the class has."""
    small: dict[str, Any] = {
        "steps": 3, "batch_size": 2, "load_size": 18, "crop_size": 16, "base_width": 4, "blocks": 1, "downs": 2,
        "dropout": 0.0, "discriminator_width": 4, "discriminator_layers": 1, "max_width": 4, "min_size": 12,
        "max_size": 16, "perceptual": False,
    }  # fmt: skip
    for_each = {"steps": (3,), "discriminator_layers": (3,)}  # of each stage, of each judge
    fields = attrs.fields_dict(settings)
    small |= {n: v for n, v in for_each.items() if n in fields and isinstance(fields[n].default, tuple)}
    return settings(**{name: value for name, value in small.items() if name in fields})


def _require(kept: bool, promise: str) -> None:
    if not kept:
        raise ContractError(promise)


def _example(factory: Callable[..., Any]) -> Example:
    example = getattr(factory, "example", None)
    _require(isinstance(example, Example), "carries no example: mark it with @i2i.part(example=i2i.Example(...))")
    assert isinstance(example, Example)  # for the type checker
    return example


def _built(factory: Callable[..., nn.Module]) -> tuple[nn.Module, list[Tensor]]:
    example = _example(factory)
    with _seeded():
        net = factory(**example.arguments)
        inputs = [torch.rand(shape) * 2 - 1 for shape in example.inputs]
    _require(isinstance(net, nn.Module), f"makes a {type(net).__name__}, not an nn.Module")
    spec = getattr(net, "spec", None)
    _require(isinstance(spec, Spec), "makes a module without .spec: mark the factory with @i2i.part")
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in factory(**example.arguments).state_dict().items()}
    _require(shapes == {k: v.shape for k, v in net.state_dict().items()}, "is built otherwise on the meta device")
    return net, inputs


def _called(net: nn.Module, inputs: list[Tensor], kind: Any) -> Any:
    before = [tensor.clone() for tensor in inputs]
    value = net(*inputs)
    _require(isinstance(value, kind), f"returns a {type(value).__name__}, not a {getattr(kind, '__name__', kind)}")
    _require(all(torch.equal(a, b) for a, b in zip(before, inputs, strict=True)), "changes its input")
    return value


def _check_net(net: nn.Module, inputs: list[Tensor], score: Callable[[Any], Tensor]) -> None:
    """Check what all nets promise: gradients reach every weight, samples stand apart, bf16 works, copies are equal."""
    torch.autograd.backward(score(net(*inputs)).square().mean())
    lost = [name for name, p in net.named_parameters() if p.requires_grad and p.grad is None]
    _require(not lost, f"no gradient reaches {', '.join(lost)}")
    net.zero_grad()
    net.eval()
    with torch.no_grad():
        alone = score(net(*inputs))
        doubled = [torch.cat((tensor, tensor.flip(-1))) for tensor in inputs]
        pairs = zip(leaves(net(*inputs)), leaves(net(*doubled)), strict=True)
        apart = all(torch.allclose(one, two[: len(one)], atol=1e-5) for one, two in pairs)
        _require(apart, "in eval mode, a sample's result depends on the others of its batch")
        _require(torch.equal(alone, score(copy.deepcopy(net)(*inputs))), "a deep copy computes something else")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            _require(bool(score(net(*inputs)).isfinite().all()), "is not finite in bf16")
    _check_saving(net, inputs, score)


def _check_saving(net: nn.Module, inputs: list[Tensor], score: Callable[[Any], Tensor]) -> None:
    from i2i.models import load, save
    from i2i.registry import name_of

    spec = getattr(net, "spec", None)
    known = isinstance(spec, Spec) and name_of(spec.factory) is not None
    _require(known, "is registered by no plugin, so what is saved cannot be loaded")
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = Path(folder) / "model"
        save(net, path)
        loaded = load(path)
        _require(
            torch.equal(score(net(*inputs)), score(loaded(*inputs))), "computes something else once saved and loaded"
        )


def _through_files(tree: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        write_tree(Path(folder) / "tree", tree)
        return read_tree(Path(folder) / "tree")


class _Every(dict[str, Any]):
    """Extras that hold one value under every name."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self._value = value

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> Any:
        return self._value


def _wrapped(name: str, tensor: Tensor) -> Any:
    if name in ("source", "target"):
        return tensor
    if name in ("fake", "same", "back"):
        return Translation(tensor, _Every(tensor))
    if name in ("judged_real", "judged_fake"):
        return Verdict((tensor,), ((tensor,),), _Every((tensor,)))
    raise CompositionError(f"a term cannot ask for {name!r}; see i2i.terms for the names")


@contextmanager
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
