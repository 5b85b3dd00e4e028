"""The training steps that are measured: the authors' in plain torch, and ours placed on a device as `fit` does it."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from benchmarks.bench_pix2pixhd import scene
from benchmarks.bench_singan import Iterations, iterations
from benchmarks.device.meter import Meter, Work
from benchmarks.device.variants import Variant, flags
from benchmarks.floors import Counted, counted
from benchmarks.reference.cyclegan import CycleGAN
from benchmarks.reference.pix2pixhd import Pix2pixHD, Vgg
from benchmarks.reference.singan import Finished
from benchmarks.reference.ugatit import Step as AuthorsUGATIT
from i2i.engine import _Engine
from i2i.policy import Policy
from i2i.step import Step
from i2i.tree import tree_map
from i2i.values import Instanced, Pair
from i2i_cyclegan.rates import Length, learning_rate
from i2i_cyclegan.recipe import make_nets
from i2i_cyclegan.settings import Settings as CycleSettings
from i2i_cyclegan.step import make_step as cycle_step
from i2i_pix2pixhd.networks import Channels
from i2i_pix2pixhd.settings import Settings as SceneSettings
from i2i_pix2pixhd.step import make_step as scene_step
from i2i_pix2pixhd.vgg import vgg19
from i2i_singan.pyramid import plan as pyramid_of
from i2i_singan.settings import Settings as SinGanSettings
from i2i_ugatit.recipe import learning_rate as attention_rate
from i2i_ugatit.recipe import make_nets as attention_nets
from i2i_ugatit.settings import Settings as AttentionSettings
from i2i_ugatit.step import make_step as attention_step

Losses = Mapping[str, Tensor]
BATCHES = 10


class Case:
    """One step: theirs, which is kept, and ours, made anew for each variant from the same weights.

    Args:
        meter: knows the device.
    """

    def __init__(self, meter: Meter) -> None:
        self.meter, self.device = meter, meter.device

    @functools.cached_property
    def reference(self) -> Work:
        """Theirs, as torch computes by default."""
        return self._kept(self.theirs)

    @functools.cached_property
    def tuned(self) -> Work:
        """Theirs in bfloat16, channels-last: what costs nothing but two lines."""

        def make() -> Callable[..., Any]:
            run = self.theirs()
            for weight in weights_in(run.net):  # type: ignore[attr-defined]
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
            return torch.autocast(self.device.type, dtype=torch.bfloat16)(run)

        return self._kept(make)

    def _kept(self, make: Callable[[], Callable[..., Any]]) -> Work:
        _, base = self.batches, self.meter.reserved()
        self.seed(0)
        with self.device:
            work = Work(make(), lambda: flags(self.device), base)
        self.meter.warm_up(work, 1)  # what it keeps is there before the memory of ours is counted
        return work

    @functools.cached_property
    def counted(self) -> Counted:
        """What a step computes and moves at least."""
        variant = Variant("bf16", kernels=False)
        run: Any = self.ours(variant).run
        with variant.flags(self.device):
            run()  # in it a stage is begun
            return counted(run, self.parameters(run))

    def parameters(self, run: Any) -> int:
        """Return how many numbers our step trains."""
        engine = run.engine
        return sum(p.numel() for module in engine.step.trains(engine.nets) for p in module.parameters())

    def ours(self, variant: Variant) -> Work:
        _, base = self.batches, self.meter.reserved()  # they are drawn once, before the weights
        self.seed(0)
        return Work(self.built(variant), lambda: variant.flags(self.device), base)

    @functools.cached_property
    def batches(self) -> list[Any]:
        """A few batches, on the device; most are used by the comparison of losses only."""
        self.seed(1)
        return [tree_map(self._moved, self.drawn()) for _ in range(BATCHES if self.meter.cuda else 2)]

    def _moved(self, leaf: Any) -> Any:
        return leaf.to(self.device) if isinstance(leaf, Tensor) else leaf

    def seed(self, number: int) -> None:
        torch.manual_seed(number)
        random.seed(number)

    def theirs(self) -> Callable[..., Any]:
        """Make their step, on torch's default device; called with the number of a batch. It has a ``net``."""
        raise NotImplementedError

    def built(self, variant: Variant) -> Callable[..., Losses]:
        """Make ours."""
        raise NotImplementedError

    def drawn(self) -> Any:
        """Draw a batch; None where there is but one."""

    def engine(self, step: Step[Any, Any], nets: Any, variant: Variant, now: int = 0) -> Callable[..., Losses]:
        """Return a step that is placed, and run, as `fit` does it."""
        policy = variant.policy
        engine = _Engine(step, nets, self.batches[:1], policy, self.device, None, ())
        engine.begin(resume=False)
        placed = [engine.place(batch) for batch in self.batches]

        engine.batches = now
        updates = 0

        def run(number: int = 0) -> Losses:
            nonlocal updates
            updates += 1
            if variant.compiled and updates == 1:
                with called() as modules:
                    metrics = engine.update(placed[number])
                for module in modules:
                    module.compile(dynamic=False, backend="inductor" if self.meter.cuda else "aot_eager")
                return metrics
            return engine.update(placed[number])

        run.engine, run.graphs = engine, engine.graphs  # type: ignore[attr-defined]
        return run


