"""The matrix: every registered generator with every discriminator, criterion and term, across plugins.

``python -m i2i.testing.matrix`` trains, saves and reloads all of them, and prints the count.
"""

from __future__ import annotations

import itertools
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from i2i.engine import fit
from i2i.errors import CompositionError, NotOfferedError
from i2i.models import load, save
from i2i.registry import registry
from i2i.step import modules_of
from i2i.testing.contract import require, seeded
from i2i.testing.mix import Always, Combination, Mix


def combinations() -> list[Combination]:
    """Return all combinations of what the installed plugins registered.

    Example:
        >>> str(combinations()[0]).count(" x ")
        3
    """
    parts = registry().tables.parts.all()
    kinds = [[part for part in parts if part.kind == kind] for kind in Combination._fields]
    return [Combination(*chosen) for chosen in itertools.product(*kinds)]


def sample(seed: int, among: Iterable[Combination]) -> list[Combination]:
    """Return one of ``among`` for each pair of generator and discriminator, drawn from ``seed``."""
    draws = random.Random(seed)
    pairs: dict[tuple[str, str], list[Combination]] = {}
    for each in among:
        pairs.setdefault((each.generator.name, each.discriminator.name), []).append(each)
    return [draws.choice(group) for group in pairs.values()]


def check_combination(combination: Combination) -> str | None:
    """Train two steps of a combination, go on from its checkpoint, save its generator and load it.

    The term is wired by the names of its parameters. It joins the loss of the discriminator if it asks for the
    ``critic``, else that of the generator.

    Returns:
        None where it trains; where it makes no sense, why it was refused. Then no weight has moved.

    Raises:
        ContractError: it breaks a promise; any other error as it comes.
    """
    with tempfile.TemporaryDirectory() as folder, seeded():
        try:
            mix = Mix(combination)
        except CompositionError as error:
            return str(error)
        nets = mix.nets()
        before = _weights(nets)
        try:
            fit(mix.step, nets, Always(mix.batch), steps=2, out=folder, device="cpu")
        except NotOfferedError as error:
            require(_equal(before, _weights(nets)), f"is refused ({error}), but after weights have moved")
            return str(error)
        _check_trained(nets, before)
        again = mix.nets()
        fit(mix.step, again, Always(mix.batch), steps=2, out=folder, resume=True, device="cpu")
        require(_equal(_weights(nets), _weights(again)), "has other weights once it is resumed")
        _check_model(nets.G.eval(), mix.source, Path(folder) / "made")
    return None


def _check_trained(nets: Any, before: list[Tensor]) -> None:
    for name, net in zip(nets._fields, nets, strict=True):
        gradients = [p.grad for p in net.parameters() if p.grad is not None]
        require(bool(gradients), f"gives net {name} no gradient")
        require(all(bool(g.isfinite().all()) for g in gradients), f"gives net {name} gradients that are not finite")
    require(not _equal(before, _weights(nets)), "does not move any weight")


def _check_model(net: nn.Module, image: Tensor, folder: Path) -> None:
    save(net, folder)
    images = []
    for each in (net, load(folder)):
        with torch.no_grad(), seeded():
            images.append(each(image).image)
    require(torch.equal(*images), "makes other images once it is saved and loaded")


def _weights(nets: Any) -> list[Tensor]:
    return [tensor.clone() for net in modules_of(nets) for tensor in net.state_dict().values()]


def _equal(some: list[Tensor], others: list[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(some, others, strict=True))


def check_all(every: Sequence[Combination]) -> int:
    """Check combinations; print the count, and the reasons of all refusals.

    Returns:
        The exit code: 1 if any failed.
    """
    begun = time.monotonic()
    refused: Counter[str] = Counter()
    failed: list[str] = []
    for each in tqdm(every, unit="mix", disable=None):
        try:
            reason = check_combination(each)
        except Exception as error:  # whatever a part raises; all are to be seen in one run
            failed.append(f"{each}: {type(error).__name__}: {error}")
            continue
        if reason is not None:
            refused[reason] += 1
    for reason, count in sorted(refused.items()):
        print(f"refused, {count} times: {reason}")
    for line in failed:
        print(f"FAILED {line}")
    trained = len(every) - refused.total() - len(failed)
    took = time.monotonic() - begun
    print(
        f"{len(every)} combinations: {trained} trained, {refused.total()} refused, {len(failed)} failed; {took:.0f} s"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    torch.set_num_threads(1)  # nets this small only wait for a second one
    sys.exit(check_all(combinations()))
