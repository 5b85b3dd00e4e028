from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from filelock import FileLock
from torch import Tensor, nn

from i2i.checkpoint import load_checkpoint, save_checkpoint
from i2i.combine import alternate, every, repeat
from i2i.engine import Run, backend_flags, fit
from i2i.errors import CompositionError, DataError, I2IError, NonFiniteError, RunError, SettingsError
from i2i.history import replayed
from i2i.observers import Checkpoints, JsonLines
from i2i.policy import Policy
from i2i.protocols import Observer, Seen
from i2i.step import Step, player

TOTAL = 8


class Nets(NamedTuple):
    G: Any
    D: Any


class Fakes(NamedTuple):
    fake: Tensor


def make_nets(seed: int = 0) -> Nets:
    """With dropout and batch norm, so that random numbers and buffers matter."""
    torch.manual_seed(seed)
    random.seed(seed)
    G = nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3), nn.Dropout(0.3), nn.Conv2d(3, 1, 1))
    return Nets(G, nn.Conv2d(1, 1, 1))


def make_step() -> Step[Nets, Tensor]:
    def g_loss(n: Nets, x: Tensor, shared: Fakes) -> dict[str, Tensor]:
        return {"adv": F.softplus(-n.D(shared.fake)).mean(), "l1": (shared.fake - x * random.random()).abs().mean()}

    def d_loss(n: Nets, x: Tensor, shared: Fakes) -> dict[str, Tensor]:
        return {"adv": F.softplus(-n.D(x)).mean() + F.softplus(n.D(shared.fake)).mean()}

    def lr(now: int) -> float:
        return 0.05 * (1 - now / TOTAL)

    g: Step[Nets, Tensor] = player(lambda n: n.G, g_loss, torch.optim.Adam, weights={"adv": 1, "l1": lr}, lr=lr)
    d: Step[Nets, Tensor] = player(lambda n: n.D, d_loss, torch.optim.RMSprop, weights={"adv": 0.5}, lr=lr)
    return alternate(share=lambda n, x: Fakes(n.G(x)), live="g", g=repeat(2, g), d=every(3, replayed(2, ("fake",), d)))


def make_batches(count: int = 3) -> list[Tensor]:
    return list(torch.randn(count, 4, 1, 2, 2, generator=torch.Generator().manual_seed(1)))


class Positioned:
    """Data that know where they are, as ours do: counts batches when they are handed out."""

    def __init__(self) -> None:
        self.batches, self.position, self.handed_out = make_batches(), 0, 0

    def __iter__(self) -> Iterator[Tensor]:
        for batch in self.batches[self.position % len(self.batches) :]:
            self.position += 1
            self.handed_out += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state_dict(self, saved: dict[str, int]) -> None:
        self.position = saved["position"]


class Exhausted(Positioned):
    """At the end of an epoch these have an empty rest of it, as torchdata's."""

    def __iter__(self) -> Iterator[Tensor]:
        if self.position and self.position % len(self.batches) == 0 and self.handed_out == 0:
            self.handed_out = 1
            return iter(())
        return super().__iter__()


def run(
    out: Path | None, *, resume: bool = False, data: Any = None, average: float | None = 0.7, **options: Any
) -> Run:
    nets = make_nets(99 if resume else 0)  # what a new process finds: other weights, other random numbers
    observers = options.pop("observers", [JsonLines(1), Checkpoints(1, keep_last=TOTAL)])
    options = {"steps": TOTAL, "policy": Policy(average=average), "device": "cpu", **options}
    data = make_batches() if data is None else data
    return fit(make_step(), nets, data, observers=observers, out=out, resume=resume, **options)


def result(folder: Path, batches: int = TOTAL) -> dict[str, bytes]:
    """All that is left of a run: weights, optimisers, pools, random numbers, average, position; metrics."""
    files = [*sorted((folder / "checkpoints" / f"step-{batches}").iterdir()), folder / "metrics.jsonl"]
    return {file.name: file.read_bytes() for file in files}


def weights(run: Run) -> list[Tensor]:
    return [tensor for nets in (run.nets, run.average) for net in nets for tensor in net.state_dict().values()]


DATA: dict[str, Callable[[], Any]] = {
    "a list": make_batches,
    "with a position": Positioned,
    "with an empty rest": Exhausted,
}


@pytest.fixture(scope="module", params=DATA)
def undisturbed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("undisturbed")
    run(folder, data=DATA[request.param]())
    return request.param, folder


