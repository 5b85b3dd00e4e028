"""Times, memory and launches of work on a device; on the CPU only so that everything can be tried out."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

WARM_UP = 6  # a graph is captured in the fourth
SMOKE_WARM_UP = 1


class Work(NamedTuple):
    """Something that is measured.

    Attributes:
        run: a step on the batch of that number; returns its losses.
        flags: the context of a series of steps.
        base: bytes that were kept from others before it was built.
    """

    run: Callable[..., Any]
    flags: Callable[[], AbstractContextManager[Any]]
    base: int = 0


class Lap(NamedTuple):
    """Milliseconds of a step: on the device, and until the host had queued it."""

    ms: float
    host_ms: float


class Meter:
    """What measures.

    Args:
        device: where.
        rounds: of each side of a comparison.
        steps: in a round.
    """

    def __init__(self, device: torch.device, *, rounds: int = 8, steps: int = 3) -> None:
        self.device, self.cuda = device, device.type == "cuda"
        self.rounds, self.steps = rounds, steps
        self.warm = WARM_UP if self.cuda else SMOKE_WARM_UP

    def finish(self) -> None:
        """Wait for the device."""
        if self.cuda:
            torch.cuda.synchronize()

    def clear(self) -> None:
        """Free what nobody holds any more."""
        gc.collect()
        if self.cuda:
            torch.cuda.empty_cache()

    def reserved(self) -> int:
        """Return bytes that are kept from others on the device."""
        self.clear()
        return torch.cuda.memory_reserved() if self.cuda else 0

    def warm_up(self, work: Work, count: int | None = None) -> None:
        """Run some steps that are not measured."""
        with work.flags():
            for _ in range(self.warm if count is None else count):
                work.run()
        self.finish()

    def lap(self, work: Work, steps: int) -> Lap:
        """Time a series of steps."""
        with work.flags():
            self.finish()
            if not self.cuda:
                begun = time.perf_counter()
                for _ in range(steps):
                    work.run()
                passed = (time.perf_counter() - begun) * 1e3 / steps
                return Lap(passed, passed)
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            begun = time.perf_counter()
            for _ in range(steps):
                work.run()
            host = time.perf_counter() - begun
            end.record()
            end.synchronize()
            return Lap(start.elapsed_time(end) / steps, host * 1e3 / steps)

    def alone(self, work: Work) -> dict[str, Any]:
        """Time rounds of one side."""
        self.warm_up(work)
        laps = np.array([self.lap(work, self.steps) for _ in range(self.rounds)])
        return quartiles("ms", laps[:, 0]) | {"host_ms": rounded(np.median(laps[:, 1]))}

    def compare(self, base: Work, ours: Work) -> dict[str, Any]:
        """Run base, ours, base, ours, ..., base: how much faster ours is than the mean of the bases around it."""
        for work in (base, ours):
            self.warm_up(work)
        bases, mine = [self.lap(base, self.steps)], []
        for _ in range(self.rounds):
            mine.append(self.lap(ours, self.steps))
            bases.append(self.lap(base, self.steps))
        b, m = np.array(bases), np.array(mine)
        return {
            **quartiles("ms", m[:, 0]),
            "host_ms": rounded(np.median(m[:, 1])),
            **quartiles("ref_ms", b[:, 0]),
            "ref_host_ms": rounded(np.median(b[:, 1])),
            **quartiles("ratio", (b[:-1, 0] + b[1:, 0]) / 2 / m[:, 0]),
            **quartiles("aa", b[:-1, 0] / b[1:, 0]),
        }

    def peak(self, work: Work) -> dict[str, Any]:
        """Return what a step keeps from others at most, weights and all included, in GB.

        That is more than it uses: it holds what a graph keeps for its replays, and what the allocator does.
        """
        if not self.cuda:
            return {"memory_gb": None}
        self.warm_up(work, 2)
        self.clear()
        with work.flags():
            torch.cuda.reset_peak_memory_stats()
            work.run()
            self.finish()
        return {"memory_gb": rounded((torch.cuda.max_memory_reserved() - work.base) / 1e9)}

    def launches(self, work: Work) -> dict[str, Any]:
        """Return how many kernels a step launches, how long the device computes, and which take longest."""
        kinds = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
        if not self.cuda:  # which has no launches
            return {"launches": 0, "kernels": 0, "copies": 0, "busy_ms": None, "top": []}
        with work.flags():
            self.finish()
            with profile(activities=kinds) as found:
                work.run()
                self.finish()
        events = found.key_averages()
        kernels = [
            event for event in events
            if event.device_type == DeviceType.CUDA and not getattr(event, "is_user_annotation", False)
        ]  # fmt: skip
        moved = [event for event in kernels if event.key.startswith(("Memcpy", "Memset"))]
        computed = [event for event in kernels if event not in moved]
        computed.sort(key=lambda event: -event.self_device_time_total)
        return {
            "launches": sum(event.count for event in events if "LaunchKernel" in event.key),
            "kernels": sum(event.count for event in computed),
            "copies": sum(event.count for event in moved),
            "busy_ms": rounded(sum(event.self_device_time_total for event in kernels) / 1e3),
            "top": [[e.key[:120], rounded(e.self_device_time_total / 1e3), e.count] for e in computed[:15]],
        }


def quartiles(name: str, values: Any) -> dict[str, float]:
    found = np.quantile(values, (0.25, 0.5, 0.75))
    return {f"{name}_{key}": rounded(value) for key, value in zip(("q1", "median", "q3"), found, strict=True)}


def rounded(value: Any) -> float:
    """Return four figures."""
    return float(f"{float(value):.4g}")