def weights_in(net: Any) -> Iterator[Tensor]:
    """Yield the weights of convolutions in an authors' step: of modules, or by name, those of finished scales too."""
    for value in vars(net).values():
        if isinstance(value, nn.Module):
            own = list(value.parameters())
        elif isinstance(value, Mapping):
            own = [each for each in value.values() if isinstance(each, Tensor)]
        else:
            scales = value if isinstance(value, tuple) else ()
            own = [each for scale in scales if isinstance(scale, Finished) for each in scale.weights.values()]
        yield from (weight for weight in own if weight.ndim == 4)


@contextmanager
def called() -> Iterator[list[nn.Module]]:
    """Collect the modules that are called from outside of any other: what a user would compile."""
    found: dict[nn.Module, None] = {}
    inside = 0

    def before(module: nn.Module, _: Any) -> None:
        nonlocal inside
        if not inside:
            found[module] = None
        inside += 1

    def after(*_: Any) -> None:
        nonlocal inside
        inside -= 1

    modules: list[nn.Module] = []
    begin = nn.modules.module.register_module_forward_pre_hook(before)
    end = nn.modules.module.register_module_forward_hook(after, always_call=True)
    try:
        yield modules
    finally:
        begin.remove()
        end.remove()
    modules += [module for module in found if next(module.parameters(), None) is not None]


class Scenes(Case):
    """pix2pixHD with VGG19: the global stage, or the joint one.

    Args:
        meter: knows the device.
        height: of the scenes.
        width: likewise.
        joint: the joint stage.
        small: sizes of nets for a trial.
        batch: of the scenes.
        changes: further settings.
    """

    def __init__(
        self, meter: Meter, height: int, width: int, *, joint: bool, small: bool, batch: int = 1, **changes: Any
    ) -> None:
        super().__init__(meter)
        self.height, self.width, self.joint, self.batch = height, width, joint, batch
        sizes: dict[str, Any] = {"base_width": 4, "discriminator_width": 4, "downs": 2, "blocks": 1, "local_blocks": 1}
        self.settings = SceneSettings(stages="all" if joint else "global", **(sizes if small else {}) | changes)
        self.vgg = vgg19("untrained").to(self.device) if self.settings.perceptual else None

    def drawn(self) -> Any:
        scenes = [scene(self.height, self.width, self.settings.labels) for _ in range(self.batch)]
        return Instanced(*map(torch.cat, zip(*scenes, strict=True)))

    def theirs(self) -> Callable[..., Any]:
        s, vgg = self.settings, None
        if self.vgg is not None:
            vgg = Vgg()
            vgg.load_state_dict(self.vgg.net.state_dict())  # type: ignore[union-attr]
        net = Pix2pixHD(
            labels=s.labels, local=self.joint, vgg=vgg, width=s.base_width // 2 if self.joint else s.base_width,
            downs=s.downs, blocks=s.blocks, local_blocks=s.local_blocks, discriminator_width=s.discriminator_width,
            scales=s.scales("joint" if self.joint else "global"), features=s.features if s.styles else 0,
        )  # fmt: skip

        def run(number: int = 0) -> Any:
            return net(*self.batches[number])

        run.net = net  # type: ignore[attr-defined]
        return run

    def built(self, variant: Variant) -> Callable[..., Losses]:
        settings = attrs.evolve(self.settings, recompute=variant.recompute, **variant.changes)
        lengths = [1, 1, 10**6] if self.joint else [10**6]
        step = scene_step(settings, lengths, Channels(0, 3), self.vgg)
        return self.engine(step, None, variant, now=2 if self.joint else 0)