def killed_at(batch: int, undisturbed: Path, folder: Path) -> Path:
    name = f"step-{batch}"
    shutil.copytree(undisturbed / "checkpoints" / name, folder / "checkpoints" / name)
    lines = (undisturbed / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_text("".join(lines[: batch + 1]) + '{"batch": 99')
    return folder


@pytest.mark.parametrize("batch", range(1, TOTAL + 1))
def test_resumes_bit_for_bit_at_every_batch(batch: int, undisturbed: tuple[str, Path], tmp_path: Path) -> None:
    kind, folder = undisturbed
    data = DATA[kind]()
    killed_at(batch, folder, tmp_path)
    if batch == TOTAL:
        shutil.copy(folder / "metrics.jsonl", tmp_path)  # there is nothing more to write
    found = run(tmp_path, resume=True, data=data)
    assert found.batches == TOTAL
    assert result(tmp_path) == result(folder)
    if isinstance(data, Positioned) and kind == "with a position":
        assert data.handed_out == TOTAL - batch


def test_checkpoints_hold_all_there_is(undisturbed: tuple[str, Path]) -> None:
    """So that the test above cannot pass on nothing."""
    tree = load_checkpoint(undisturbed[1] / "checkpoints" / f"step-{TOTAL}")
    assert list(tree) == ["nets", "state", "average", "data", "observers", "rng"]
    assert [len(net) for net in tree["nets"]] == [9, 2]
    assert set(tree["average"]) == {0, 1}
    assert tree["data"] == (None if undisturbed[0] == "a list" else {"position": TOTAL})
    assert set(tree["state"][1]) == {"g", "d"}


def test_one_seed_gives_the_same_run_again_and_another_one_does_not() -> None:
    first, again = weights(run(None, observers=())), weights(run(None, observers=()))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    other = fit(make_step(), make_nets(1), make_batches(), steps=TOTAL, policy=Policy(average=0.7), device="cpu")
    assert not torch.equal(first[0], weights(other)[0])


def test_intervals_and_out_do_not_change_a_run(tmp_path: Path) -> None:
    calm = weights(run(None, observers=()))
    for number, interval in enumerate((1, 3)):
        out = tmp_path / str(number)
        observers = [JsonLines(interval), Checkpoints(interval), Watch(2)]
        torch.testing.assert_close(weights(run(out, observers=observers)), calm, rtol=0, atol=0)


def test_resumes_with_other_intervals_and_a_longer_run(tmp_path: Path) -> None:
    run(tmp_path, steps=3, observers=[JsonLines(2)])
    found = run(tmp_path, resume=True, observers=[JsonLines(3)])
    torch.testing.assert_close(weights(found), weights(run(None, observers=())), rtol=0, atol=0)


def test_data_without_position_are_wound_forward_with_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, steps=5)
    assert capsys.readouterr().err == ""
    run(tmp_path, resume=True)
    assert capsys.readouterr().err == "the data has no state_dict(): winding forward 5 batches\n"


# --- observers --------------------------------------------------------------------------------------------------------


class Watch:
    def __init__(self, every: int = 1) -> None:
        self.every = every
        self.seen: list[Seen] = []
        self.closed = 0

    def __call__(self, seen: Seen) -> None:
        self.seen.append(seen)

    def close(self) -> None:
        self.closed += 1


def test_observers_are_called_when_due_and_after_the_last_batch() -> None:
    watches = [Watch(1), Watch(3), Watch(50)]
    data = make_batches()
    found = run(None, observers=watches, data=data, average=None)
    assert [[seen.batches for seen in watch.seen] for watch in watches] == [list(range(1, 9)), [3, 6, 8], [8]]
    assert [watch.closed for watch in watches] == [1, 1, 1]
    seen = watches[0].seen[4]
    assert (seen.length, seen.out, seen.save()) == (TOTAL, None, None)
    assert seen.nets is seen.average
    assert all(a is b for a, b in zip(seen.nets, found.nets, strict=True))
    torch.testing.assert_close(seen.batch, data[4 % 3], rtol=0, atol=0)
    assert list(seen.metrics) == ["g/adv", "g/l1", "g/total", "d/adv", "d/total"]
    assert {type(value) for value in seen.metrics.values()} == {float}


def test_the_average_is_what_observers_get_to_use() -> None:
    watch = Watch(TOTAL)
    found = run(None, observers=[watch])
    (seen,) = watch.seen
    assert seen.average.G is found.average.G is not seen.nets.G
    assert not torch.equal(found.average.G[0].weight, found.nets.G[0].weight)


def test_observers_are_closed_when_a_run_breaks() -> None:
    class Broken(Watch):
        def __call__(self, seen: Seen) -> None:
            raise ZeroDivisionError

    watches = [Watch(), Broken()]
    with pytest.raises(ZeroDivisionError):
        run(None, observers=watches)
    assert [watch.closed for watch in watches] == [1, 1]


