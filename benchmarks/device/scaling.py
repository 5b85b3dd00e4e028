"""How the time of a step grows: one of size, batch and width changes, the others stay at the centre of a method."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple

import torch

from benchmarks.device import rows
from benchmarks.device.cases import Case, Domains, Images, Photograph, Scenes
from benchmarks.device.machine import machine
from benchmarks.device.meter import Lap, Meter, Work, rounded
from benchmarks.device.report import Report, Row
from benchmarks.device.variants import Variant
from benchmarks.evidence.results import processor
from benchmarks.floors import counted, floor_ms

PRODUCT, PASS = "large product", "large pass in place"


class OwnTime(Meter):
    """Measures on the CPU the time of this process there, so that others who compute at the same time matter less."""

    def lap(self, work: Work, steps: int) -> Lap:
        if self.cuda:
            return super().lap(work, steps)
        with work.flags():
            begun = time.process_time()
            for _ in range(steps):
                work.run()
            passed = (time.process_time() - begun) * 1e3 / steps
        return Lap(passed, passed)


class Sweeps(NamedTuple):
    """What is measured of one method.

    Attributes:
        make: the case, from a meter, ``small`` and what changes.
        centre: the values of what does not change; a sweep of something else stands by itself.
        values: of what does, sweep by sweep.
    """

    make: Callable[..., Case]
    centre: Mapping[str, int]
    values: Mapping[str, Sequence[int]]

    def points(self) -> dict[tuple[tuple[str, int], ...], list[str]]:
        """Return all points, and the sweeps that each one belongs to."""
        found: dict[tuple[tuple[str, int], ...], list[str]] = {}
        for sweep, values in self.values.items():
            for value in values:
                settings = {**(self.centre if sweep in self.centre else {}), sweep: value}
                found.setdefault(tuple(settings.items()), []).append(sweep)
        return found


def images(meter: Meter, *, small: bool, size: int, batch: int, width: int) -> Case:
    return Images(meter, size, batch, small=small, base_width=width, discriminator_width=width)


def scenes(meter: Meter, *, small: bool, size: int, batch: int, width: int) -> Case:
    """The global stage; scenes are twice as wide as high, VGG19 stays as wide as it is."""
    widths = {"base_width": width, "discriminator_width": width}
    return Scenes(meter, size, 2 * size, joint=False, small=small, batch=batch, perceptual=not small, **widths)


def domains(meter: Meter, *, small: bool, size: int, batch: int, width: int) -> Case:
    return Domains(meter, size, small=small, batch=batch, base_width=width, discriminator_width=width)


def photograph(
    meter: Meter, *, small: bool, size: int | None = None, width: int | None = None, scale: int | None = None
) -> Case:
    """The finest scale of an image whose longer side is ``size``; or a scale of the usual image in its usual width."""
    sides = None if size is None else (3 * size // 4, size)
    widths = {} if width is None else {"base_width": width, "max_width": width}
    return Photograph(meter, scale, small=small, size=sides, **widths)


def sweeps(meter: Meter, smoke: bool) -> dict[str, Sweeps]:
    """Return what is measured: on the CPU sizes that take seconds, on a GPU those of the papers."""
    if smoke:
        centre = {"size": 32, "batch": 1, "width": 4}
        alone = {name: (value,) for name, value in centre.items()}
        return {
            "CycleGAN": Sweeps(images, centre, alone | {"size": (32, 48), "width": (2, 4)}),
            "pix2pixHD": Sweeps(scenes, centre, alone | {"batch": (1, 2)}),
            "U-GAT-IT": Sweeps(domains, centre, alone),
            "SinGAN": Sweeps(photograph, {"size": 40, "width": 4}, {"size": (40,), "width": (4,), "scale": (1,)}),
        }
    if meter.cuda:
        batches, widths = (1, 2, 4, 8), (32, 64, 96, 128)
        return {
            "CycleGAN": Sweeps(
                images, {"size": 256, "batch": 1, "width": 64},
                {"size": (128, 256, 384, 512), "batch": batches, "width": widths},
            ),
            "pix2pixHD": Sweeps(
                scenes, {"size": 256, "batch": 1, "width": 64},
                {"size": (128, 256, 384, 512), "batch": batches, "width": (16, 32, 48, 64)},
            ),
            "U-GAT-IT": Sweeps(
                domains, {"size": 256, "batch": 1, "width": 64},
                {"size": (128, 192, 256, 384), "batch": batches, "width": widths},
            ),
            "SinGAN": Sweeps(
                photograph, {"size": 250, "width": 32},
                {"size": (100, 150, 200, 250), "width": (16, 32, 64, 128), "scale": (1, 2, 4, 6, 8)},
            ),
        }  # fmt: skip
    return {
        "CycleGAN": Sweeps(
            images, {"size": 64, "batch": 1, "width": 32},
            {"size": (32, 48, 64, 96, 128), "batch": (1, 2, 3, 4), "width": (16, 24, 32, 48, 64)},
        ),
        "pix2pixHD": Sweeps(
            scenes, {"size": 64, "batch": 1, "width": 32},
            {"size": (32, 64, 96, 128), "batch": (1, 2, 3, 4), "width": (16, 24, 32, 48, 64)},
        ),
        "U-GAT-IT": Sweeps(  # its larger discriminator needs 96 pixels
            domains, {"size": 128, "batch": 1, "width": 12},
            {"size": (96, 128, 160, 192), "batch": (1, 2, 3, 4), "width": (8, 12, 16, 24)},
        ),
        "SinGAN": Sweeps(
            photograph, {"size": 100, "width": 32},
            {"size": (50, 75, 100, 150, 200), "width": (16, 24, 32, 48, 64), "scale": (1, 2, 3, 4)},
        ),
    }  # fmt: skip


def setup(meter: Meter) -> dict[str, Any]:
    """Return the machine, and how the steps are computed: ours as it is fastest there, theirs as torch does."""
    if meter.cuda:
        return {"machine": machine(meter.device), "ours": "bf16, one graph", "plain": "tf32", "bytes": 2}
    own = {"device": processor(), "threads": torch.get_num_threads()}
    return {"machine": machine(meter.device) | own, "ours": "fp32", "plain": "fp32", "bytes": 4}


def passes(meter: Meter, numbers: int) -> dict[str, float]:
    """Return GB/s of float32 numbers that are read and written back; in a copy a CPU reads the target, too."""
    values = torch.randn(numbers, device=meter.device)
    found = meter.alone(Work(values.neg_, nullcontext))
    return {"gb_per_s": rounded(8e-6 * numbers / found["ms_median"]), **found}


def plan(meter: Meter, report: Report, *, smoke: bool) -> Iterator[Row]:
    """Yield the rows: what the machine can do, then the first sweep of every method, and so on."""
    side, numbers = (64, 2**16) if smoke else (8192, 10**9) if meter.cuda else (4096, 10**8)
    dtype = torch.bfloat16 if meter.cuda else torch.float32
    yield Row("ceiling", PRODUCT, f"{side}^3", 10, partial(rows.products, meter, side, dtype))
    yield Row("ceiling", PASS, f"{4e-9 * numbers:g} GB", 10, partial(passes, meter, numbers))
    methods = sweeps(meter, smoke)
    for turn in range(3):
        for method, of in methods.items():
            for settings, belongs in of.points().items():
                if belongs[0] == list(of.values)[turn]:
                    told = ", ".join(f"{name} {value}" for name, value in settings)
                    measure = partial(point, meter, report, of.make, dict(settings), belongs, smoke)
                    yield Row("scaling", method, told, 6 if meter.cuda else 100, measure)


def point(
    meter: Meter, report: Report, make: Callable[..., Case], settings: Mapping[str, int], belongs: Sequence[str],
    small: bool,
) -> dict[str, Any]:  # fmt: skip
    """Measure a step against the plain one, and count what it takes."""
    meter.clear()
    case = make(meter, small=small, **settings)
    work = case.ours(Variant("bf16", graphed=True) if meter.cuda else Variant("fp32"))
    found = meter.compare(case.reference, work)
    # what is in a graph cannot be counted
    of = case.counted if meter.cuda else counted(work.run, case.parameters(work.run))
    rates = {key: report.find("ceiling", name)[0][key] for key, name in (("tflop_per_s", PRODUCT), ("gb_per_s", PASS))}
    floor = rounded(floor_ms(of, **rates, width=report.data["bytes"]))
    return {"sweeps": list(belongs), **settings, **found, **of._asdict(), "floor_ms": floor}
