"""``fit``: one short loop."""

from __future__ import annotations

import functools
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from filelock import FileLock, Timeout
from torch import Tensor

from i2i.average import Average
from i2i.checkpoint import latest, load_checkpoint, restore_rng, rng_state, save_checkpoint, snapshot
from i2i.data.joining import endless
from i2i.errors import CompositionError, DataError, ModelError, RunError, SettingsError
from i2i.graphs import CudaRecorder, Graphs
from i2i.guard import check_finite
from i2i.net import place
from i2i.observers import Checkpoints, with_state
from i2i.policy import Policy, Turn
from i2i.protocols import Observer, Seen
from i2i.shortage import IN_TRAINING, memory_suffices
from i2i.signals import noted_signals
from i2i.step import Metrics, State, Step, check_trained, modules_of
from i2i.tree import tree_map


class Run(NamedTuple):
    """What ``fit`` returns.

    Attributes:
        nets: as they stand after the last batch.
        average: their averages where the policy asks for them, else the nets themselves: what is to be used.
        state: optimisers, pools and so on; a tree.
        batches: how many were trained.
    """

    nets: Any
    average: Any
    state: State
    batches: int


def fit(
    step: Step[Any, Any],
    nets: Any,
    data: Iterable[Any],
    *,
    steps: int | None = None,
    policy: Policy | None = None,
    observers: Sequence[Observer] = (),
    out: str | Path | None = None,
    resume: bool = False,
    device: str | torch.device | None = None,
) -> Run:
    """Train.

    With ``out``, a checkpoint is written at the end and on SIGINT or SIGTERM, which then take their usual course; a
    `i2i.observers.Checkpoints` writes more of them. With a fixed seed (``torch.manual_seed``, ``random.seed``) the same
    run comes out again on the CPU, resumed or not, bit for bit.

    Args:
        step: what is done with each batch.
        nets: a NamedTuple of modules; None for a ``staged`` step. They are trained in place and left on ``device``.
        data: batches (NamedTuples of tensors); begun anew whenever they end. With ``state_dict`` and
            ``load_state_dict`` it is resumed at its position, else wound forward.
        steps: batches to train, counted from the very start; ``step.length`` when left out.
        policy: precision, accumulation, averaging, the guard.
        observers: called when due, and after the last batch.
        out: the run's folder; it is locked meanwhile.
        resume: go on from the last checkpoint in ``out``.
        device: CUDA where there is one, else the CPU, when left out.

    Raises:
        CompositionError: step, nets and data do not fit together.
        NonFiniteError: a term or gradient became non-finite.
        OutOfMemoryError: the device or the host has no memory left; what was saved before is intact.
        RunError: ``out`` is in use, holds a run already, or has nothing to resume from (or only other nets).

    Example:
        >>> from i2i import nets, player
        >>> step = player(lambda n: n.G, lambda n, x: {"size": n.G(x).square().mean()}, torch.optim.SGD,
        ...               weights={"size": 1}, lr=0.1)
        >>> fit(step, nets(G=torch.nn.Linear(1, 1)), [torch.ones(1, 1)], steps=2, device="cpu").batches
        2
    """
    policy = policy or Policy()
    length = _length(step, steps)
    if out is None:
        _check_no_out(observers, resume=resume)
    where = torch.device(device) if device is not None else best_device()
    with ExitStack() as stack:
        stack.enter_context(backend_flags(policy, where))
        folder = None
        if out is not None:
            folder = stack.enter_context(locked(Path(out)))
            if not resume and latest(folder) is not None:
                raise RunError(f"{out} holds a run already; go on with --resume (resume=True), or choose another --out")
        engine = _Engine(step, nets, data, policy, where, folder, observers)
        stack.enter_context(memory_suffices(IN_TRAINING, lambda: f"batch {engine.batches} on {where}"))
        engine.begin(resume=resume)
        caught = stack.enter_context(noted_signals())
        return engine.train(length, caught)


