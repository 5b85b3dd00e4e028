"""The rows, in the order of their importance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch

from benchmarks.device import checks, kernels, learnable, rows
from benchmarks.device.cases import Case, Domains, Images, Photograph, Scenes
from benchmarks.device.meter import Meter
from benchmarks.device.report import Report, Row
from benchmarks.device.variants import Laid, Variant
from benchmarks.device.whole import Training

COPY, WHOLE = "copy of 1 GB", "SinGAN 186x250, 9 scales x 2000"

OURS = Variant("bf16", graphed=True)
#: beside ours, and the authors' steps as they are and tuned: the same without lower precision
PARITY = {"tf32": OURS._replace(precision="tf32"), "fp32": OURS._replace(precision="fp32")}
#: what ours reaches when one thing is taken away
ABLATION = {
    "without graph": OURS._replace(graphed=False),
    "without kernels": OURS._replace(kernels=False),
    "channels first": OURS._replace(last=False),  # which the kernels do not take
    "tf32, channels last": OURS._replace(precision="tf32", last=True),
    "tf32, without graph": Variant("tf32"),
}
COMPILE = OURS._replace(kernels=False, compiled=True)


class Timed(NamedTuple):
    """A step that is timed.

    Attributes:
        group: of its rows.
        name: of it.
        make: the case.
        seconds: that a row takes.
        target: milliseconds, and ratio to the plain step; None where there is no target.
        large: cuDNN's search for algorithms takes long.
    """

    group: str
    name: str
    make: Callable[[], Case]
    seconds: float
    target: tuple[float, float] | None = None
    large: bool = False


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
    cases, timed, training = Cases(meter), list(steps(meter, smoke)), Training(meter, small=smoke)
    yield from ceilings(meter, smoke)
    yield from graphs(meter, cases)
    for step in timed:
        yield from main_rows(cases, report, step)
    yield from single_kernels(meter, cases, report, smoke, "ours")
    yield from trainings(training)
    yield from correctness(meter, cases, smoke)
    further = [step for step in timed if not (smoke and step.large)]  # at tiny sizes the same as others
    for step in further:
        yield from ablation_rows(cases, report, step)
    for step in further:
        yield from other_rows(cases, report, step)
    yield Row("train/singan", WHOLE, "ours", 100, partial(training.whole, OURS))
    yield Row("check", "tests of kernels", "", 90, partial(checks.tested, "tests/kernels"))
    yield from gates(meter, cases, smoke)
    yield from single_kernels(meter, cases, report, smoke, "compile")
    yield from generated(meter, cases, smoke)
    for step in further:
        yield tuned(cases, report, step)


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
            yield Row("check", f"convolution {kernel}x{kernel} of classes", name, 2, measure)
    yield Row("check", "half size", "fp32", 3, partial(checks.halving, meter))
    yield Row("check", "boundaries", "", 3, partial(checks.edges, meter))
    yield Row("check", "gradient of a norm, channels-last", "fp32", 3, partial(checks.norm_gradient, meter))
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
    for name, make in small_cases(meter).items():
        for variant in (Variant("fp32", guarded=False), Variant("bf16", guarded=False), Variant("bf16")):
            told = f"{variant.precision}, {'guarded' if variant.guarded else 'not guarded'}"
            measure = partial(cases.use, f"small {name}", make, checks.unsynchronised, variant)  # type: ignore[arg-type]
            yield Row("check", f"host never waits, {name}", told, 2, measure)


def small_cases(meter: Meter) -> dict[str, Callable[[], Case]]:
    return {
        "pix2pixHD global, styles": partial(Scenes, meter, 32, 64, joint=False, small=True, styles=True),
        "pix2pixHD joint, styles": partial(Scenes, meter, 32, 64, joint=True, small=True, styles=True),
        "CycleGAN": partial(Images, meter, 32, 1, small=True),
        "U-GAT-IT": partial(Domains, meter, 32, small=True),
        "SinGAN, scale 2": partial(Photograph, meter, 2, small=True),
    }


def graphs(meter: Meter, cases: Cases) -> Iterator[Row]:
    for name, make in small_cases(meter).items():
        for precision, limit in (("fp32", 1e-3), ("bf16", 0.1)):
            measure = partial(cases.use, f"small {name}", make, checks.graphed, Variant(precision), limit)  # type: ignore[arg-type]
            yield Row("check", f"a graph computes the same, {name}", precision, 6, measure)
    yield Row("check", "tests of graphs", "", 60, partial(checks.tested, "tests/core/test_graphs.py"))


def steps(meter: Meter, smoke: bool) -> Iterator[Timed]:
    one, two, side = ((32, 64), (32, 64), 32) if smoke else ((512, 1024), (1024, 2048), 256)
    images, scenes = partial(Images, meter, small=smoke), partial(Scenes, meter, small=smoke)
    yield Timed("step/cyclegan256", "CycleGAN 256, batch 1", partial(images, side, 1), 4, (6.0, 4.0))
    domains = partial(Domains, meter, side, small=smoke)
    yield Timed("step/ugatit_light256", "U-GAT-IT light 256", domains, 5, (7.5, 8.0))
    small, whole = partial(scenes, *one, joint=False), partial(scenes, *two, joint=True)
    yield Timed("step/pix2pixhd_1024x512", "pix2pixHD 1024x512", small, 5, (11.5, 3.0))
    for scale in (8, 4, 7, 0)[: 1 if smoke else 4]:
        yield Timed(
            f"step/singan_s{scale}", f"SinGAN, scale {scale}", partial(Photograph, meter, scale, small=smoke), 3
        )
    batch = 2 if smoke else 8
    yield Timed("step/cyclegan256", "CycleGAN 256, batch 8", partial(images, side, batch), 8, (38.0, 3.2), large=True)
    yield Timed("step/pix2pixhd_2048x1024", "pix2pixHD 2048x1024", whole, 10, (30.0, 3.0), large=True)


def main_rows(cases: Cases, report: Report, step: Timed) -> Iterator[Row]:
    use = partial(cases.use, step.name, step.make)
    top = partial(rated, use, report)
    yield Row(step.group, step.name, "eager_ref", step.seconds, partial(top, rows.reference_step))
    yield Row(step.group, step.name, "ours", step.seconds, partial(aimed, step, partial(top, rows.our_step, OURS)))
    for key, variant in PARITY.items():
        yield Row(step.group, step.name, key, step.seconds, partial(top, rows.our_step, variant))
    yield Row(step.group, step.name, "eager_tuned", step.seconds, partial(top, rows.tuned_step))


def ablation_rows(cases: Cases, report: Report, step: Timed) -> Iterator[Row]:
    """SinGAN's weights are channels-last in any precision."""
    use = partial(cases.use, step.name, step.make)
    for key, variant in ABLATION.items():
        if variant.last is None or "SinGAN" not in step.name:
            yield Row(step.group, step.name, key, step.seconds, partial(rated, use, report, rows.our_step, variant))