class Images(Case):
    """CycleGAN.

    Args:
        meter: knows the device.
        size: of the images.
        batch: of them.
        small: sizes of nets for a trial.
        changes: further settings.
    """

    def __init__(self, meter: Meter, size: int, batch: int, *, small: bool, **changes: Any) -> None:
        super().__init__(meter)
        self.size, self.batch = size, batch
        sizes: dict[str, Any] = {"base_width": 4, "discriminator_width": 4, "blocks": 1} if small else {"blocks": 9}
        self.settings = CycleSettings(crop_size=size, load_size=size, **sizes | changes)

    def drawn(self) -> Any:
        return Pair(*(torch.rand(self.batch, 3, self.size, self.size) * 2 - 1 for _ in range(2)))

    def theirs(self) -> Callable[..., Any]:
        net = CycleGAN(self.settings.base_width, self.settings.blocks)

        def run(number: int = 0) -> Any:
            return net(*self.batches[number])

        run.net = net  # type: ignore[attr-defined]
        return run

    def built(self, variant: Variant) -> Callable[..., Losses]:
        settings = attrs.evolve(self.settings, recompute=variant.recompute, **variant.changes)
        with self.device:
            nets = make_nets(settings)
        return self.engine(cycle_step(settings, learning_rate(settings, Length(10**6, 0))), nets, variant)


class Domains(Case):
    """U-GAT-IT with the light head.

    Args:
        meter: knows the device.
        size: of the images.
        small: sizes of nets for a trial.
        batch: of the images.
        changes: further settings.
    """

    def __init__(self, meter: Meter, size: int, *, small: bool, batch: int = 1, **changes: Any) -> None:
        super().__init__(meter)
        self.size, self.batch = size, batch
        sizes: dict[str, Any] = {"base_width": 4, "discriminator_width": 4, "blocks": 1} if small else {}
        layers = (4, 3) if small else (7, 5)
        self.settings = AttentionSettings(crop_size=size, discriminator_layers=layers, **sizes | changes)

    def drawn(self) -> Any:
        return Pair(*(torch.rand(self.batch, 3, self.size, self.size) * 2 - 1 for _ in range(2)))

    def theirs(self) -> Callable[..., Any]:
        s = self.settings
        net = AuthorsUGATIT(
            width=s.base_width, blocks=s.depth, size=self.size, layers=s.discriminator_layers,
            discriminator_width=s.discriminator_width,
        )  # fmt: skip

        def run(number: int = 0) -> Any:
            return net.update(*self.batches[number])

        run.net = net  # type: ignore[attr-defined]
        return run

    def built(self, variant: Variant) -> Callable[..., Losses]:
        settings = attrs.evolve(self.settings, recompute=variant.recompute, **variant.changes)
        with self.device:
            nets = attention_nets(settings)
        return self.engine(attention_step(settings, attention_rate(settings, 10**6)), nets, variant)


class Photograph(Case):
    """A scale of SinGAN, by default on an image of 186 x 250 pixels.

    Args:
        meter: knows the device.
        scale: its number, 8 is the finest of that image; None for the finest one.
        small: a small image and narrow nets, for a trial.
        size: height and width of the image.
        changes: further settings.
    """

    def __init__(
        self, meter: Meter, scale: int | None, *, small: bool, size: tuple[int, int] | None = None, **changes: Any
    ) -> None:
        super().__init__(meter)
        height, width = size or ((30, 40) if small else (186, 250))
        pyramid = pyramid_of(height, width, max_size=max(height, width))
        self.settings = SinGanSettings(**({"base_width": 2, "max_width": 2} if small else {}) | changes)
        self.factor, self.sizes = pyramid.factor, pyramid.sizes[: None if scale is None else scale + 1]
        self.widths = [self.settings.width(k) for k in range(len(self.sizes))]

    def both(self, policy: Policy) -> Iterations:
        with self.device:
            return iterations(self.settings, self.factor, self.sizes, self.widths, policy)

    def theirs(self) -> Callable[..., Any]:
        net = self.both(Policy()).theirs

        def run(number: int = 0) -> Any:
            return net()

        run.net = net  # type: ignore[attr-defined]
        return run

    def built(self, variant: Variant) -> Callable[..., Losses]:
        found = self.both(variant.policy)

        def run(number: int = 0) -> Losses:
            return found.ours()

        run.nets, run.graphs = found.nets, found.graphs  # type: ignore[attr-defined]
        return run

    def parameters(self, run: Any) -> int:
        return sum(p.numel() for net in run.nets for p in net.parameters() if p.requires_grad)
