"""The whole training of SinGAN on one image: captures, resizing and the beginnings of scales included."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.device.meter import Meter, rounded
from benchmarks.device.variants import Variant, flags
from benchmarks.reference import singan as authors
from i2i.engine import fit
from i2i.policy import Policy
from i2i_singan.networks import scale_discriminator, scale_generator
from i2i_singan.pyramid import Pyramid, levels
from i2i_singan.pyramid import plan as pyramid_of
from i2i_singan.settings import Settings
from i2i_singan.step import Levels, make_step

STEPS = 2000  # of each scale
FEW = 50, 150  # of each scale, where the rest is extrapolated
THEIRS = 4, 16  # of each scale, not timed and timed


class Training:
    """One image of 186 x 250 pixels, or a tiny one, at all of its scales.

    Args:
        meter: knows the device.
        small: a tiny image, and few steps.
    """

    def __init__(self, meter: Meter, *, small: bool) -> None:
        self.meter, self.small = meter, small
        height, width = (30, 40) if small else (186, 250)
        torch.manual_seed(0)
        coarse = torch.rand(1, 3, 12, 16, device=meter.device) * 2 - 1
        self.image = F.interpolate(coarse, (height, width), mode="bicubic").clamp(-1, 1)
        self.pyramid: Pyramid = pyramid_of(height, width)

    def seconds(self, work: Callable[[], object]) -> float:
        self.meter.finish()
        begun = time.perf_counter()
        work()
        self.meter.finish()
        return time.perf_counter() - begun

    def ours(self, variant: Variant, steps: int) -> Callable[[], object]:
        """Return the training with so many steps at each scale."""
        settings = Settings(steps=steps, base_width=4) if self.small else Settings(steps=steps)
        batch = Levels(levels(self.image, self.pyramid))
        policy = variant.policy if self.meter.cuda else Policy()  # there is no TF32 elsewhere

        def run() -> None:
            torch.manual_seed(0)
            step = make_step(settings, self.pyramid, batch)
            with variant.flags(self.meter.device):
                fit(step, None, [batch], policy=policy, device=self.meter.device)

        return run

    def whole(self, variant: Variant) -> dict[str, Any]:
        """All of it, once: what is measured is what a user waits."""
        steps = 4 if self.small else STEPS
        return {"steps": steps, "seconds_in_all": rounded(self.seconds(self.ours(variant, steps)))}

    def extrapolated(self, variant: Variant) -> dict[str, Any]:
        """The line through the times of two short trainings, taken at all steps."""
        few, more = (2, 4) if self.small else FEW
        self.seconds(self.ours(variant, few))  # what is done once in a process: compilation, choice of algorithms
        times = [self.seconds(self.ours(variant, steps)) for steps in (few, more)]
        per_step = (times[1] - times[0]) / (more - few)
        return {
            "steps": STEPS, "from_steps": [few, more], "ms_per_step_of_each_scale": rounded(1e3 * per_step),
            "seconds_in_all": rounded(times[1] + per_step * (STEPS - more)),
        }  # fmt: skip

    def theirs(self) -> dict[str, Any]:
        """Their steps scale after scale, a few of each, taken as often as there are steps."""
        warm, timed = (1, 1) if self.small else THEIRS
        settings, finished, total = Settings(), list[authors.Finished](), 0.0
        torch.manual_seed(0)
        with flags(self.meter.device), self.meter.device:
            for k, image in enumerate(levels(self.image, self.pyramid)):
                width = 4 if self.small else settings.width(k)
                nets = scale_generator(width=width), scale_discriminator(width=width)
                weights = map(authors.weights_of, nets)
                scale = authors.Scale(*weights, image, tuple(finished), authors.Options(self.pyramid.factor))
                for _ in range(warm):
                    scale()
                total += self.seconds(lambda scale=scale: [scale() for _ in range(timed)]) / timed  # type: ignore[misc]
                finished.append(scale.result())
        return {"steps": STEPS, "from_steps": timed, "seconds_in_all": rounded(total * STEPS)}
