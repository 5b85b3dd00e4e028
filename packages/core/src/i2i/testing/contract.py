"""What all checks have in common: the error, the report, the example of a part, a seed."""

from __future__ import annotations

import random
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from i2i.parts import Example

CPU_SECONDS = 2.0  # of an example: building, a forward and a backward pass


class ContractError(AssertionError):
    """A part does not keep what its kind promises; the message says which promises, and how to mend each."""


class Outcome(NamedTuple):
    """What came of one promise.

    Attributes:
        item: what was checked: a part, a recipe, a command.
        promise: in a word or two.
        state: whether it is kept or broken, or was not checked.
        reason: why it is broken or was not checked; "" for one that is kept.
    """

    item: str
    promise: str
    state: Literal["kept", "broken", "skipped"]
    reason: str = ""


class Report(NamedTuple):
    """What was checked; printed, it is a table.

    Attributes:
        subject: what it is about, such as ``"i2i-recolour 0.1.0"``.
        outcomes: promise by promise, in the order in which they were checked.

    Example:
        >>> print(Report("a net", (Outcome("net", "values", "kept"), Outcome("net", "saving", "skipped", "no plugin"))))
        a net: 1 promise kept, 0 broken, 1 not checked
        <BLANKLINE>
        net
          kept     values
          skipped  saving: no plugin
    """

    subject: str
    outcomes: tuple[Outcome, ...]

    def of(self, state: Literal["kept", "broken", "skipped"]) -> list[Outcome]:
        """Return the outcomes of one kind."""
        return [outcome for outcome in self.outcomes if outcome.state == state]

    def __str__(self) -> str:
        kept, broken, skipped = (len(self.of(state)) for state in ("kept", "broken", "skipped"))
        lines = [f"{self.subject}: {_counted(kept)} kept, {broken} broken, {skipped} not checked"]
        for item in dict.fromkeys(outcome.item for outcome in self.outcomes):
            own = [outcome for outcome in self.outcomes if outcome.item == item]
            lines += ["", item]
            names = [outcome.promise for outcome in own if outcome.state == "kept"]
            rows = [("kept", ", ".join(names))] * bool(names)
            rows += [(each.state, f"{each.promise}: {each.reason}") for each in own if each.state != "kept"]
            lines += [textwrap.fill(words, 100, **_row(state)) for state, words in rows]
        return "\n".join(lines)


class Checks:
    """Notes promise after promise; what is broken is raised together at the end, by `report`."""

    def __init__(self, subject: str) -> None:
        self._subject = self._item = subject
        self._outcomes: list[Outcome] = []
        self._raised: list[Exception] = []

    @contextmanager
    def item(self, name: str) -> Iterator[None]:
        """Note what follows under ``name``; where a promise is broken that the rest needs, the rest is left out."""
        before, self._item = self._item, name
        try:
            yield
        except _NeededError:
            pass
        finally:
            self._item = before

    @contextmanager
    def promise(self, name: str, *, mend: str = "", needed: bool = False) -> Iterator[None]:
        """Note whether a promise is kept: whether what is done in this context raises nothing.

        Args:
            name: the promise.
            mend: what to do about an error that code of the plugin raises; a `ContractError` says it itself.
            needed: the promises that follow make no sense without it.
        """
        try:
            yield
        except Exception as error:
            self._outcomes.append(Outcome(self._item, name, "broken", _said(error, mend)))
            if not isinstance(error, ContractError):
                self._raised.append(error)
            if needed:
                raise _NeededError from error
        else:
            self._outcomes.append(Outcome(self._item, name, "kept"))

    def skip(self, name: str, reason: str) -> None:
        """Note that a promise is not checked."""
        self._outcomes.append(Outcome(self._item, name, "skipped", reason))

    def report(self) -> Report:
        """Return what was checked.

        Raises:
            ContractError: a promise is broken; all that are broken are listed, and what plugin code raised is its
                cause.
        """
        report = Report(self._subject, tuple(self._outcomes))
        broken = report.of("broken")
        if not broken:
            return report
        lines = [f"{outcome.item}, {outcome.promise}: {outcome.reason}" for outcome in broken]
        message = lines[0] if len(lines) == 1 else "\n  ".join([f"{_counted(len(lines))} broken:", *lines])
        cause = ExceptionGroup("raised by the plugin", self._raised) if len(self._raised) > 1 else None
        raise ContractError(message) from (cause or next(iter(self._raised), None))


def _row(state: str) -> dict[str, Any]:
    """Return how a row of a report is broken into lines."""
    return {"initial_indent": f"  {state:<9}", "subsequent_indent": " " * 11, "break_on_hyphens": False}


class _NeededError(Exception):
    """Ends the checks of an item."""


def _counted(promises: int) -> str:
    return f"{promises} promise{'s' * (promises != 1)}"


def _said(error: Exception, mend: str) -> str:
    """Say in one line what is wrong, and what to do."""
    words = " ".join(str(error).split())
    if isinstance(error, ContractError):
        return words
    return f"raises {type(error).__name__}: {words}" + (f"; {mend}" if mend else "")


def require(kept: bool, promise: str) -> None:
    """Raise a `ContractError` that says ``promise`` unless it is ``kept``."""
    if not kept:
        raise ContractError(promise)


def example_of(factory: Callable[..., Any]) -> Example:
    """Return the example of a part.

    Raises:
        ContractError: it carries none.
    """
    example = getattr(factory, "example", None)
    if not isinstance(example, Example):
        raise ContractError("carries no example: mark it with @i2i.part(example=i2i.Example(arguments, shapes))")
    return example


def name_of(factory: object) -> str:
    """Return what a factory is called, for reports."""
    return getattr(factory, "__qualname__", None) or type(factory).__name__


def listed(names: Sequence[str], most: int = 5) -> str:
    """Return names in a line, the first ones of many.

    Example:
        >>> listed(["a", "b", "c"], most=2)
        'a, b and 1 more'
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


@contextmanager
def seeded() -> Iterator[None]:
    """Seed the generators that ``i2i train`` seeds; afterwards they go on as if nothing had been drawn."""
    before = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])
