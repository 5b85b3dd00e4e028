"""Does a run fit into memory, and if not, with which settings would it: the line that is printed before training."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import attrs
import torch
from torch import Tensor

from i2i.entries import RecipeEntry
from i2i.memory import Estimate, estimate, undrawn
from i2i.policy import Policy
from i2i.recipes import Recipe
from i2i.settings import RunSettings
from i2i.shortage import binary_size, free_memory
from i2i.tree import leaves, tree_map

# Kernels need room to work in and allocators lose some, up to a third was seen: this share of what is free is used.
_USABLE = 0.75
_MUCH = 0.1  # of the free disk: less is not worth a line


class Change(NamedTuple):
    """Other settings: as flags, and by name those of the recipe and those of the policy."""

    flags: tuple[str, ...]
    settings: tuple[tuple[str, Any], ...] = ()
    policy: tuple[tuple[str, Any], ...] = ()


@attrs.frozen(eq=False)
class Planned:
    """A run that is about to begin.

    Attributes:
        entry: the recipe as registered.
        settings: of the recipe; fields named ``batch_size``, ``crop_size`` and ``recompute`` are understood.
        run: of the run.
        recipe: what ``entry`` built of them.
        nets: what the recipe made.
        policy: how moves will be computed.
        device: where.
    """

    entry: RecipeEntry
    settings: Any
    run: RunSettings
    recipe: Recipe
    nets: Any
    policy: Policy
    device: torch.device

    @functools.cached_property
    def batch(self) -> Any:
        """A batch of the shapes of training."""
        return _training_batch(self.recipe, self.settings)

    @functools.cached_property
    def needed(self) -> Estimate:
        """Count the memory of the run as it is."""
        return estimate(self.recipe.step, self.nets, self.batch, self.policy)

    def count(self, change: Change) -> Estimate:
        """Count the memory of the run with other settings."""
        settings = self.settings
        if isinstance(getattr(settings, "steps", ()), int | None):  # it may be a number for each stage
            settings = attrs.evolve(settings, steps=self.recipe.length)  # or the images are counted once more
        settings = attrs.evolve(settings, **dict(change.settings))
        recipe = self.entry.build(settings, self.run)
        with torch.device("meta"):
            nets = recipe.nets()
        resized = any(name == "crop_size" for name, _ in change.settings)
        batch = _training_batch(recipe, settings) if resized else self.batch
        return estimate(recipe.step, nets, batch, attrs.evolve(self.policy, **dict(change.policy)))

    def milder_changes(self) -> list[list[Change]]:
        """Return changes that leave what is learnt as it is, nearly: by kind, each from weak to strong."""
        kinds = []
        if getattr(self.settings, "recompute", None) is False:
            kinds.append([Change(("--recompute",), settings=(("recompute", True),))])
        if self.run.resume:  # nothing else may change in a run that has begun
            return kinds
        size = next((len(leaf) for leaf in leaves(self.batch) if isinstance(leaf, Tensor)), 1)
        parts = [n for n in range(self.policy.accumulate + 1, size + 1) if size % n == 0]
        kinds.append([Change((f"--accumulate {n}",), policy=(("accumulate", n),)) for n in parts])
        if self.policy.precision in ("fp32", "tf32"):
            kinds.append([Change(("--precision bf16",), policy=(("precision", "bf16"),))])
        return [kind for kind in kinds if kind]

    def smaller_crops(self) -> list[Change]:
        """Return smaller crops of sizes that most nets accept, the largest first."""
        crop = 0 if self.run.resume else getattr(self.settings, "crop_size", 0)
        sizes = [crop * eighths // 8 // 16 * 16 for eighths in (6, 4, 3, 2)]
        return [Change((f"--crop-size {size}",), settings=(("crop_size", size),)) for size in sizes if size]


def memory_line(planned: Planned) -> str:
    """Return the line on memory that is printed before training; nothing that goes wrong here stops a run.

    The random generators stay as they are, though the recipe is built anew for each setting that is tried.
    """
    with undrawn(planned.device):
        return _line(planned)


def disk_line(planned: Planned, out: Path) -> str | None:
    """Return a line on what checkpoints will take, where that is more than a tenth of what is free; else None.

    Args:
        planned: the run.
        out: its folder, or where that will be.
    """
    try:
        with undrawn(planned.device):
            needed = planned.needed
        free = shutil.disk_usage(next(above for above in (out, *out.absolute().parents) if above.exists())).free
    except Exception:  # as for memory: nothing that goes wrong here stops a run
        return None
    each, kept = needed.weights + needed.states + needed.average, planned.run.keep_last
    most = (kept + 1) * each  # one is written before the oldest is removed
    if most < _MUCH * free:
        return None
    held_against = "but" if most > free else "of"
    return (
        f"disk: checkpoints take {binary_size(each)} each, {kept} are kept (--keep-last): up to {binary_size(most)}, "
        f"{held_against} {binary_size(free)} free"
    )


def _line(planned: Planned) -> str:
    try:
        needed = planned.needed
    except Exception as error:  # a step may do anything that needs values, which there are none here
        return f"memory: could not be estimated ({type(error).__name__}: {str(error).strip().partition(chr(10))[0]})"
    free = free_memory(planned.device)
    if free is None:
        return f"memory: {_told(needed)}"
    if _fits(needed, free):
        return f"memory: {_told(needed)}; {binary_size(free)} free on {planned.device}"
    kinds = planned.milder_changes()
    remedy = _remedy(kinds, planned.smaller_crops(), planned.count, free)
    held_against = "but" if needed.total > free else "close to the"
    return f"memory: {_told(needed)}, {held_against} {binary_size(free)} free on {planned.device}{remedy}"


def _remedy(kinds: Sequence[list[Change]], crops: list[Change], count: Callable[[Change], Estimate], free: int) -> str:
    """Say what makes it fit: as few changes as possible, each as weak as possible, a smaller crop only at last."""

    @functools.cache
    def total(change: Change) -> int | None:
        try:
            return count(change).total
        except Exception:  # settings that do not go together, such as a crop that the nets refuse
            return None

    def fits(change: Change) -> bool:
        needed = total(change)
        return needed is not None and needed <= _USABLE * free

    everything = [*kinds, crops] if crops else list(kinds)
    if not everything:
        return ""
    choices = [choice for number in range(1, len(kinds) + 1) for choice in combinations(kinds, number)]
    for choice in [*choices, everything]:
        if fits(_joined(kind[-1] for kind in choice)):
            weakest = _weakest(choice, fits)
            return f"; it fits with {' '.join(weakest.flags)} (about {binary_size(total(weakest) or 0)})"
    strongest = _joined(kind[-1] for kind in everything)
    least = total(strongest)
    return "" if least is None else f"; even {' '.join(strongest.flags)} would take {binary_size(least)}"


def _weakest(kinds: Sequence[list[Change]], fits: Callable[[Change], bool]) -> Change:
    """Choose the weakest change of each kind that still fits; crops, which come last, before the others."""
    chosen = [kind[-1] for kind in kinds]
    for place in reversed(range(len(kinds))):
        for change in kinds[place][:-1]:
            if fits(_joined([*chosen[:place], change, *chosen[place + 1 :]])):
                chosen[place] = change
                break
    return _joined(chosen)


def _joined(changes: Iterable[Change]) -> Change:
    columns = zip(*changes, strict=True)
    return Change(*(tuple(value for part in column for value in part) for column in columns))


def _training_batch(recipe: Recipe, settings: Any) -> Any:
    """Return a batch of the shapes of training: images of the preview, as many as ``batch_size`` says, if it does."""
    preview = recipe.preview_batch()
    size = getattr(settings, "batch_size", None)
    if size is None:
        return preview
    return tree_map(lambda leaf: leaf[:1].expand(size, *leaf.shape[1:]) if isinstance(leaf, Tensor) else leaf, preview)


def _fits(needed: Estimate, free: int) -> bool:
    return needed.total <= _USABLE * free


def _told(needed: Estimate) -> str:
    states, activations = binary_size(needed.between), binary_size(needed.activations)
    return f"about {binary_size(needed.total)} (states {states}, activations {activations})"
