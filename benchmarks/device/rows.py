"""The rows of figures about speed: each function returns what one row holds."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._dynamo.utils import counters

from benchmarks.device.cases import Case, Scenes
from benchmarks.device.meter import Meter, Work, rounded
from benchmarks.device.variants import Variant, flags
from benchmarks.floors import OPTIMISER_BYTES, floor_ms
from i2i_pix2pixhd.scene import whole_scene

#: forms of one function for the compiler, so that it does not give up and run the rest of them as they are
COMPILED = 64

# What the device can do.


def copies(meter: Meter, numbers: int) -> dict[str, float]:
    """Return GB/s of a copy of float32 numbers, read and written."""
    source = torch.randn(numbers, device=meter.device)
    target = torch.empty_like(source)
    found = meter.alone(Work(lambda: target.copy_(source), nullcontext))
    return {"gb_per_s": rounded(8e-6 * numbers / found["ms_median"]), **found}


def products(meter: Meter, side: int, dtype: torch.dtype, *, tf32: bool = False) -> dict[str, float]:
    """Return TFLOP/s of a product of two matrices of random numbers."""
    left, right = (torch.randn(side, side, device=meter.device, dtype=dtype) for _ in range(2))
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        found = meter.alone(Work(lambda: left @ right, nullcontext))
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    return {"tflop_per_s": rounded(2e-9 * side**3 / found["ms_median"]), **found}


class Ceilings(NamedTuple):
    """What the device can do, as measured before.

    Attributes:
        tflop_per_s: of a large product of matrices, by precision.
        gb_per_s: of a large copy.
    """

    tflop_per_s: Mapping[str, float]
    gb_per_s: float


# Steps.


def reference_step(case: Case, ceilings: Ceilings | None) -> dict[str, Any]:
    """Their step by itself: time, memory, launches, floor."""
    found = case.meter.alone(case.reference)
    return found | details(case.meter, case.reference) | floor(case, "tf32", found, ceilings)


def tuned_step(case: Case, ceilings: Ceilings | None) -> dict[str, Any]:
    """Their step in bfloat16 and channels-last, against theirs as it is."""
    found = case.meter.compare(case.reference, case.tuned)
    return found | details(case.meter, case.tuned) | floor(case, "bf16", found, ceilings)


def our_step(case: Case, variant: Variant, ceilings: Ceilings | None) -> dict[str, Any]:
    """Our step against theirs; with cuDNN's search for the fastest algorithms, both have it."""
    meter, theirs = case.meter, case.reference
    if variant.tuned:
        theirs = theirs._replace(flags=lambda: flags(case.device, tuned=True))
    work = case.ours(variant)
    if variant.compiled:
        torch.compiler.reset()  # nets of one class share what is compiled, with those of other rows, too
        counters.clear()
    with torch._dynamo.config.patch(recompile_limit=COMPILED):
        found = meter.compare(theirs, work)
    check_captured(work)
    if variant.compiled:
        found |= compilation()
    return found | details(meter, work) | floor(case, variant.precision, found, ceilings)


def compilation() -> dict[str, int]:
    """Return how many graphs the compiler made, and how often it had to break one; none is an error."""
    made, broken = counters["stats"]["unique_graphs"], sum(counters["graph_break"].values())
    if not made:
        raise RuntimeError("nothing was compiled")
    return {"compiled_graphs": made, "graph_breaks": broken}


def check_captured(work: Work) -> None:
    """Refuse the figures of what should have been replayed from a graph, and was not; the CPU has no graphs."""
    graphs = work.run.graphs  # type: ignore[attr-defined]
    if graphs is not None and not graphs.captured:
        raise RuntimeError("no graph was captured; the reason was printed above")


def our_memory(case: Case, variant: Variant) -> dict[str, Any]:
    """The memory of our step, and its time by itself."""
    work = case.ours(variant)
    return case.meter.peak(work) | case.meter.alone(work)


def details(meter: Meter, work: Work) -> dict[str, Any]:
    """Return memory and launches; what one of them cannot find takes nothing from the other."""
    found: dict[str, Any] = {}
    for measure in (meter.peak, meter.launches):
        try:
            found |= measure(work)
        except Exception as error:
            found[f"{measure.__name__}_error"] = f"{type(error).__name__}: {error}"[:500]
    return found


def floor(case: Case, precision: str, found: Mapping[str, Any], ceilings: Ceilings | None) -> dict[str, Any]:
    """Return what a step computes at least, and the share of the time that this takes at the rates of the device."""
    if ceilings is None:
        return {}
    try:
        of, width = case.counted, 2 if precision == "bf16" else 4
    except Exception as error:
        return {"floor_error": f"{type(error).__name__}: {error}"[:500]}
    least = floor_ms(of, tflop_per_s=ceilings.tflop_per_s[precision], gb_per_s=ceilings.gb_per_s, width=width)
    share = {"floor_ms": rounded(least), "of_floor": rounded(least / found["ms_median"])}
    moved = of.numbers * width + of.parameters * OPTIMISER_BYTES
    return {"tflop": rounded(of.tflop), "gb": rounded(moved / 1e9), **share}


# Use.


def generation(case: Scenes, variant: Variant) -> dict[str, Any]:
    """Return time and memory of making an image."""
    meter = case.meter
    run: Any = case.built(variant)
    run()  # in it the enhancer is put around the global network
    engine = run.engine
    model, batch = engine.nets.current.G.eval(), engine.place(case.batches[0])
    engine.state = None  # what the generator does not need
    del run, engine
    meter.clear()
    base = meter.reserved() - sum(p.numel() * p.element_size() for p in model.parameters())

    def make() -> Tensor:
        with variant.policy.autocast(meter.device):
            return whole_scene(model, batch.labels, batch.instances)

    work = Work(make, lambda: variant.flags(meter.device), base)
    return meter.alone(work) | details(meter, work)
