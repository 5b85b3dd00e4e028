"""Checks of loss terms, criteria and schedules."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from i2i.losses import Criterion
from i2i.protocols import Schedule
from i2i.terms import VALUES
from i2i.testing.contract import CPU_SECONDS, Checks, ContractError, Report, example_of, name_of, require, seeded
from i2i.values import Translation, Verdict

_VALID = "its example must be a valid use: arguments that are no values, and a shape for each value but the critic"
_CALLED = "they are called as generator(judged_fake) and discriminator(judged_real, judged_fake)"
_IMAGES = ("source", "target")
_TRANSLATIONS = ("fake", "same", "back")
_VERDICTS = ("judged_real", "judged_fake")


def check_term(term: Callable[..., Tensor]) -> Report:
    """Check a loss term at its ``@part(example=...)``.

    It is a finite scalar that something can learn from, the same each time from the same seed, in bf16 too; it changes
    nothing that it is given. Parameters are filled by their names, with shapes from the example's inputs: ``source``,
    ``target``: Tensor; ``fake``, ``same``, ``back``: Translation; ``judged_real``, ``judged_fake``: Verdict, both with
    every extra that is asked for; ``critic``: a small discriminator that has features and every extra, and takes no
    shape. Those that have a default are left at it.

    Returns:
        What was checked.

    Raises:
        ContractError: it breaks a promise of `i2i.terms`; all that it breaks are listed.

    Example:
        >>> from i2i.terms import cycle
        >>> print(check_term(cycle))
        cycle: 7 promises kept, 0 broken, 0 not checked
        <BLANKLINE>
        cycle
          kept     example, value, inputs, gradients, result by seed, bf16, CPU time
    """
    checks = Checks(name_of(term))
    with checks.item(name_of(term)):
        examine_term(checks, term)
    return checks.report()


def check_criterion(criterion: Criterion) -> Report:
    """Check a criterion: it works on any number of scales, in bf16 too, and rewards the right answers.

    Returns:
        What was checked.

    Raises:
        ContractError: it breaks a promise of `i2i.losses.Criterion`; all that it breaks are listed.
    """
    checks = Checks("criterion")
    with checks.item("criterion"):
        examine_criterion(checks, criterion)
    return checks.report()


def check_schedule(schedule: Schedule) -> Report:
    """Check a schedule: a finite number for each batch, the same each time it is asked.

    Returns:
        What was checked.

    Raises:
        ContractError: it breaks a promise of `i2i.protocols.Schedule`; all that it breaks are listed.
    """
    checks = Checks("schedule")
    with checks.item("schedule"):
        examine_schedule(checks, schedule)
    return checks.report()


class Filled:
    """A term with a value for each of its parameters.

    Args:
        term: marked with ``@i2i.part(example=...)``.
        dtype: of what nets make; images are float32.

    Raises:
        ContractError: the example is none, or has no shape for a value.
    """

    def __init__(self, term: Callable[..., Tensor], dtype: torch.dtype = torch.float32) -> None:
        example = example_of(term)
        self.term, self.arguments = term, dict(example.arguments)
        self.critic = nn.Conv2d(next((shape[1] for shape in example.inputs), 1), 1, 3)
        self.tensors: dict[str, Tensor] = {}
        shapes = list(example.inputs)
        for name, parameter in inspect.signature(term).parameters.items():
            if parameter.default is not parameter.empty or name in self.arguments:
                continue
            if name == "critic":
                self.arguments[name] = self._judge
                continue
            require(bool(shapes), f"asks for {name}, but its example has no shape for it: add one to inputs")
            values = torch.rand(shapes.pop(0)).mul(2).sub(1)
            self.tensors[name] = (values if name in _IMAGES else values.to(dtype)).requires_grad_(True)
            self.arguments[name] = _wrapped(name, self.tensors[name])

    @property
    def learning(self) -> list[Tensor]:
        """All that can learn from it."""
        critic = self._judge in self.arguments.values()
        return [*self.tensors.values(), *(self.critic.parameters() if critic else ())]

    def __call__(self) -> Tensor:
        """Call the term, always with the same seed."""
        with seeded():
            return self.term(**self.arguments)

    def _judge(self, image: Tensor, condition: Tensor | None = None) -> Verdict:
        logits = self.critic(image).square()
        return Verdict((logits,), ((logits,),), _Every((logits,)))


def examine_term(checks: Checks, term: Callable[..., Tensor]) -> None:
    """Check a term, promise by promise."""
    with checks.promise("example", needed=True, mend=_VALID), seeded():
        filled = Filled(term)
    held = [tensor.detach().clone() for tensor in filled.learning]
    with checks.promise("value", needed=True, mend=_VALID):
        result = filled()
        shown = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
        right = isinstance(result, Tensor) and result.ndim == 0
        require(right, f"returns {shown}, not a scalar tensor: take its mean()")
        require(bool(result.isfinite()), f"is {result.item()} on ordinary values in -1 ... 1: it must be finite")
    with checks.promise("inputs", needed=True):
        changed = any(not torch.equal(one, two) for one, two in zip(held, filled.learning, strict=True))
        require(not changed, "changes a value that it is given in place: use x = x * 2 instead of x.mul_(2) or x *= 2")
        frozen = not all(tensor.requires_grad for tensor in filled.learning)
        require(not frozen, "leaves a value or the critic without requires_grad: call .detach() instead")
    with checks.promise("gradients"):
        _check_gradients(result, filled.learning)
    with checks.promise("result by seed"):
        advice = "draw from torch's global generator only, and remember nothing"
        require(torch.equal(result, filled()), f"gives another result the second time, from one seed: {advice}")
    with checks.promise("bf16", mend="use at_least_float32 of i2i.losses on what a net made in half precision"):
        with torch.autocast("cpu", dtype=torch.bfloat16), seeded():
            made = Filled(term, torch.bfloat16)()
        require(bool(made.isfinite()), "is not finite in bf16: compute in float32 (at_least_float32 of i2i.losses)")
    with checks.promise("CPU time"):
        spent = min(_cpu_time(filled), _cpu_time(filled))
        advice = "choose smaller arguments and inputs, for tests and benchmarks run it"
        require(spent < CPU_SECONDS, f"its example takes {spent:.1f} s of CPU time, {CPU_SECONDS:g} at most: {advice}")


def _cpu_time(filled: Filled) -> float:
    start = time.process_time()
    filled()
    return time.process_time() - start


def _check_gradients(result: Tensor, learning: list[Tensor]) -> None:
    advice = "compute it of the values themselves, not of .detach(), .item() or numpy"
    require(result.requires_grad, f"has no gradient towards any input: {advice}")
    found = torch.autograd.grad(result, learning, allow_unused=True)
    reached = [gradient for gradient in found if gradient is not None]
    require(any(bool(gradient.any()) for gradient in reached), f"has no gradient towards any input: {advice}")
    finite = all(bool(gradient.isfinite().all()) for gradient in reached)
    require(finite, "has a gradient that is not finite: add a small number inside of square roots, norms and divisions")


def _wrapped(name: str, tensor: Tensor) -> Any:
    if name in _IMAGES:
        return tensor
    if name in _TRANSLATIONS:
        return Translation(tensor, _Every(tensor))
    if name in _VERDICTS:
        return Verdict((tensor,), ((tensor,),), _Every((tensor,)))
    known = ", ".join(VALUES)
    raise ContractError(f"asks for {name!r}; terms name values {known}: rename it, or give it a default or an argument")


class _Every(dict[str, Any]):
    """Extras that hold one value under every name but those of fields."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self._value = value

    def __contains__(self, name: object) -> bool:
        return name not in (*Translation._fields, *Verdict._fields)

    def get(self, name: str, default: Any = None) -> Any:
        return self._value if name in self else default

    def __missing__(self, name: str) -> Any:
        return self._value