def other_rows(cases: Cases, report: Report, step: Timed) -> Iterator[Row]:
    """SinGAN's critic is differentiated twice, which compiled nets cannot be."""
    use = partial(cases.use, step.name, step.make)
    if "SinGAN" not in step.name:
        measure = partial(rated, use, report, rows.our_step, COMPILE)
        yield Row(step.group, step.name, "compile", 90, measure)
    if "pix2pixHD" in step.name:
        for key in ("fp32", "bf16"):
            variant = Variant(key, recompute=True)  # type: ignore[arg-type]
            yield Row("memory", step.name, f"{key}, recompute", step.seconds, partial(use, rows.our_memory, variant))


def aimed(step: Timed, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Add the target to what was measured."""
    target = {} if step.target is None else dict(zip(("target_ms", "target_ratio"), step.target, strict=True))
    return measure() | target


def rated(use: Callable[..., Any], report: Report, measure: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """Measure a step with what the device can do in mind."""
    products = {row["variant"]: row["tflop_per_s"] for row in report.find("ceiling", "product 8192^3")}
    copies = report.find("ceiling", "copy of 4 GB")
    able = rows.Ceilings(products, copies[0]["gb_per_s"]) if len(products) == 3 and copies else None
    return use(measure, *arguments, able)  # type: ignore[no-any-return]


def tuned(cases: Cases, report: Report, step: Timed) -> Row:
    use = partial(cases.use, step.name, step.make)
    seconds = (4 if step.large else 2) * step.seconds
    return Row(step.group, step.name, "fastest, cudnn.benchmark", seconds, partial(fastest, use, report, step))


def fastest(use: Callable[..., Any], report: Report, step: Timed) -> dict[str, Any]:
    """Measure the variant that was the fastest once more, with cuDNN's search for algorithms on both sides."""
    variants = {"ours": OURS, **PARITY, **ABLATION}
    times = {row["variant"]: row["ms_median"] for row in report.find(step.group, step.name)}
    key = min(variants.keys() & times.keys(), key=times.__getitem__)
    return {"of": key, **rated(use, report, rows.our_step, variants[key]._replace(tuned=True))}


def trainings(training: Training) -> Iterator[Row]:
    yield Row("train/singan", WHOLE, "eager_ref, extrapolated", 15, training.theirs)
    for key, variant in (("ours, extrapolated", OURS), ("tf32, extrapolated", PARITY["tf32"])):
        yield Row("train/singan", WHOLE, key, 30, partial(training.extrapolated, variant))


def gates(meter: Meter, cases: Cases, smoke: bool) -> Iterator[Row]:
    """Ours against the same in TF32: losses and images must lie within the spread of seeds."""
    side, steps, seeds = (48, 3, range(2)) if smoke else (128, 120, range(5))
    nets: dict[str, Any] = {"base_width": 4, "discriminator_width": 4, "blocks": 1} if smoke else {}
    layers = {"discriminator_layers": (4, 3)} if smoke else {}
    for name, make in {
        "CycleGAN": partial(learnable.images, meter, side, **nets),
        "U-GAT-IT light": partial(learnable.domains, meter, side, **nets, **layers),
        "pix2pixHD global": partial(learnable.scenes, meter, side, **nets),
        "SinGAN": partial(learnable.photograph, meter, side, steps),
    }.items():
        measure = partial(gate, cases, make, seeds, steps)
        yield Row("gate", name, "bf16", 30, measure)


def gate(cases: Cases, make: Callable[[], learnable.Training], seeds: Sequence[int], steps: int) -> dict[str, Any]:
    cases.forget()
    return make().gate(PARITY["tf32"], OURS, seeds=seeds, steps=steps)


def generated(meter: Meter, cases: Cases, smoke: bool) -> Iterator[Row]:
    height, width = (32, 64) if smoke else (1024, 2048)
    make = partial(Scenes, meter, height, width, joint=True, small=smoke, perceptual=False)
    for key, variant in (("bf16", Variant("bf16")), ("tf32", Variant("tf32")), ("fp32", Variant("fp32"))):
        measure = partial(cases.use, "generation", make, rows.generation, variant)
        yield Row("generation", "pix2pixHD 2048x1024", key, 5, measure)


def single_kernels(meter: Meter, cases: Cases, report: Report, smoke: bool, way: str) -> Iterator[Row]:
    """Ours, or what the compiler makes; each against the plain operations."""
    size = 2**16 if smoke else 25 * 10**7
    if way == "ours":
        yield Row("kernel", COPY, "float32", 3, partial(rows.copies, meter, size))
    for kernel in kernels.all_kernels(smoke):
        for dtype, training in (("bf16", True), ("fp32", True), ("bf16", False)):
            if way in kernel.ways and (way == "ours" or (dtype, training) == ("bf16", True)):
                run = kernels.Run(kernel, dtype, training)
                measure = partial(kernel_row, cases, report, meter, run, way)
                yield Row(f"kernel/{kernel.group}", run.name, way, 2 if way == "ours" else 8, measure)


def kernel_row(cases: Cases, report: Report, meter: Meter, run: kernels.Run, way: str) -> dict[str, Any]:
    cases.forget()
    copied = report.find("kernel", COPY)
    return kernels.measured(meter, run, way, copied[0]["gb_per_s"] if copied else None)
