"""`staged`, with a toy of three stages, the last of which trains nets of the first two on.

Run as a script it resumes the runs in the folders that it is given: a new process.
"""

from __future__ import annotations

import functools
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2i.checkpoint import load_checkpoint
from i2i.combine import alternate, every, repeat
from i2i.engine import Run, fit
from i2i.errors import CompositionError, NonFiniteError, RunError
from i2i.history import replayed
from i2i.observers import Checkpoints, JsonLines
from i2i.policy import Policy, Turn
from i2i.protocols import Observer, Seen
from i2i.stages import Stage, Stages, staged
from i2i.step import Step, player

LENGTHS = (3, 4, 3)
TOTAL = sum(LENGTHS)


class Net(nn.Module):
    """Dropout, batch norm, and a number that ``grow`` fills in."""

    amplitude: Tensor

    def __init__(self, out: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3), nn.Dropout(0.3), nn.Conv2d(3, out, 1))
        self.register_buffer("amplitude", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.layers(x * self.amplitude)
        return made


class First(NamedTuple):
    G: Net
    D: Net


class Joint(NamedTuple):
    coarse: Net
    fine: Net
    D: Net


class Fakes(NamedTuple):
    fake: Tensor


def refine(n: Joint, x: Tensor) -> Tensor:
    made: Tensor = n.fine(F.interpolate(n.coarse(F.avg_pool2d(x, 2)), scale_factor=2.0))
    return made


def critics(generate: Callable[[Any, Tensor], Tensor], trains: Callable[[Any], Any]) -> Step[Any, Tensor]:
    def g_loss(n: Any, x: Tensor, shared: Fakes) -> dict[str, Tensor]:
        return {"adv": F.softplus(-n.D(shared.fake)).mean(), "noise": (shared.fake * torch.randn_like(x)).mean()}

    def d_loss(n: Any, x: Tensor, shared: Fakes) -> dict[str, Tensor]:
        return {"adv": F.softplus(-n.D(x)).mean() + F.softplus(n.D(shared.fake)).mean()}

    def lr(now: int) -> float:
        return 0.05 / (1 + now)

    g: Step[Any, Tensor] = player(trains, g_loss, torch.optim.Adam, weights={"adv": 1, "noise": 0.1}, lr=lr)
    d: Step[Any, Tensor] = player(lambda n: n.D, d_loss, torch.optim.RMSprop, weights={"adv": 1}, lr=lr)
    steps: Any = {"d": replayed(3, ("fake",), repeat(2, d)), "g": every(2, g)}
    return alternate(share=lambda n, x: Fakes(generate(n, x)), live="g", **steps)


def grow(k: int, done: tuple[Any, ...]) -> Stage:
    if k == 0:
        nets = First(Net(1), Net(1))
        nets.G.amplitude.fill_(1 + random.random())
        return Stage(nets, critics(lambda n, x: n.G(x), lambda n: n.G), view=lambda x: F.avg_pool2d(x, 2))
    if k == 1:
        nets = First(Net(1), Net(1))
        nets.G.amplitude.copy_(done[0].G(torch.randn(4, 1, 2, 2)).detach().std())  # moves the batch norm of stage 0
        return Stage(nets, critics(lambda n, x: n.G(x), lambda n: n.G))
    with torch.no_grad():
        done[0].G(torch.randn(4, 1, 2, 2))
        done[1].D(torch.randn(4, 1, 2, 2))
    joint = Joint(done[0].G, done[1].G, done[1].D)
    return Stage(joint, critics(refine, lambda n: (n.coarse, n.fine)))


def make_step() -> Step[Any, Tensor]:
    return staged(grow, LENGTHS)


def make_data() -> list[Tensor]:
    return list(torch.randn(4, 4, 1, 4, 4, generator=torch.Generator().manual_seed(3)))


def run(out: Path, *, resume: bool = False, average: float | None = 0.8) -> Run:
    torch.manual_seed(0)
    random.seed(0)
    if resume:  # what a new process would find: other numbers
        torch.manual_seed(99)
        random.seed(99)
    observers: list[Observer] = [JsonLines(1), Checkpoints(1, keep_last=TOTAL)]
    policy = Policy(average=average)
    return fit(make_step(), None, make_data(), policy=policy, observers=observers, out=out, resume=resume, device="cpu")


def result(folder: Path) -> dict[str, bytes]:
    """All that is left of a run."""
    files = [*sorted((folder / "checkpoints" / f"step-{TOTAL}").iterdir()), folder / "metrics.jsonl"]
    return {file.name: file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    run(folder)
    return folder


def killed_at(batch: int, undisturbed: Path, folder: Path) -> Path:
    """What a run leaves that is killed one batch after its checkpoint."""
    (folder / "checkpoints").mkdir(parents=True)
    name = f"step-{batch}"
    shutil.copytree(undisturbed / "checkpoints" / name, folder / "checkpoints" / name)
    lines = (undisturbed / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_text("".join(lines[: batch + 1]) + '{"batch": 99')
    return folder


def test_two_runs_with_one_seed_are_equal(undisturbed: Path, tmp_path: Path) -> None:
    run(tmp_path)
    assert result(tmp_path) == result(undisturbed)


@pytest.mark.parametrize("batch", range(1, TOTAL))
def test_resumes_bit_for_bit_at_every_batch(batch: int, undisturbed: Path, tmp_path: Path) -> None:
    found = run(killed_at(batch, undisturbed, tmp_path), resume=True)
    assert found.batches == TOTAL
    assert result(tmp_path) == result(undisturbed)


def test_resumes_bit_for_bit_in_a_new_process(undisturbed: Path, tmp_path: Path) -> None:
    folders = [killed_at(batch, undisturbed, tmp_path / str(batch)) for batch in (2, 3, 5, 7, 9)]
    subprocess.run(
        [sys.executable, __file__, *map(str, folders)], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    for folder in folders:
        assert result(folder) == result(undisturbed), folder.name


def test_nothing_of_the_run_is_missing_in_its_checkpoint(undisturbed: Path) -> None:
    """So that the tests above cannot pass on nothing."""
    tree = load_checkpoint(undisturbed / "checkpoints" / f"step-{TOTAL}")
    assert [len(nets) for nets in tree["state"]["nets"]] == [2, 2, 3]
    assert tree["state"]["number"] == 2
    pool, _ = tree["state"]["inner"][1]["d"]
    assert len(pool["kept"]["fake"]) == 3
    assert tree["average"]


# --- what happens at the border of stages -----------------------------------------------------------------------------


def test_finished_nets_are_frozen_and_in_eval_mode_unless_they_are_trained_on(tmp_path: Path) -> None:
    torch.manual_seed(0)
    nets: list[Stages] = []

    class Watch:
        every = 1

        def __call__(self, seen: Seen) -> None:
            nets.append(seen.nets)
            modes.append([describe(net) for stage in (*seen.nets.finished, seen.nets.current) for net in stage])

    def describe(net: nn.Module) -> str:
        assert len({m.training for m in net.modules()}) == 1
        assert len({p.requires_grad for p in net.parameters()}) == 1
        return ("train" if net.training else "eval") + ("" if next(net.parameters()).requires_grad else ", frozen")

    modes: list[list[str]] = []
    found = fit(make_step(), None, make_data(), observers=[Watch()], device="cpu")
    first, second = ["train"] * 2, ["eval, frozen"] * 2 + ["train"] * 2
    third = ["train", "eval, frozen"] + ["train"] * 5
    assert modes == [first] * 3 + [second] * 4 + [third] * 3
    assert [len(n.finished) for n in nets] == [0] * 3 + [1] * 4 + [2] * 3
    assert found.nets.trained == tuple(found.nets.current[i] for i in (2, 0, 1))
    assert found.nets.current == (found.nets.finished[0].G, *found.nets.finished[1])


def test_a_net_that_is_done_stays_as_it_is_and_one_that_is_trained_on_moves(undisturbed: Path) -> None:
    def weights(batch: int, stage: int, net: int) -> list[Tensor]:
        state = load_checkpoint(undisturbed / "checkpoints" / f"step-{batch}")["state"]["nets"][stage][net]
        return [value for name, value in state.items() if "weight" in name]

    for after in (4, 7, 10):
        torch.testing.assert_close(weights(3, 0, 1), weights(after, 0, 1), rtol=0, atol=0)
    torch.testing.assert_close(weights(3, 0, 0), weights(7, 0, 0), rtol=0, atol=0)
    assert not torch.equal(weights(7, 0, 0)[0], weights(10, 0, 0)[0])
    assert not torch.equal(weights(7, 1, 1)[0], weights(10, 1, 1)[0])
    torch.testing.assert_close(weights(10, 2, 0), weights(10, 0, 0), rtol=0, atol=0)


class One(NamedTuple):
    net: Any


def counting(seen: list[Any], *, freeze: bool = False) -> Callable[[int, tuple[Any, ...]], Stage]:
    """Stages of one number each, which falls by the learning rate: 1, 2, 3, ... in each stage."""

    def loss(n: One, x: Tensor) -> dict[str, Tensor]:
        seen.append(x.tolist())
        return {"x": n.net.weight.sum()}

    def grow(k: int, done: tuple[Any, ...]) -> Stage:
        nets = One(nn.Linear(1, 1, bias=False))
        nn.init.zeros_(nets.net.weight)
        step: Step[One, Tensor] = player(
            lambda n: n.net, loss, torch.optim.SGD, weights={"x": lambda now: 10.0**k}, lr=lambda now: 1.0 + now
        )
        return Stage(nets, step, view=lambda x: x[k:])

    return grow


def test_batches_are_counted_from_zero_and_seen_through_the_view_of_the_stage() -> None:
    seen: list[Any] = []
    step = staged(counting(seen), (2, 3))
    assert step.length == 5
    data = [torch.tensor([i, i + 0.5]) for i in range(6)]
    found = fit(step, None, data, steps=6, device="cpu")  # the last stage goes on
    assert found.nets.finished[0].net.weight.item() == -(1 + 2)
    assert found.nets.current.net.weight.item() == -10 * (1 + 2 + 3 + 4)
    assert seen == [[0, 0.5], [1, 1.5], [2.5], [3.5], [4.5], [5.5]]


def test_new_nets_begin_a_new_average_and_those_trained_on_keep_theirs() -> None:
    def grow(k: int, done: tuple[Any, ...]) -> Stage:
        nets = done[0] if k == 2 else One(nn.Linear(1, 1, bias=False))
        if k < 2:
            nn.init.zeros_(nets.net.weight)
        loss = lambda n, x: {"x": n.net.weight.sum()}  # noqa: E731
        return Stage(nets, player(lambda n: n.net, loss, torch.optim.SGD, weights={"x": 1}, lr=1))

    averages = []

    class Watch:
        every = 1

        def __call__(self, seen: Seen) -> None:
            stages = (*seen.average.finished, seen.average.current)
            averages.append([stage.net.weight.item() for stage in stages])

    fit(staged(grow, (2, 2, 1)), None, [torch.zeros(1)], policy=Policy(average=0.75), observers=[Watch()], device="cpu")
    # The average of stage 0 starts from its initial 0; that of stage 1 from the weight after its first batch, -1.
    assert averages == [
        [-0.25],
        [0.75 * -0.25 + 0.25 * -2],
        [-0.6875, -1.0],
        [-0.6875, 0.75 * -1 + 0.25 * -2],
        [0.75 * -0.6875 + 0.25 * -3, -1.25, 0.75 * -0.6875 + 0.25 * -3],
    ]


def test_a_resumed_run_keeps_the_averages_of_the_stages_that_are_done(tmp_path: Path) -> None:
    torch.manual_seed(0)
    data, policy = [torch.ones(1, 1)], Policy(average=0.75)
    step = staged(once, (3, 3, 3))
    first = fit(step, None, data, policy=policy, steps=5, out=tmp_path, device="cpu").average.finished[0].net
    found = fit(step, None, data, policy=policy, out=tmp_path, resume=True, device="cpu")
    assert len(found.average.finished) == 2
    torch.testing.assert_close(found.average.finished[0].net.state_dict(), first.state_dict(), rtol=0, atol=0)
    for average, nets in zip(found.average.finished, found.nets.finished, strict=True):
        assert not torch.equal(average.net.weight, nets.net.weight)


def test_a_stage_does_not_begin_after_something_became_infinite() -> None:
    def grow(k: int, done: tuple[Any, ...]) -> Stage:
        grown.append(k)
        loss = lambda n, x: {"x": n.net.weight.sum() / (1 if k == 0 else x.sum())}  # noqa: E731
        return Stage(One(nn.Linear(1, 1)), player(lambda n: n.net, loss, torch.optim.SGD, weights={"x": 1}, lr=1))

    grown: list[int] = []
    with pytest.raises(NonFiniteError, match="^x, gradient became infinite or not a number at batch 2; "):
        fit(staged(grow, (2, 2, 2)), None, [torch.zeros(1)], device="cpu")
    assert grown == [0, 1]


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", [(), (0,), (3, -1)])
def test_lengths_must_be_positive(lengths: tuple[int, ...]) -> None:
    with pytest.raises(CompositionError, match="each stage must last 1 batch or more"):
        staged(grow, lengths)


def test_grow_must_return_a_stage() -> None:
    with pytest.raises(CompositionError, match=r"^grow\(0, \.\.\.\) returns a tuple; it must return a Stage$"):
        fit(staged(lambda k, done: (1, 2), (1,)), None, make_data(), device="cpu")  # type: ignore[arg-type, return-value]


def test_nets_belong_to_grow_and_not_to_fit() -> None:
    with pytest.raises(CompositionError, match=r"^staged\(\) grows its own nets: it must be the outermost step"):
        fit(make_step(), First(Net(1), Net(1)), make_data(), device="cpu")


def test_a_net_of_a_stage_that_nobody_trains_is_named() -> None:
    def grow(k: int, done: tuple[Any, ...]) -> Stage:
        return Stage(First(Net(1), Net(1)), player(lambda n: n.G, lambda n, x: {}, torch.optim.SGD, weights={}, lr=0))

    with pytest.raises(CompositionError, match="^net D: no player trains 6 of its tensors"):
        fit(staged(grow, (1,)), None, make_data(), device="cpu")


def test_a_mistake_in_a_later_stage_is_said_with_its_player() -> None:
    def later(k: int, done: tuple[Any, ...]) -> Stage:
        stage = counting([])(k, done)
        if k == 0:
            return stage
        wrong: Step[Any, Any] = player(lambda n: n.net, lambda n, x: {}, torch.optim.SGD, weights={"x": 1}, lr=0)
        return stage._replace(step=alternate(g=wrong))

    step = staged(later, (1, 1))
    state = step.init(None, Policy(), None)
    state, _ = step.update(step.nets(None, state), state, torch.zeros(2), Turn(Policy(), 0))
    with pytest.raises(CompositionError, match="^g: no term for weight x: the loss returns ; weights are x$"):
        step.update(step.nets(None, state), state, torch.zeros(2), Turn(Policy(), 1))


def once(k: int, done: tuple[Any, ...], *, width: int = 3, optimizer: Any = torch.optim.Adam) -> Stage:
    step: Step[Any, Any] = player(
        lambda n: n.net, lambda n, x: {"x": n.net(x).mean()}, optimizer, weights={"x": 1}, lr=0.1
    )
    return Stage(One(nn.Linear(1, width if k else 3)), alternate(g=step))


@pytest.mark.parametrize(
    ("grow_now", "lengths", "said"),
    [
        (functools.partial(once, width=4), (2, 2, 2), r"stage 2 was saved with other nets \(Error\(s\) in loading"),
        (
            functools.partial(once, optimizer=torch.optim.SGD),
            (2, 2, 2),
            "g: saved was the optimiser Adam, but here it is",
        ),
        (once, (3, 2, 2), "stage 1 was begun with 2 batches, but here it has 3"),
        (once, (2, 3, 2), "stage 2 was begun with 2 batches, but here it has 3"),
        (once, (4,), "saved was stage 2, but here are only 1 stages"),
    ],
)
def test_what_other_stages_saved_is_refused_in_one_line(
    grow_now: Any, lengths: tuple[int, ...], said: str, tmp_path: Path
) -> None:
    data = [torch.ones(1, 1)]
    fit(staged(once, (2, 2, 2)), None, data, steps=3, out=tmp_path, device="cpu")
    with pytest.raises(RunError, match=f"step-3 was written by another step; give that to go on with it .{said}"):
        fit(staged(grow_now, lengths), None, data, steps=6, out=tmp_path, resume=True, device="cpu")
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-3"]


def test_stages_that_have_not_begun_and_the_last_one_may_be_of_other_lengths(tmp_path: Path) -> None:
    data = [torch.ones(1, 1)]
    fit(staged(once, (2, 2, 2)), None, data, steps=3, out=tmp_path, device="cpu")
    fit(staged(once, (2, 2, 3)), None, data, out=tmp_path, resume=True, device="cpu")
    found = fit(staged(once, (2, 2, 4)), None, data, out=tmp_path, resume=True, device="cpu")
    assert (found.batches, len(found.nets.finished)) == (8, 2)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        run(Path(name), resume=True)