def examine_criterion(checks: Checks, criterion: Criterion) -> None:
    """Check a criterion, promise by promise."""
    low, high = _logits(-1.0), _logits(1.0)
    with checks.promise("values", needed=True, mend=_CALLED):
        known = all(callable(getattr(criterion, name, None)) for name in ("generator", "discriminator"))
        require(known, f"is a {type(criterion).__name__}, not a Criterion: register an i2i.losses.Criterion itself")
        for name, value in (
            ("generator", criterion.generator(high)),
            ("discriminator", criterion.discriminator(high, low)),
        ):
            right = isinstance(value, Tensor) and value.ndim == 0 and bool(value.isfinite())
            require(right, f"{name}() must return a finite scalar tensor, not {value}: take its mean()")
    with checks.promise("inputs", needed=True):
        kept = bool((high.logits[0] == 1).all()) and bool((low.logits[0] == -1).all())
        require(kept, "changes the logits that it is given in place: use x = x * 2 instead of x.mul_(2) or x *= 2")
    with checks.promise("generator"):
        right = bool(criterion.generator(high) < criterion.generator(low))
        require(right, "does not reward fakes that pass as real: generator() must be smaller where logits are higher")
    with checks.promise("discriminator"):
        right = bool(criterion.discriminator(high, low) < criterion.discriminator(low, high))
        advice = "discriminator() must be smaller where logits of real ones are higher, and of fakes lower"
        require(right, f"does not reward telling real from fake: {advice}")
    with checks.promise("scales"):
        _check_scales(criterion, high, low)
    with checks.promise("gradients"):
        judged = [_logits(value, learns=True) for value in (0.3, -0.2)]
        tensors = [verdict.logits[0] for verdict in judged]
        _check_gradients(criterion.generator(judged[1]), tensors[1:])
        for tensor in tensors:
            _check_gradients(criterion.discriminator(*judged), [tensor])
    with checks.promise("bf16"):
        halves = [Verdict(tuple(logits.bfloat16() for logits in verdict.logits)) for verdict in (high, low)]
        made = (criterion.generator(halves[0]), criterion.discriminator(*halves))
        right = all(value.dtype == torch.float32 for value in made)
        require(right, "sums in bf16 what a net made in bf16: use at_least_float32 of i2i.losses")


