"""Whole nets by kernels, against the same nets in float64, which kernels do not take."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from i2i.kernels import Epilogue
from i2i.modes import fixed_statistics
from i2i.values import Single
from i2i_singan.model import Scale
from i2i_singan.networks import ScaleDiscriminator, scale_discriminator, scale_generator
from i2i_singan.stale import Kept
from i2i_singan.step import Nets, generator_loss
from i2i_ugatit import attended_generator, cam_generator
from tests.kernels.conftest import Close

pytestmark = pytest.mark.gpu
Run = Callable[[Any, Tensor], list[Tensor]]


class Pass(NamedTuple):
    """What was computed in one pass over an image: the activation, the border, and whether something was added."""

    slope: float
    pad: int
    residual: bool = False


RELU, LEAKY, BORDERED, ADDED = Pass(0.0, 0), Pass(0.2, 0), Pass(0.0, 1), Pass(1.0, 0, residual=True)
#: of a generator with one residual and one adaptive block
CAM = [BORDERED, BORDERED, RELU, BORDERED, ADDED, BORDERED, ADDED, RELU, Pass(0.0, 3)]


@pytest.fixture(autouse=True)
def exact_convolutions() -> Iterator[None]:
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[Pass]:
    """What kernels have done."""
    from i2i.kernels import compiled

    seen: list[Pass] = []
    apply = compiled.apply

    def noted(x: Tensor, known: Tensor, epilogue: Epilogue) -> Tensor:
        seen.append(Pass(epilogue.negative_slope, epilogue.pad, epilogue.residual is not None))
        return apply(x, known, epilogue)

    monkeypatch.setattr(compiled, "apply", noted)
    return seen


def drawn(net: nn.Module, device: torch.device) -> Any:
    """Draw weights that matter; images and weights are channels-last."""
    torch.manual_seed(1)
    for name, value in net.state_dict().items():
        if value.ndim <= 1 or value.shape[0] == 1:
            value.copy_(torch.rand(value.shape) + (0.5 if name.endswith("weight") else 0))
    return net.to(device).to(memory_format=torch.channels_last)


def image(*shape: int, device: torch.device) -> Tensor:
    return torch.randn(shape).to(device).contiguous(memory_format=torch.channels_last)


def compare(net: Any, run: Run, given: Tensor, close: Close, tolerance: float = 1e-4) -> None:
    """Compare what is made, all gradients and all buffers."""
    wide = copy.deepcopy(net).double()
    found, wanted = run(net, given), run(wide, given.double())
    for each, other in zip(found, wanted, strict=True):
        assert each.dtype == torch.float32
        close(each, other, tolerance)
    towards = [torch.randn(each.shape).to(given) for each in found]
    parameters = [[*each.parameters()] for each in (net, wide)]
    gradients = torch.autograd.grad(found, parameters[0], towards)
    expected = torch.autograd.grad(wanted, parameters[1], [each.double() for each in towards])
    for (name, _), gradient, other in zip(net.named_parameters(), gradients, expected, strict=True):
        if not name.endswith("conv.bias"):  # before a norm it changes nothing: its gradient is rounding
            close(gradient, other, 10 * tolerance)
    for each, other in zip(net.buffers(), wide.buffers(), strict=True):
        close(each, other, tolerance)


def translated(net: Any, x: Tensor) -> list[Tensor]:
    made = net(x)
    return [made.image, made.extras["cam_logits"], made.extras["heatmap"]]


@pytest.mark.parametrize("recompute", [False, True])
def test_the_generator_of_ugatit(recompute: bool, device: torch.device, passes: list[Pass], close: Close) -> None:
    net = drawn(cam_generator(base_width=2, blocks=1, recompute=recompute), device)
    compare(net, translated, image(2, 3, 12, 8, device=device), close)
    assert passes[:9] == CAM
    assert sorted(passes[9:]) == sorted(CAM if recompute else [])


def test_norms_that_are_held_still(device: torch.device, passes: list[Pass], close: Close) -> None:
    net, x = drawn(cam_generator(base_width=2, blocks=1), device), image(1, 3, 8, 8, device=device)
    with torch.no_grad():
        wanted = net(x).image
        with fixed_statistics(net, lambda: net(x)):
            passes.clear()
            close(net(x).image, wanted, 1e-4)
            assert passes == []
        close(net(x).image, wanted, 0)
    assert passes == CAM


@pytest.mark.parametrize(
    ("at", "channels", "seen"),
    [
        ("up.2", 4, [*CAM[:7], Pass(1.0, 0), CAM[8]]),  # the norm before it, by itself
        ("decoder.0.norm2", 8, [*CAM[:6], Pass(1.0, 0), *CAM[7:]]),
        ("encoder.12.layers.2", 8, [*CAM[:3], ADDED, *CAM[5:]]),  # an instance norm is left to torch
    ],
)
def test_attention_behind_a_layer_of_its_own(
    at: str, channels: int, seen: list[Pass], device: torch.device, passes: list[Pass], close: Close
) -> None:
    net = drawn(attended_generator(cam_generator(base_width=2, blocks=1), at=at, channels=channels), device)
    made = net(x := image(1, 3, 8, 8, device=device))
    wanted = copy.deepcopy(net).double()(x.double())
    close(made.image, wanted.image, 1e-4)
    close(made.extras["heatmap"], wanted.extras["heatmap"], 1e-4)
    assert passes == seen


def test_the_generator_of_singan(device: torch.device, passes: list[Pass], close: Close) -> None:
    """In training mode, twice; the running statistics move with each of the three images."""

    def twice(net: Any, x: Tensor) -> list[Tensor]:
        return [net(x).image, net(0.5 * x + 1).image]

    net = drawn(scale_generator(width=4, layers=3), device)
    compare(net, twice, image(3, 3, 9, 10, device=device), close)
    assert passes == [LEAKY] * 4
    passes.clear()
    net.eval()
    close(net(x := image(1, 3, 9, 10, device=device)).image, copy.deepcopy(net).double()(x.double()).image, 1e-4)
    assert passes == []


def test_a_norm_of_singan_with_a_hook(device: torch.device, passes: list[Pass], close: Close) -> None:
    net, seen = drawn(scale_discriminator(width=4, layers=3), device), []
    net.head.norm.register_forward_hook(lambda norm, given, made: seen.append(made))
    net(image(2, 3, 9, 8, device=device))
    close(seen[0].mean((0, 2, 3)), net.head.norm.bias, 1e-4)
    assert passes == [LEAKY]


def judged(net: ScaleDiscriminator, x: Tensor) -> list[Tensor]:
    """What a player of SinGAN makes of real images, fakes and mixtures, and verdicts on a part of them."""
    logits, slope = net.sloped(x, 2)
    penalty = (torch.linalg.vector_norm(slope, dim=1) - 1).square().mean()
    verdict = net(x[:1])
    return [logits, slope, penalty, verdict.logits[0], *verdict.features[0]]


def test_the_discriminator_of_singan(device: torch.device, passes: list[Pass], close: Close) -> None:
    compare(drawn(scale_discriminator(width=4, layers=3), device), judged, image(5, 3, 9, 8, device=device), close)
    assert passes == [LEAKY] * 4


def towards_all(net: ScaleDiscriminator, x: Tensor) -> Tensor:
    """Return the gradients of all parameters, of a loss and a penalty, in one."""
    logits, slope = net.sloped(x, 1)
    norms = torch.linalg.vector_norm(slope.to(torch.promote_types(slope.dtype, torch.float32)), dim=1)
    found = torch.autograd.grad(logits.mean() + (norms - 1).square().mean(), list(net.parameters()), allow_unused=True)
    return torch.cat([each.flatten() for each in found if each is not None])


def test_a_penalty_in_bf16(device: torch.device, passes: list[Pass]) -> None:
    net, x = drawn(scale_discriminator(width=4, layers=3), device), image(3, 3, 12, 12, device=device)
    wanted = towards_all(copy.deepcopy(net).double(), x.double())
    with torch.autocast(device.type, dtype=torch.bfloat16):
        found = towards_all(net, x)
    assert torch.cosine_similarity(found.double(), wanted, dim=0) > 0.95  # through rounded slopes
    assert passes == [LEAKY] * 2


def test_stale_gradients_see_the_newest_weights(device: torch.device, passes: list[Pass], close: Close) -> None:
    """The fake of the first move runs back through the weights of the second, which a table of the norm would not."""
    net, critic = (drawn(make(width=4, layers=3), device) for make in (scale_generator, scale_discriminator))
    made, batch = Scale(net, image(1, 3, 8, 7, device=device)), Single(image(1, 3, 8, 7, device=device))
    pair, priors = image(2, 3, 14, 13, device=device), image(2, 3, 8, 7, device=device)
    gradients = []
    for dtype in (torch.float32, torch.float64):
        nets = Nets(copy.deepcopy(made).to(dtype), copy.deepcopy(critic).to(dtype))
        draws = SimpleNamespace(pair=pair.to(dtype), pair_priors=priors.to(dtype))
        loss = Kept("stale", generator_loss)
        loss(nets, Single(batch.image.to(dtype)), draws)
        with torch.no_grad():
            for parameter in nets.G.parameters():
                parameter.mul_(1.5)
        terms = loss(nets, Single(batch.image.to(dtype)), draws)
        gradients.append(torch.autograd.grad(sum(terms.values()), list(nets.G.parameters())))
    for name, found, wanted in zip(dict(net.named_parameters()), *gradients, strict=True):
        if not name.endswith("conv.bias"):
            close(found, wanted, 1e-3)
    assert passes == [LEAKY] * 6  # of D, and twice of the reconstruction
    assert all(block.norm.fuses for block in net.blocks())
