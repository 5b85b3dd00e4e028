"""The rows, in the order of their importance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from benchmarks.device import checks, kernels, rows
from benchmarks.device.cases import Case, Domains, Images, Laid, Photograph, Scenes, Variant
from benchmarks.device.meter import Meter
from benchmarks.device.report import Report, Row

VARIANTS = {
    "fp32": Variant("fp32"),
    "tf32": Variant("tf32"),
    "bf16": Variant("bf16"),
    "bf16, channels first": Variant("bf16", last=False),
    "tf32, one graph": Variant("tf32", graphed=True),
    "bf16, one graph": Variant("bf16", graphed=True),
}


class Cases:
    """Makes the case that is asked for, and forgets the one before it, which fills the memory."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._held: tuple[Any, Case] | None = None

    def forget(self) -> None:
        """Free the memory of the case before."""
        self._held = None
        self._meter.clear()

    def use(self, key: Any, make: Callable[[], Case], measure: Callable[..., Any], *arguments: Any) -> Any:
        """Call ``measure`` with the case."""
        if self._held is None or self._held[0] != key:
            self.forget()
            self._held = key, make()
        self._meter.clear()
        return measure(self._held[1], *arguments)


def plan(meter: Meter, report: Report, *, smoke: bool) -> Iterator[Row]:
    """Yield all rows.

    Args:
        meter: what measures.
        report: what was measured so far.
        smoke: tiny sizes.
    """
    cases = Cases(meter)
    yield from ceilings(meter, smoke)
    yield from correctness(meter, cases, smoke)
    for name, make, seconds, large in steps(meter, smoke):
        yield from step_rows(cases, name, make, seconds)
        if not large:
            yield tuned(cases, report, name, make, 2 * seconds)
    yield from generated(meter, cases, smoke)
    for name, make, seconds, large in steps(meter, smoke):
        if large:  # the search takes long there
            yield tuned(cases, report, name, make, 4 * seconds)
    yield from single_kernels(meter, cases, report, smoke)


def ceilings(meter: Meter, smoke: bool) -> Iterator[Row]:
    numbers, side = (2**16, 64) if smoke else (10**9, 8192)
    yield Row("ceiling", "copy of 4 GB", "float32", 5, partial(rows.copies, meter, numbers))
    product = partial(rows.products, meter, side)
    yield Row("ceiling", "product 8192^3", "bf16", 5, partial(product, torch.bfloat16))
    yield Row("ceiling", "product 8192^3", "tf32", 5, partial(product, torch.float32, tf32=True))
    yield Row("ceiling", "product 8192^3", "fp32", 5, partial(product, torch.float32))


def correctness(meter: Meter, cases: Cases, smoke: bool) -> Iterator[Row]:
    for kernel, stride, mode in ((7, 1, "reflect"), (4, 2, "zeros")):
        for name, policy in (
            ("fp32", Laid("fp32")), ("tf32", Laid("tf32")), ("bf16", Laid("bf16")),
            ("fp32, channels last", Laid("fp32", last=True)), ("bf16, channels last", Laid("bf16", last=True)),
        ):  # fmt: skip
            measure = partial(checks.convolution, meter, policy, kernel, stride, mode)
            yield Row("check", f"convolution {kernel}x{kernel} of classes", name, 3, measure)
    yield Row("check", "half size", "fp32", 3, partial(checks.halving, meter))
    yield Row("check", "boundaries", "", 3, partial(checks.edges, meter))
    yield Row("check", "means over instances", "fp32", 3, partial(checks.means, meter))
    height, width = (32, 64) if smoke else (256, 512)
    for stage in ("global", "joint"):
        joint = stage == "joint"
        make = partial(Scenes, meter, height, width, joint=joint, small=smoke)
        for precision, limit in (("fp32", 1e-3), ("bf16", 0.05)):
            measure = partial(cases.use, f"small {stage}", make, checks.parity, Variant(precision), limit)  # type: ignore[arg-type]
            yield Row("check", f"losses are the authors', pix2pixHD {stage}", precision, 10, measure)
    domains = partial(Domains, meter, 32 if smoke else 128, small=smoke)
    for precision, limit in (("fp32", 1e-3), ("bf16", 0.05)):
        measure = partial(cases.use, "small domains", domains, checks.parity_of_domains, Variant(precision), limit)  # type: ignore[arg-type]
        yield Row("check", "losses are the authors', U-GAT-IT", precision, 8, measure)
    small: dict[str, Callable[[], Case]] = {
        "pix2pixHD global, styles": partial(Scenes, meter, 32, 64, joint=False, small=True, styles=True),
        "pix2pixHD joint, styles": partial(Scenes, meter, 32, 64, joint=True, small=True, styles=True),
        "CycleGAN": partial(Images, meter, 32, 1, small=True),
        "U-GAT-IT": partial(Domains, meter, 32, small=True),
        "SinGAN, scale 2": partial(Photograph, meter, 2, small=True),
    }
    for name, make in small.items():
        for variant in (Variant("fp32", guarded=False), Variant("bf16", guarded=False), Variant("bf16")):
            told = f"{variant.precision}, {'guarded' if variant.guarded else 'not guarded'}"
            measure = partial(cases.use, f"small {name}", make, checks.unsynchronised, variant)  # type: ignore[arg-type]
            yield Row("check", f"host never waits, {name}", told, 4, measure)
        for precision, limit in (("fp32", 1e-3), ("bf16", 0.1)):
            measure = partial(cases.use, f"small {name}", make, checks.graphed, Variant(precision), limit)  # type: ignore[arg-type]
            yield Row("check", f"a graph computes the same, {name}", precision, 8, measure)