def _logits(value: float, *, learns: bool = False) -> Verdict:
    return Verdict((torch.full((2, 1, 3, 3), value, requires_grad=learns),))


def _check_scales(criterion: Criterion, high: Verdict, low: Verdict) -> None:
    both = Verdict((*high.logits, torch.full((2, 1, 5, 5), -1.0)))
    summed = criterion.generator(high) + criterion.generator(low)
    advice = "it must be the sum over scales of the mean over each"
    require(torch.allclose(criterion.generator(both), summed), f"generator() does not sum over scales: {advice}")
    summed = criterion.discriminator(high, low) + criterion.discriminator(low, low)
    other = Verdict((*low.logits, torch.full((2, 1, 5, 5), -1.0)))
    made = criterion.discriminator(both, other)
    require(torch.allclose(made, summed), f"discriminator() does not sum over scales: {advice}")


def examine_schedule(checks: Checks, schedule: Schedule) -> None:
    """Check a schedule, promise by promise."""
    batches = [*range(20), 10**6]
    with checks.promise("values", needed=True, mend="it must take any batch, also after the end of what it plans"):
        for now in batches:
            value = schedule(now)
            right, gives = isinstance(value, float | int), f"gives {value!r} for batch {now}"
            require(right, f"{gives}; it must be a number of Python: take float() of it")
            require(math.isfinite(value), f"{gives}; it must be a finite number")
    with checks.promise("asked again"):
        same = [schedule(now) for now in batches] == [schedule(now) for now in reversed(batches)][::-1]
        advice = "it must depend on the batch only, or on state that it saves (state_dict)"
        require(same, f"gives other values when asked again: {advice}")
