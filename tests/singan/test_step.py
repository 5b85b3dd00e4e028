"""How the pyramid grows, and several training images; the iteration itself is held by test_parity.py."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import torch
from torch import Tensor

from i2i.policy import Policy, Turn
from i2i_singan.pyramid import Pyramid
from i2i_singan.settings import Settings
from i2i_singan.step import Levels, make_step

SIZES = ((14, 16), (16, 18), (18, 21), (20, 24), (23, 27))
PYRAMID = Pyramid(SIZES, 0.87)
TINY = Settings(steps=2, base_width=2, max_width=3, layers=3, min_size=14)


def levels(count: int = 1, seed: int = 0) -> Levels:
    chance = torch.Generator().manual_seed(seed)
    return Levels(tuple(torch.rand(count, 3, *size, generator=chance) * 2 - 1 for size in SIZES))


class Run:
    """A run that is stepped by hand."""

    def __init__(self, settings: Settings, batch: Levels) -> None:
        torch.manual_seed(0)
        self.batch, self.step, self.policy, self.now = batch, make_step(settings, PYRAMID, batch), Policy(), 0
        self.state = self.step.init(None, self.policy, None)

    def go(self, count: int) -> dict[str, Tensor]:
        metrics: Any = {}
        for _ in range(count):
            self.state, metrics = self.step.update(None, self.state, self.batch, Turn(self.policy, self.now))
            self.now += 1
        return dict(metrics)

    @property
    def nets(self) -> Any:
        return self.step.nets(None, self.state)


def weights(net: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def begun(settings: Settings, batch: Levels, scale: int) -> tuple[Any, Any]:
    """Return the finished nets below a scale, and the nets of the scale as it begins."""
    run = Run(settings, batch)
    run.go(scale * settings.steps)
    run.state.advance() if scale else None
    return run.nets.finished, run.nets.current


@pytest.mark.parametrize(("scale", "reused"), [(1, True), (3, True), (4, False)])
def test_a_scale_begins_with_the_weights_of_one_as_wide(scale: int, reused: bool) -> None:
    finished, current = begun(TINY, levels(), scale)
    assert current.G.net.head.conv.out_channels == (2 if reused else 3)
    for ours, before in ((current.G.net, finished[-1].G.net), (current.D, finished[-1].D)):
        old = weights(before)
        equal = [torch.equal(value, old[name]) for name, value in ours.state_dict().items()]
        assert all(equal) if reused else not any(equal[:2])


@pytest.mark.parametrize("settled", [True, False])
def test_noise_is_a_share_of_what_the_scales_below_miss(settled: bool) -> None:
    """RMSE of the image of the fixed noise: by norms that keep its statistics, or by running averages."""
    batch = levels()
    settings = attrs.evolve(TINY, settled_norms=settled, noise_weight=0.3)
    finished, current = begun(settings, batch, 1)
    below = finished[0].G
    assert (below.net.training, below.noise.shape) == (False, batch.images[0].shape)
    net = below.net.train() if settled else below.net
    image = net(torch.nn.functional.pad(below.noise, (3,) * 4)).image  # in training: its own statistics
    prior = torch.nn.functional.interpolate(image, size=SIZES[1], mode="bicubic")  # near enough
    wanted = 0.3 * (batch.images[1] - prior).square().mean().sqrt()
    assert current.G.amplitude.item() == pytest.approx(wanted.item(), rel=0.02)
    assert finished[0].G.amplitude == 1
    assert current.G.noise is None


def test_finished_scales_stand_still() -> None:
    run = Run(TINY, levels())
    run.go(3)
    before = weights(run.nets.finished[0].G)
    run.go(3)
    assert len(run.nets.finished) == 2
    assert all(torch.equal(value, before[name]) for name, value in run.nets.finished[0].G.state_dict().items())
    assert not any(each.requires_grad for each in run.nets.finished[0].G.parameters())


@pytest.mark.parametrize(
    ("changes", "same"), [({}, True), ({"fixed_noise": False}, False), ({"reference": True}, False)]
)
def test_the_noise_of_the_photograph_is_fixed_or_drawn_anew(changes: dict[str, Any], same: bool) -> None:
    run = Run(attrs.evolve(TINY, **changes), levels())
    before = run.nets.current.G.noise.clone()
    run.go(1)
    assert torch.equal(run.nets.current.G.noise, before) == same


def test_the_rate_falls_in_every_scale_anew() -> None:
    """By the largest change of a weight: Adam moves by about the rate."""
    settings = attrs.evolve(TINY, steps=3, decay_at=0.67, discriminator_moves=1, generator_moves=1)
    run, moved = Run(settings, levels()), []
    for _ in range(6):
        if run.now == 3:
            run.state.advance()
        before = weights(run.nets.current.D)["head.norm.bias"]
        run.go(1)
        moved.append((run.nets.current.D.head.norm.bias - before).abs().max().item())
    assert moved[0] == pytest.approx(5e-4, rel=0.01)
    assert moved[3] == pytest.approx(5e-4, rel=0.01)
    assert max(moved[2], moved[5]) < 1e-4
    assert moved[1] > 1e-4


@pytest.mark.parametrize(
    "changes",
    [{}, {"reference": True}, {"generator_gradient": "single"}, {"noise_padding": True}, {"penalty_per": "image"}],
)
def test_several_images_are_trained_on_together(changes: dict[str, Any]) -> None:
    run = Run(attrs.evolve(TINY, steps=1, **changes), levels(2))
    metrics = run.go(3)
    assert all(value.isfinite() for value in metrics.values())
    scale = run.nets.finished[0].G
    assert len(scale.image) == len(scale.noise) == 2
    assert not torch.equal(scale.noise[0], scale.noise[1])


def test_the_same_image_twice_has_the_losses_of_one() -> None:
    """Where chance has no say: the reconstruction, of the same noise."""
    one, single = levels(), Run(TINY, levels())
    double = Run(TINY, Levels(tuple(torch.cat((image, image)) for image in one.images)))
    noise = single.nets.current.G.noise
    double.nets.current.G.load_state_dict(
        {name: torch.cat((value, value)) if name in ("image", "noise") else value
         for name, value in single.nets.current.G.state_dict().items()}
    )  # fmt: skip
    assert torch.equal(double.nets.current.G.noise[1:], noise)
    reconstruction = "g/reconstruction"
    assert double.go(1)[reconstruction].item() == pytest.approx(single.go(1)[reconstruction].item(), rel=1e-2)