def steps(meter: Meter, smoke: bool) -> Iterator[tuple[str, Callable[[], Case], float, bool]]:
    """Yield the steps: name, how to make it, seconds that a row takes, and whether it is a large one."""
    one, two, side = ((32, 64), (32, 64), 32) if smoke else ((512, 1024), (1024, 2048), 256)
    scenes = partial(Scenes, meter, small=smoke)
    yield "pix2pixHD global 1024x512", partial(scenes, *one, joint=False), 8, False
    yield "pix2pixHD joint 2048x1024", partial(scenes, *two, joint=True), 15, True
    yield "CycleGAN 256, batch 1", partial(Images, meter, side, 1, small=smoke), 6, False
    yield "CycleGAN 256, batch 8", partial(Images, meter, side, 2 if smoke else 8, small=smoke), 10, True
    yield "U-GAT-IT light 256", partial(Domains, meter, side, small=smoke), 8, False
    for scale in (4, 7, 8):
        yield f"SinGAN scale {scale}", partial(Photograph, meter, scale, small=smoke), 6, False


def step_rows(cases: Cases, name: str, make: Callable[[], Case], seconds: float) -> Iterator[Row]:
    use = partial(cases.use, name, make)
    yield Row("step", name, "reference", seconds, partial(use, rows.reference_step))
    for key, variant in VARIANTS.items():
        if variant.last is None or not name.startswith("SinGAN"):  # whose weights are always channels-last
            yield Row("step", name, key, seconds, partial(use, rows.our_step, variant))
    for key in ("bf16", "tf32"):
        yield Row("quality", name, key, seconds, partial(use, rows.quality, VARIANTS[key]))
    if name.startswith("pix2pixHD"):
        for key in ("fp32", "bf16"):
            variant = VARIANTS[key]._replace(recompute=True)
            yield Row("memory", name, f"{key}, recompute", seconds, partial(use, rows.our_memory, variant))


def tuned(cases: Cases, report: Report, name: str, make: Callable[[], Case], seconds: float) -> Row:
    use = partial(cases.use, name, make)
    return Row("step", name, "fastest, cudnn.benchmark", seconds, partial(fastest, use, report, name))


def fastest(use: Callable[..., Any], report: Report, name: str) -> dict[str, Any]:
    """Measure the variant that was the fastest once more, with cuDNN's search for algorithms on both sides."""
    measured = {row["variant"]: row["ms_median"] for row in report.find("step", name) if row["variant"] in VARIANTS}
    key = min(measured, key=measured.__getitem__)
    return {"of": key, **use(rows.our_step, VARIANTS[key]._replace(tuned=True))}


def generated(meter: Meter, cases: Cases, smoke: bool) -> Iterator[Row]:
    height, width = (32, 64) if smoke else (1024, 2048)
    make = partial(Scenes, meter, height, width, joint=True, small=smoke, perceptual=False)
    for key, variant in VARIANTS.items():
        if variant.graphed:  # of updates only
            continue
        measure = partial(cases.use, "generation", make, rows.generation, variant)
        yield Row("generation", "pix2pixHD 2048x1024", key, 5, measure)


def single_kernels(meter: Meter, cases: Cases, report: Report, smoke: bool) -> Iterator[Row]:
    yield Row("kernel", "copy of 1 GB", "float32", 3, partial(rows.copies, meter, 2**16 if smoke else 25 * 10**7))
    for kernel in kernels.all_kernels(smoke):
        for dtype, training in (("bf16", True), ("fp32", True), ("bf16", False)):
            run = kernels.Run(kernel, dtype, training)
            name = f"{kernel.group}: {kernel.name}, {dtype}, {'both ways' if training else 'forwards'}"
            for way in ("ours", "compile"):
                if way in kernel.ways:
                    measure = partial(kernel_row, cases, report, meter, run, way)
                    yield Row("kernel", name, way, 5 if way == "ours" else 15, measure)


def kernel_row(cases: Cases, report: Report, meter: Meter, run: kernels.Run, way: str) -> dict[str, Any]:
    cases.forget()
    copied = report.find("kernel", "copy of 1 GB")
    return kernels.measured(meter, run, way, copied[0]["gb_per_s"] if copied else None)
