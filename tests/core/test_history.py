"""The image pool against a plain list transcription of the authors' code (specs/cyclegan.md, 1.5)."""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from i2i.checkpoint import read_tree, snapshot, write_tree
from i2i.combine import alternate, repeat
from i2i.errors import CompositionError
from i2i.history import ImagePool, replayed
from i2i.policy import Policy, Turn
from i2i.step import Step, player
from i2i.values import Translation


def authors_pool(size: int, kept: list[Tensor], images: Tensor) -> Tensor:
    """Draws from Python's global generator, as the authors do."""
    if size == 0:
        return images
    shown = []
    for image in images:
        if len(kept) < size:
            kept.append(image)
            shown.append(image)
        elif random.uniform(0, 1) > 0.5:
            slot = random.randint(0, size - 1)
            shown.append(kept[slot].clone())
            kept[slot] = image
        else:
            shown.append(image)
    return torch.stack(shown)


def numbered(count: int, batch: int) -> list[Tensor]:
    """Batches of images that are all different."""
    return list(torch.arange(count * batch * 2.0).view(count, batch, 1, 1, 2))


@pytest.mark.parametrize("size", [0, 1, 3, 50])
@pytest.mark.parametrize("batch", [1, 2, 7])
@pytest.mark.parametrize("fields", [("b",), ("b", "a")])
def test_the_draws_are_those_of_the_authors(size: int, batch: int, fields: tuple[str, ...]) -> None:
    random.seed(3)
    pool, kept = ImagePool(size), {field: list[Tensor]() for field in fields}
    random.seed(3)
    for images in numbered(120 // batch, batch):
        for number, field in enumerate(fields):
            wanted = authors_pool(size, kept[field], images + 1000 * number)
            torch.testing.assert_close(pool(field, images + 1000 * number), wanted, rtol=0, atol=0)


def test_a_batch_of_unequal_sizes_comes_from_a_list_on_the_host() -> None:
    sizes = [(2, 3), (2, 3), (4, 2), (2, 3), (5, 5)] * 20
    images = [torch.full((1, 1, *size), float(i)) for i, size in enumerate(sizes)]
    random.seed(3)
    pool, kept = ImagePool(4), list[Tensor]()
    random.seed(3)
    for image in images:
        wanted = authors_pool(4, kept, image)
        torch.testing.assert_close(pool("x", image), wanted, rtol=0, atol=0)
    assert isinstance(pool.state_dict()["kept"]["x"], list)
    with pytest.raises(CompositionError, match="unequal sizes needs batches of 1: they cannot be stacked"):
        pool("x", torch.zeros(2, 1, 2, 3))


def test_what_comes_out_is_detached_and_may_be_written_to() -> None:
    pool = ImagePool(2)
    fake = torch.ones(1, 1, 1, 1, requires_grad=True) * 2
    shown = pool("x", fake)
    assert not shown.requires_grad
    shown.zero_()
    assert pool.state_dict()["kept"]["x"].item() == 2
    assert not ImagePool(0)("x", fake).requires_grad


def test_two_pools_draw_differently_and_nothing_else_shifts_their_draws() -> None:
    def sequence(disturb: bool) -> list[list[float]]:
        random.seed(0)
        first, second = ImagePool(2), ImagePool(2)
        shown = []
        for image in torch.arange(40.0).view(40, 1, 1, 1, 1):
            if disturb:
                random.random()
            shown.append([first("x", image).item(), second("x", image).item()])
        return shown

    calm = sequence(disturb=False)
    assert calm == sequence(disturb=True)
    assert [a for a, _ in calm] != [b for _, b in calm]


@pytest.mark.parametrize("cut", [1, 5, 30])
@pytest.mark.parametrize("unequal", [False, True])
def test_goes_on_as_saved(cut: int, unequal: bool, tmp_path: Any) -> None:
    images = [torch.full((1, 1, 1 + (unequal and i % 3), 2), float(i)) for i in range(60)]
    pool = ImagePool(5)
    for image in images[:cut]:
        pool("x", image)
    write_tree(tmp_path / "saved", snapshot(pool))
    wanted = [pool("x", image) for image in images[cut:]]
    other = ImagePool(5)
    other.load_state_dict(read_tree(tmp_path / "saved"))
    for image, expected in zip(images[cut:], wanted, strict=True):
        torch.testing.assert_close(other("x", image), expected, rtol=0, atol=0)


# --- the combinator ---------------------------------------------------------------------------------------------------


class One(NamedTuple):
    D: Any


class Fakes(NamedTuple):
    fake_a: Any
    fake_b: Any
    other: Tensor


def see(kind: str, size: int, moves: tuple[int, int], accumulate: int, batch: int) -> list[dict[str, Tensor]]:
    """Return what the loss sees in 12 batches: ``moves`` outside and inside of `replayed`."""
    seen: list[dict[str, Tensor]] = []

    def share(n: One, x: Tensor) -> Any:
        a, b = x.clone(), x + 1000
        if kind == "translations":
            return Fakes(Translation(a, {"cam": a}), Translation(b), x)
        return Fakes(a, b, x) if kind == "tuple" else {"fake_a": a, "fake_b": b, "other": x}

    def loss(n: One, x: Tensor, shared: Any) -> Mapping[str, Tensor]:
        values = shared._asdict() if isinstance(shared, Fakes) else shared
        if kind == "translations":
            assert values["fake_a"].extras == {}  # those belong to another image
            values = {key: value.image if key != "other" else value for key, value in values.items()}
        assert type(shared) is (dict if kind == "mapping" else Fakes)
        seen.append(copy.deepcopy(values))
        return {"x": n.D.weight.sum()}

    d: Step[One, Tensor] = player(lambda n: n.D, loss, torch.optim.SGD, weights={"x": 1}, lr=0)
    inner = replayed(size, ("fake_b", "fake_a"), repeat(moves[1], d))
    step = alternate(share=share, d=repeat(moves[0], inner))
    nets, policy = One(nn.Linear(1, 1)), Policy(accumulate=accumulate)
    random.seed(7)
    state = step.init(nets, policy, None)
    for now, x in enumerate(numbered(12, batch)):
        state, _ = step.update(nets, state, x, Turn(policy, now))
    return seen


def wanted(size: int, moves: tuple[int, int], batch: int) -> list[dict[str, Tensor]]:
    kept: dict[str, list[Tensor]] = {"fake_a": [], "fake_b": []}
    found = []
    random.seed(7)
    for x in numbered(12, batch):
        for _ in range(moves[0]):
            b = authors_pool(size, kept["fake_b"], x + 1000)  # fake_b is queried first
            a = authors_pool(size, kept["fake_a"], x)
            found += [{"fake_a": a, "fake_b": b, "other": x}] * moves[1]
    return found


@pytest.mark.parametrize("kind", ["tuple", "mapping", "translations"])
@pytest.mark.parametrize("moves", [(1, 1), (2, 1), (1, 2)])
def test_fields_are_replaced_in_the_order_given_once_per_move_of_what_is_around(
    kind: str, moves: tuple[int, int]
) -> None:
    for size in (0, 3):
        torch.testing.assert_close(see(kind, size, moves, 1, 2), wanted(size, moves, 2), rtol=0, atol=0)


@pytest.mark.parametrize("accumulate", [2, 4])
def test_what_is_shown_does_not_depend_on_how_the_batch_is_cut(accumulate: int) -> None:
    seen = see("tuple", 3, (1, 1), accumulate, 4)
    whole = [
        {key: torch.cat([part[key] for part in seen[start : start + accumulate]]) for key in seen[0]}
        for start in range(0, len(seen), accumulate)
    ]
    torch.testing.assert_close(whole, wanted(3, (1, 1), 4), rtol=0, atol=0)


def test_a_run_resumed_in_another_precision_keeps_its_images() -> None:
    random.seed(0)
    pool = ImagePool(2)
    pool("fake", torch.tensor([1.0, 2.0]).view(2, 1, 1, 1).bfloat16())
    shown = [pool("fake", torch.full((2, 1, 1, 1), 3.0 + i)) for i in range(6)]
    assert {float(value) for images in shown for value in images.flatten()} >= {1.0, 2.0}
    assert all(images.dtype == torch.float32 for images in shown)