# --- ends before its time ---------------------------------------------------------------------------------------------


class Kill(Watch):
    """Sends a signal to this process while a batch is worked on."""

    def __init__(self, number: int, batch: int) -> None:
        super().__init__(1)
        self.number, self.batch = number, batch

    def __call__(self, seen: Seen) -> None:
        if seen.batches == self.batch:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_signal_saves_and_then_takes_its_course(number: int, error: type[BaseException], tmp_path: Path) -> None:
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    kill = Kill(number, 4)
    with pytest.raises(error) as caught:
        run(tmp_path, observers=[JsonLines(1), kill])
    if isinstance(caught.value, SystemExit):
        assert caught.value.code == 128 + signal.SIGTERM
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-4"]
    assert kill.closed == 1
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    run(tmp_path, resume=True)
    run(tmp_path / "calm")
    assert result(tmp_path) == result(tmp_path / "calm")


def test_a_second_signal_is_obeyed_at_once(tmp_path: Path) -> None:
    class Twice(Watch):
        def __call__(self, seen: Seen) -> None:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, observers=[Twice(1)])
    assert not (tmp_path / "checkpoints").exists()


def test_trains_in_a_thread_too_where_no_signal_can_be_caught(tmp_path: Path) -> None:
    found: list[Run] = []
    thread = threading.Thread(target=lambda: found.append(run(tmp_path)))
    thread.start()
    thread.join()
    assert found[0].batches == TOTAL


SCRIPT = '''
import importlib.util, signal, sys
class Without:
    """A finder that does not find some packages, as where they are not installed."""
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"datasets", "cattrs", "tyro", "tqdm", "PIL", "tensorboard", "tomli_w"}:
            return None
        return self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
import i2i.average, i2i.grids, i2i.losses, i2i.models, i2i.net, i2i.recipes, i2i.schedules, i2i.stages, i2i.terms
import i2i.testing, i2i.together, i2i.translate
spec = importlib.util.spec_from_file_location("toy", sys.argv[1])
toy = importlib.util.module_from_spec(spec)
sys.modules["toy"] = toy
spec.loader.exec_module(toy)
'''


def test_a_killed_process_without_data_and_command_line_packages_is_resumed(tmp_path: Path) -> None:
    """One process for two questions, since it takes seconds to start: what is imported, and what SIGTERM leaves."""
    source = Path(__file__).read_text()
    toy = tmp_path / "toy.py"
    toy.write_text(source[: source.index("DATA: dict")].replace("import pytest\n", ""))
    code = SCRIPT + (
        "kill = type('Kill', (), {'every': 4, '__call__': lambda self, seen: signal.raise_signal(signal.SIGTERM)})()\n"
        "toy.run(toy.Path(sys.argv[2]), observers=[toy.JsonLines(1), kill])\n"
    )
    out = tmp_path / "out"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(toy), str(out)], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stderr) == (128 + signal.SIGTERM, "")
    run(out, resume=True)
    run(tmp_path / "calm")
    assert result(out) == result(tmp_path / "calm")


# --- observers with a state -------------------------------------------------------------------------------------------


class Counting:
    """Remembers all batches that it saw, and saves; what comes after the checkpoint of a batch is forgotten."""

    def __init__(self, every: int, *, saves: bool = False) -> None:
        self.every, self.saves, self.seen = every, saves, torch.zeros(TOTAL)

    def __call__(self, seen: Seen) -> None:
        self.seen[seen.batches - 1] += self.every
        if self.saves:
            seen.save()

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]


class Other(Counting):
    """Is told apart from its base."""


def test_observers_with_a_state_are_resumed(tmp_path: Path) -> None:
    run(tmp_path, steps=4, observers=[Counting(2), Counting(1), JsonLines(1)])
    again = [Other(1), Counting(2), JsonLines(1), Counting(1), Counting(4)]
    run(tmp_path, resume=True, observers=again)
    counts = [observer.seen.tolist() for observer in again if isinstance(observer, Counting)]
    assert counts == [
        [0, 0, 0, 0, 1, 1, 1, 1],
        [0, 2, 0, 2, 0, 2, 0, 2],
        [1, 1, 1, 1, 1, 1, 1, 1],
        [0, 0, 0, 0, 0, 0, 0, 4],
    ]


