"""``Policy(graphed=True)``: whole updates as CUDA graphs, recorded once and replayed.

One graph holds all of an update: forward and backward passes, penalties that are differentiated twice, every optimiser.
An update that takes another course (`i2i.every`, another shape of batches, the next stage) has a graph of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from i2i.policy import Policy, Turn
from i2i.recording import Recording
from i2i.step import Metrics, State, Step
from i2i.tree import leaves, tree_map

WARM_UP = 3  # updates as usual before one is captured: lazy initialisation, the search for algorithms
MOST = 16  # graphs of one stage


class Recorder(Protocol):
    """What captures a function on some device."""

    def aside(self) -> AbstractContextManager[None]:
        """Return the context in which updates run that are to be captured later."""
        ...

    def record(self, function: Callable[[], Any]) -> Callable[[], Any]:
        """Capture ``function`` without running it; the result runs it, and returns what it returned in the capture."""
        ...

    def drop(self) -> None:
        """Forget the memory of all graphs recorded so far."""
        ...


class CudaRecorder:
    """Captures CUDA graphs, all in one pool of memory."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    @contextmanager
    def aside(self) -> Any:
        """Run on a stream of its own, as captures do."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        try:
            with torch.cuda.stream(self._stream):
                yield
        finally:
            current.wait_stream(self._stream)

    def record(self, function: Callable[[], Any]) -> Callable[[], Any]:
        """Capture ``function``; what it raises is raised here, and afterwards updates can run as usual."""
        graph = torch.cuda.CUDAGraph()
        # Other threads, which read and pin images, go on meanwhile.
        capture = torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local")
        try:
            # Torch leaves the stream of a broken capture as the current one; the outer context puts it back.
            with torch.cuda.stream(torch.cuda.current_stream(self._device)), capture:
                made = function()
        except BaseException as error:
            if _ended(graph):
                raise
            self._let_go()
            # The end of a broken capture only says that it is broken; why, was raised before.
            raise (error.__context__ or error) from None

        def replay() -> Any:
            graph.replay()
            return made

        return replay

    def _let_go(self) -> None:
        """Take the allocator and the random generator out of a broken capture, in which torch leaves them for good.

        Else the memory of the capture would never be free again, and the next random number would be an error.
        """
        device = self._stream.device_index
        with suppress(RuntimeError):  # it did not even begin
            torch._C._cuda_endAllocateToPool(device, self._pool)
            torch._C._cuda_releasePool(device, self._pool)
        generator = torch.cuda.default_generators[device]
        generator.graphsafe_set_state(generator.clone_state())

    def drop(self) -> None:
        """Take another pool; the old one is freed with its graphs."""
        self._pool = torch.cuda.graph_pool_handle()


def _ended(graph: torch.cuda.CUDAGraph) -> bool:
    """Tell whether a capture came to a proper end."""
    try:
        graph.pool()
    except RuntimeError:
        return False
    return True


class _Entry:
    """One course of the update, for batches of one shape.

    Attributes:
        recording: what the host does.
        inputs: the batch that the graph reads.
        warm: how many updates ran as usual.
        replay: the graph, once it is captured.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.inputs: Any = None
        self.warm = 1
        self.replay: Callable[[], tuple[State, Metrics]] | None = None


class _Key(NamedTuple):
    """What is trained, and the form of a batch."""

    trained: tuple[int, ...]
    form: tuple[Any, ...]


class Graphs:
    """Runs the updates of a step, from its graphs where there are some.

    State is changed in place, and batches are copied into the tensors that the graphs read. Where no graph can be
    captured, the reason is printed once, and updates run as usual.

    Args:
        step: what is done with a batch.
        policy: how.
        recorder: captures.
    """

    def __init__(self, step: Step[Any, Any], policy: Policy, recorder: Recorder) -> None:
        self._step, self._policy, self._recorder = step, policy, recorder
        self._entries: dict[_Key, list[_Entry]] = {}
        self._trained: tuple[int, ...] = ()
        self._stopped = False

    @property
    def captured(self) -> int:
        """How many graphs there are."""
        return sum(entry.replay is not None for entries in self._entries.values() for entry in entries)

    def update(self, nets: Any, state: State, batch: Any, now: int) -> tuple[State, Metrics]:
        """Do what ``step.update`` does."""
        if self._stopped:
            return self._step.update(nets, state, batch, Turn(self._policy, now))
        entries = self._entries.setdefault(self._key(nets, batch), [])
        entry = next((entry for entry in entries if entry.recording.holds(now)), None)
        if entry is None:
            return self._listened(entries, nets, state, batch, now)
        if entry.replay is None:
            entry.warm += 1
            if entry.warm <= WARM_UP or not self._capture(entry, nets, state, batch, now):
                return self._usual(nets, state, batch, Turn(self._policy, now))
        assert entry.replay is not None  # for the type checker
        entry.recording.prepare(now)
        self._fill(entry.inputs, batch)
        return entry.replay()

    def _key(self, nets: Any, batch: Any) -> _Key:
        trained = tuple(map(id, self._step.trains(nets)))
        if trained != self._trained:  # another stage: the graphs of the last one are of no use any more
            self._trained = trained
            self._entries.clear()
            self._recorder.drop()
        return _Key(trained, tuple((leaf.shape, leaf.dtype, leaf.stride()) for leaf in _tensors(batch)))

    def _usual(self, nets: Any, state: State, batch: Any, turn: Turn) -> tuple[State, Metrics]:
        with self._recorder.aside():
            return self._step.update(nets, state, batch, turn)

    def _listened(self, entries: list[_Entry], nets: Any, state: State, batch: Any, now: int) -> tuple[State, Metrics]:
        recording = Recording(now)
        result = self._usual(nets, state, batch, Turn(self._policy, now, recording=recording))
        if recording.refused is not None:
            self._stop(recording.refused)
        elif sum(map(len, self._entries.values())) >= MOST:
            self._stop(f"more than {MOST} kinds of updates, of other shapes or courses")
        elif recording.holds(now):
            entries.append(_Entry(recording))
        return result

    def _capture(self, entry: _Entry, nets: Any, state: State, batch: Any, now: int) -> bool:
        """Capture the update; tells whether that went well."""
        entry.recording.listening = False
        entry.inputs = tree_map(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, batch)
        turn = Turn(self._policy, now, recording=entry.recording)
        try:
            entry.replay = self._recorder.record(lambda: self._step.update(nets, state, entry.inputs, turn))
        except Exception as error:  # whatever cannot be captured can still be run
            self._stop(" ".join(str(error).split())[:300] or type(error).__name__)
            return False
        return True

    def _fill(self, inputs: Any, batch: Any) -> None:
        torch._foreach_copy_(_tensors(inputs), _tensors(batch))

    def _stop(self, why: str) -> None:
        print(f"no graph: {why}; going on without", file=sys.stderr)
        self._stopped = True
        self._entries.clear()


def _tensors(batch: Any) -> list[Tensor]:
    return [leaf for leaf in leaves(batch) if isinstance(leaf, Tensor)]