class _Engine:
    """The nets, their State and how many batches they have seen."""

    def __init__(
        self,
        step: Step[Any, Any],
        nets: Any,
        data: Iterable[Any],
        policy: Policy,
        device: torch.device,
        out: Path | None,
        observers: Sequence[Observer],
    ) -> None:
        self.observers = observers
        self.step, self.data, self.policy, self.device, self.out = step, data, policy, device, out
        self.stream = endless(data)
        self.channels_last = policy.channels_last(device)
        self.given = nets
        self.graphs = graphs_for(step, policy, device)
        self.batches = 0
        self.saved_at = -1
        self.average = Average(policy.average) if policy.average is not None else None
        self.with_state = with_state(observers)
        self.states: dict[str, Any] = {}  # of observers, as saved; those of absent ones are saved on
        self.state: State = None

    def begin(self, *, resume: bool) -> None:
        """Make the State, new or as saved."""
        place(self.given, self.device, channels_last=self.channels_last)
        saved = None
        if resume and self.out is not None:
            found = latest(self.out)
            if found is None:
                raise RunError(f"{self.out} holds no checkpoint to resume from; leave --resume out to begin anew")
            self.batches, path = found
            saved = self.load(path)
            self.load_nets(saved["nets"], path)
        elif self.given:
            check_trained(self.step, self.given)
        with torch.device(self.device):
            if saved is None:
                self.state = self.step.init(self.given, self.policy, None)
            else:
                self.state = self.restored(saved["state"], path)
        for module in self.step.trains(self.nets):
            module.train()
        if self.average is not None:
            if saved is not None:
                self.average.load_state_dict(saved["average"] or {}, self.nets)
            self.average.follow(self.nets, self.step.trains(self.nets))
        if saved is not None:
            self.saved_at = self.batches
            self.go_to(saved["data"])
            self.states = saved.get("observers", {})  # i2i 0.1 saved none
            for name, observer in self.with_state.items():
                if name in self.states:
                    observer.load_state_dict(self.states[name])
            restore_rng(saved["rng"], self.device)  # last: everything above may have drawn

    @property
    def nets(self) -> Any:
        return self.step.nets(self.given, self.state)

    @property
    def used(self) -> Any:
        """The nets to be used: the averages where there are any."""
        nets = self.nets
        return nets if self.average is None else self.average.follow(nets, self.step.trains(nets))

    def load(self, path: Path) -> Any:
        try:
            return load_checkpoint(path)
        except ModelError as error:
            raise ModelError(f"{error}: remove {path} to go on from the checkpoint before it") from error

    def load_nets(self, saved: Sequence[Mapping[str, Tensor]], path: Path) -> None:
        try:
            for module, state in zip(modules_of(self.given), saved, strict=True):
                module.load_state_dict(state)
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise RunError(f"{path} was written with other nets; give those to go on with it ({reason})") from error

    def restored(self, saved: Any, path: Path) -> State:
        try:
            return self.step.init(self.given, self.policy, saved)
        except (CompositionError, RunError) as error:
            raise RunError(f"{path} was written by another step; give that to go on with it ({error})") from error

    def go_to(self, position: Any) -> None:
        """Bring the data to where the checkpoint left it."""
        if hasattr(self.data, "load_state_dict"):
            self.data.load_state_dict(position)
        else:
            print(f"the data has no state_dict(): winding forward {self.batches} batches", file=sys.stderr)
            for _ in range(self.batches):
                next(self.stream)

    def train(self, length: int, caught: Sequence[int]) -> Run:
        try:
            if self.batches:
                self.keep(length)  # the run may have been killed between its last checkpoint and its models
            while self.batches < length:
                batch = self.place(self.take(length))
                metrics = self.update(batch)
                if self.average is not None:
                    self.average.follow(self.nets, self.step.trains(self.nets))
                    self.average.update()
                self.batches += 1
                due = [observer for observer in self.observers if _is_due(observer, self.batches, length)]
                if due:
                    self.observe(due, metrics, batch, length)
                if caught:
                    self.keep(length)
                    raise KeyboardInterrupt if caught[0] == signal.SIGINT else SystemExit(128 + caught[0])
        finally:
            for observer in self.observers:
                if hasattr(observer, "close"):
                    observer.close()
        self.save()
        check_finite(self.state)
        return Run(self.nets, self.used, self.state, self.batches)

    def update(self, batch: Any) -> Metrics:
        if self.graphs is not None:
            self.state, metrics = self.graphs.update(self.nets, self.state, batch, self.batches)
        else:
            self.state, metrics = self.step.update(self.nets, self.state, batch, Turn(self.policy, self.batches))
        return metrics

    def take(self, length: int) -> Any:
        """Return the next batch; where there is none, what was trained so far is kept."""
        try:
            return next(self.stream)
        except DataError:
            if self.batches:
                self.keep(length)
            raise

    def keep(self, length: int) -> None:
        """Save a checkpoint, and the models if any observer saves them."""
        self.observe([observer for observer in self.observers if isinstance(observer, Checkpoints)], {}, None, length)
        self.save()

    def place(self, batch: Any) -> Any:
        def move(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            moved = leaf if leaf.device == self.device else leaf.to(self.device, non_blocking=True)
            if self.channels_last and leaf.ndim == 4:
                return moved.contiguous(memory_format=torch.channels_last)
            return moved

        return tree_map(move, batch)

    def observe(self, due: Sequence[Observer], metrics: Mapping[str, Tensor], batch: Any, length: int) -> None:
        check_finite(self.state)
        seen = Seen(self.batches, length, _to_host(metrics), self.nets, self.used, batch, self.out, self.save)

        # Those that save come last, so that what the others wrote is older than the checkpoint.
        def last(observer: Observer) -> tuple[bool, bool]:
            return isinstance(observer, Checkpoints), getattr(observer, "saves", False)

        for observer in sorted(due, key=last):
            saved = self.saved_at == self.batches
            observer(seen)
            if saved and hasattr(observer, "state_dict"):  # after another one that saves
                self.saved_at = -1
                self.save()

    def save(self) -> Path | None:
        """Write a checkpoint, unless the last one is of this very batch."""
        if self.out is None or self.saved_at == self.batches:
            return None
        check_finite(self.state)
        tree = {
            "nets": [module.state_dict() for module in modules_of(self.given)],
            "state": snapshot(self.state),
            "average": None if self.average is None else self.average.state_dict(self.nets),
            "data": self.data.state_dict() if hasattr(self.data, "state_dict") else None,
            "observers": {**self.states, **snapshot(self.with_state)},
            "rng": rng_state(self.device),
        }
        path = save_checkpoint(self.out, self.batches, tree)
        self.saved_at = self.batches
        for observer in self.observers:
            if isinstance(observer, Checkpoints):
                observer.prune(self.out)
        return path


def graphs_for(step: Step[Any, Any], policy: Policy, device: torch.device) -> Graphs | None:
    """Return what runs updates from graphs, where the policy asks for that and the device has graphs."""
    if not policy.graphed:
        return None
    if device.type != "cuda":
        print(f"no graph: {device.type} has none; going on without", file=sys.stderr)
        return None
    return Graphs(step, policy, CudaRecorder(device))


def best_device() -> torch.device:
    """Return CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def backend_flags(policy: Policy, device: torch.device) -> Iterator[None]:
    """Set TF32 as the precision says, for as long as the context lasts.

    Raises:
        SettingsError: ``tf32`` on a device that has none.
    """
    if device.type != "cuda":
        if policy.precision == "tf32":
            raise SettingsError(f"precision tf32 needs a CUDA device, not {device.type}; use fp32 or bf16")
        yield
        return
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    wanted = policy.precision != "fp32"
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = wanted
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def _is_due(observer: Observer, batches: int, length: int) -> bool:
    return batches % observer.every == 0 or batches == length or batches in getattr(observer, "also", ())


def _check_no_out(observers: Sequence[Observer], *, resume: bool) -> None:
    if resume:
        raise RunError("resume=True needs out=..., the folder of the run to go on with")
    writers = [type(observer).__name__ for observer in observers if getattr(observer, "writes", False)]
    if writers:
        raise RunError(f"{', '.join(writers)}: these write files; fit() needs out=..., a folder for the run")


def _length(step: Step[Any, Any], steps: int | None) -> int:
    length = step.length if steps is None else steps
    if length is None:
        raise CompositionError("fit() needs steps=..., the number of batches: this step has no length of its own")
    if length < 1:
        raise SettingsError(f"steps (={length}) must be 1 or more")
    return length


@contextmanager
def locked(out: Path) -> Iterator[Path]:
    """Make the folder ``out`` and keep other runs away from it; in one process it may be entered again.

    Raises:
        RunError: another run is in it, or it cannot be made or written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{out} cannot be made a folder: {error.strerror}; choose another --out") from error
    lock = FileLock(out / ".lock", is_singleton=True)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunError(f"{out} is in use by another run; wait for it, or choose another --out") from error
    except OSError as error:
        raise RunError(f"{out} cannot be written: {error.strerror}; choose another --out") from error
    try:
        yield out
    finally:
        lock.release()


def _to_host(metrics: Mapping[str, Tensor]) -> dict[str, float]:
    """Read all metrics in one transfer."""
    if not metrics:
        return {}
    values = list(metrics.values())  # once: some are computed when they are read
    dtype = functools.reduce(torch.promote_types, {value.dtype for value in values})
    return dict(zip(metrics, torch.stack([value.to(dtype) for value in values]).tolist(), strict=True))