def test_a_checkpoint_holds_what_all_observers_of_its_batch_saw(tmp_path: Path) -> None:
    """Also where one that saves stands first in the list, and where Checkpoints stand before it."""
    run(tmp_path, steps=2, observers=[Checkpoints(1), Counting(1, saves=True), Counting(2)])
    states = load_checkpoint(tmp_path / "checkpoints" / "step-2")["observers"].values()
    assert [state["seen"].tolist()[:2] for state in states] == [[1, 1], [0, 2]]


def test_a_checkpoint_holds_what_two_that_save_saw(tmp_path: Path) -> None:
    run(tmp_path, steps=2, observers=[Counting(1, saves=True), Other(1, saves=True)])
    states = load_checkpoint(tmp_path / "checkpoints" / "step-2")["observers"].values()
    assert [state["seen"].tolist()[:2] for state in states] == [[1, 1], [1, 1]]


def test_the_state_of_an_observer_outlasts_a_run_without_it(tmp_path: Path) -> None:
    run(tmp_path, steps=3, observers=[Counting(1)])
    run(tmp_path, steps=5, observers=[], resume=True)
    again = Counting(1)
    run(tmp_path, observers=[again], resume=True)
    assert again.seen.tolist() == [1, 1, 1, 0, 0, 1, 1, 1]


def test_an_observer_that_could_not_be_resumed_is_refused_at_once(tmp_path: Path) -> None:
    class Halfway:
        every = 1

        def __call__(self, seen: Seen) -> None: ...

        def state_dict(self) -> dict[str, Any]:
            return {}

    with pytest.raises(CompositionError, match=r"Halfway has state_dict\(\).* needs load_state_dict\(\) too"):
        run(tmp_path, observers=[Halfway()])
    assert not (tmp_path / "checkpoints").exists()


def test_checkpoints_from_before_observers_had_a_state(tmp_path: Path) -> None:
    run(tmp_path, steps=4)
    tree = load_checkpoint(tmp_path / "checkpoints" / "step-4")
    del tree["observers"]
    save_checkpoint(tmp_path, 4, tree)
    counting = Counting(1)
    run(tmp_path, resume=True, observers=[counting])
    assert counting.seen.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


# --- the guard --------------------------------------------------------------------------------------------------------


def poisoned(bad_batch: int) -> tuple[Step[Nets, Tensor], list[Tensor]]:
    """At that batch D's term is 0 with an infinite gradient."""

    def loss(n: Nets, x: Tensor) -> dict[str, Tensor]:
        return {"root": (n.D(x) - n.D.bias).abs().sqrt().mean()}

    data = [torch.full((1, 1, 1, 1), float(now != bad_batch)) for now in range(TOTAL)]
    step: Step[Nets, Tensor] = player(lambda n: n.D, loss, torch.optim.SGD, weights={"root": 1}, lr=0.01)
    return step, data


@pytest.mark.parametrize(("bad_batch", "left"), [(0, []), (3, [2]), (5, [2, 4])])
def test_nothing_bad_is_ever_written(bad_batch: int, left: list[int], tmp_path: Path) -> None:
    step, data = poisoned(bad_batch)
    nets = make_nets()
    nets.G.requires_grad_(False)
    observers: list[Observer] = [JsonLines(1), Checkpoints(2, keep_last=9)]
    with pytest.raises(NonFiniteError, match=f"^gradient became infinite or not a number at batch {bad_batch}; "):
        fit(step, nets, data, steps=TOTAL, observers=observers, out=tmp_path, device="cpu")
    assert sorted(int(path.name[5:]) for path in tmp_path.glob("checkpoints/step-*")) == left
    rows = (tmp_path / "metrics.jsonl").read_text().splitlines() if bad_batch else []
    assert len(rows) == bad_batch
    for batches in left:
        tree = load_checkpoint(tmp_path / "checkpoints" / f"step-{batches}")
        assert all(value.isfinite().all() for value in tree["nets"][1].values())


@pytest.mark.parametrize("due", [1, 4, 50])
def test_the_guard_is_read_when_an_observer_is_due_and_at_the_end(due: int) -> None:
    step, data = poisoned(1)
    nets, watch = make_nets(), Watch(due)
    nets.G.requires_grad_(False)
    seen: list[int] = []

    def counted() -> Iterator[Tensor]:
        for now, x in enumerate(data):
            seen.append(now)
            yield x

    with pytest.raises(NonFiniteError, match="^gradient became infinite or not a number at batch 1; "):
        fit(step, nets, counted(), steps=TOTAL, observers=[watch], device="cpu")
    assert len(seen) == {1: 2, 4: 4, 50: TOTAL}[due]


def test_without_observers_the_end_is_guarded_and_unguarded_it_runs_on(tmp_path: Path) -> None:
    step, data = poisoned(TOTAL - 1)
    nets = make_nets()
    nets.G.requires_grad_(False)
    with pytest.raises(NonFiniteError):
        fit(step, nets, data, steps=TOTAL, device="cpu")
    found = fit(step, nets, data, steps=TOTAL, policy=Policy(guarded=False), out=tmp_path, device="cpu")
    assert found.batches == TOTAL
    assert found.nets.D.weight.isnan().all()


def test_a_signal_after_something_became_infinite_writes_nothing(tmp_path: Path) -> None:
    step, data = poisoned(2)
    nets = make_nets()
    nets.G.requires_grad_(False)
    data[3:] = [torch.ones(1, 1, 1, 1)]

    def killing() -> Iterator[Tensor]:
        yield from data
        os.kill(os.getpid(), signal.SIGTERM)
        yield data[0]

    with pytest.raises(NonFiniteError):
        fit(step, nets, killing(), steps=TOTAL, out=tmp_path, device="cpu")
    assert not (tmp_path / "checkpoints").exists()


# --- mistakes ---------------------------------------------------------------------------------------------------------


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    with (
        FileLock(tmp_path / ".lock"),
        pytest.raises(RunError, match="is in use by another run; wait for it, or choose"),
    ):
        run(tmp_path)
    run(tmp_path)


def test_a_folder_that_holds_a_run_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    run(tmp_path)
    before = result(tmp_path)
    with pytest.raises(RunError, match="holds a run already; go on with --resume"):
        run(tmp_path)
    assert result(tmp_path) == before


def refused(error: type[I2IError], message: str, **options: Any) -> None:
    with pytest.raises(error) as caught:
        run(options.pop("out", None), **{"observers": (), **options})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_fit_refuses(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    no_length = "fit() needs steps=..., the number of batches: this step has no length of its own"
    refused(CompositionError, no_length, steps=None)
    refused(SettingsError, "steps (=0) must be 1 or more", steps=0)
    refused(DataError, "the data has no batches; is the batch size larger than the number of images", data=[])
    refused(DataError, "or is it a generator, which cannot begin anew?", data=iter(make_batches()))
    refused(RunError, "holds no checkpoint to resume from", out=tmp_path, resume=True)
    refused(RunError, "resume=True needs out=...", resume=True)
    refused(
        RunError,
        "JsonLines, Checkpoints: these write files; fit() needs out=...",
        observers=[JsonLines(), Checkpoints()],
    )
    refused(RunError, "file cannot be made a folder: ", out=tmp_path / "file")
    refused(SettingsError, "precision tf32 needs a CUDA device, not cpu", policy=Policy(precision="tf32"))


def test_a_run_of_other_nets_is_not_resumed(tmp_path: Path) -> None:
    run(tmp_path, steps=1)
    nets = make_nets()._replace(D=nn.Conv2d(1, 2, 1))
    with pytest.raises(RunError, match=r"step-1 was written with other nets; give those to go on with it \(Error"):
        fit(make_step(), nets, make_batches(), steps=TOTAL, out=tmp_path, resume=True, device="cpu")


def test_a_net_that_nobody_trains_is_refused_before_anything_moves() -> None:
    step: Step[Nets, Tensor] = player(lambda n: n.D, lambda n, x: {}, torch.optim.SGD, weights={}, lr=0)
    with pytest.raises(CompositionError, match="^net G: no player trains 6 of its tensors"):
        fit(step, make_nets(), make_batches(), steps=1, device="cpu")


def test_steps_are_counted_from_the_very_start_and_the_length_of_the_step_is_taken() -> None:
    assert fit(make_step()._replace(length=5), make_nets(), make_batches(), device="cpu").batches == 5
    assert fit(make_step()._replace(length=5), make_nets(), make_batches(), steps=2, device="cpu").batches == 2


def test_nets_are_put_into_training_mode() -> None:
    nets = make_nets()
    nets.G.eval()
    fit(make_step(), nets, make_batches(), steps=1, device="cpu")
    assert nets.G.training
    assert nets.G[1].num_batches_tracked == 2  # repeat(2) makes the fakes twice


def test_tf32_flags_last_as_long_as_the_run() -> None:
    flags = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [flag.allow_tf32 for flag in flags]
    for precision, expected in (("fp32", False), ("tf32", True), ("bf16", True)):
        with backend_flags(Policy(precision=precision), torch.device("cuda")):  # type: ignore[arg-type]
            assert [flag.allow_tf32 for flag in flags] == [expected] * 2
    assert [flag.allow_tf32 for flag in flags] == before
