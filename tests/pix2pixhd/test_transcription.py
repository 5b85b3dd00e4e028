"""The authors' step in plain torch, which ours is measured against: that it is what it says."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.reference import plain_pix2pixhd as plain
from benchmarks.reference.pix2pixhd import Pix2pixHD, Vgg, drawn_edges, looped_means
from i2i_pix2pixhd.encoder import feature_encoder
from i2i_pix2pixhd.generators import global_generator, local_enhancer
from i2i_pix2pixhd.multiscale import multiscale_discriminator

#: GFLOP of a step at 1024x512 with VGG19, and calls of operations without views, on the CPU with torch's default Adam
GFLOP, CALLS, CALLS_LOCAL = 4654, 1507, 2096


class Calls(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not function.is_view:
            self.counts[function.overloadpacket.__name__] += 1
        return function(*args, **(kwargs or {}))


def scene(b: int = 1, h: int = 64, w: int = 128) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 35, (b, 1, h, w), generator=draw)
    return labels, labels // 3, torch.rand(b, 3, h, w, generator=draw) * 2 - 1


def test_it_costs_what_the_authors_step_costs() -> None:
    with torch.device("meta"):
        step, labels = Pix2pixHD(vgg=Vgg()), torch.zeros(1, 1, 512, 1024, dtype=torch.long)
        with FlopCounterMode(display=False) as counter:
            step(labels, labels, torch.zeros(1, 3, 512, 1024))
    assert counter.get_total_flops() / 1e9 == pytest.approx(GFLOP, abs=1)


@pytest.mark.parametrize(("settings", "calls"), [({}, CALLS), ({"local": True, "scales": 3}, CALLS_LOCAL)])
def test_it_calls_as_many_operations_as_the_authors_step(settings: Any, calls: int) -> None:
    step, batch = Pix2pixHD(width=2, discriminator_width=2, **settings), scene()
    step(*batch)
    with Calls() as mode:
        step(*batch)
    assert mode.counts.total() == pytest.approx(calls, rel=0.003)
    forward = {"convolution": 58, "convolution_backward": 58} if not settings else {}
    assert {name: mode.counts[name] for name in forward} == forward


@pytest.mark.parametrize("local", [False, True])
def test_its_networks_take_our_weights_and_compute_the_same(local: bool) -> None:
    torch.manual_seed(0)
    small: Any = {"downs": 2, "blocks": 1}
    kind = local_enhancer if local else global_generator
    ours = kind(4, labels=35, base_width=2, **small), multiscale_discriminator(4, labels=35, base_width=2)
    encoder = feature_encoder(base_width=2, downs=2)
    step = Pix2pixHD(local=local, features=3, width=2, encoder_width=2, encoder_downs=2, discriminator_width=2, **small)
    assert step.E is not None
    for theirs, mine in zip(step.nets(), (*ours, encoder), strict=True):
        theirs.double().load_state_dict(mine.double().state_dict())
    labels, instances, image = scene(b=2, h=16, w=24)
    image = image.double()
    features = encoder(image, instances).image
    edges = drawn_edges(instances).double()
    fake = ours[0](labels, torch.cat((edges, features), dim=1)).image
    losses, theirs = step.losses(labels, instances, image)
    torch.testing.assert_close(fake, theirs, rtol=0, atol=1e-10)
    judged = ours[1](torch.cat((edges, image), dim=1), labels)
    real = sum((logits - 1).square().mean() for logits in judged.logits)
    torch.testing.assert_close(losses["D_real"], real, rtol=0, atol=1e-10)


def test_its_step_is_that_of_the_plain_functions() -> None:
    """Losses and the first move of Adam, which is the learning rate in the direction of the sign of the gradient."""
    torch.manual_seed(0)
    step = Pix2pixHD(labels=5, width=2, downs=1, blocks=1, discriminator_width=2, layers=1, lr=1e-3)
    for net in step.nets():
        net.double()
    labels, instances, image = scene(b=1, h=16, w=24)
    labels, image = labels % 5, image.double()
    of_G, of_D = ({k: v.detach().clone().requires_grad_() for k, v in n.state_dict().items()} for n in (step.G, step.D))
    x = torch.cat((plain.one_hot(labels, 5), drawn_edges(instances).double()), dim=1)
    fake = plain.global_generator(of_G, x, 1)
    on_fake, on_real = (plain.discriminator(of_D, torch.cat((x, y), dim=1)) for y in (fake, image))
    expected = {
        "D_fake": sum(scale[-1].square().mean() for scale in on_fake),
        "D_real": sum((scale[-1] - 1).square().mean() for scale in on_real),
        "G_GAN": sum((scale[-1] - 1).square().mean() for scale in on_fake),
        "G_GAN_Feat": sum(
            10 * (4 / 2) / 2 * (a - b.detach()).abs().mean()
            for one, two in zip(on_fake, on_real, strict=True)
            for a, b in zip(one[:-1], two[:-1], strict=True)
        ),
    }
    found = step(labels, instances, image)
    assert {k: v.item() for k, v in found.items()} == pytest.approx(
        {k: v.item() for k, v in expected.items()}, rel=1e-10
    )  # type: ignore[union-attr]
    loss_G, loss_D = expected["G_GAN"] + expected["G_GAN_Feat"], (expected["D_fake"] + expected["D_real"]) / 2
    for net, w, loss in ((step.G, of_G, loss_G), (step.D, of_D, loss_D)):
        gradients = torch.autograd.grad(loss, list(w.values()), retain_graph=True)  # type: ignore[arg-type]
        for (name, before), gradient, after in zip(w.items(), gradients, net.parameters(), strict=True):
            clear = gradient.abs() > 1e-6  # not the biases before a norm
            torch.testing.assert_close(
                (before - after)[clear], 1e-3 * gradient[clear].sign(), rtol=0.05, atol=0, msg=name
            )


def test_objects_are_pooled_by_sample_and_id() -> None:
    values, ids = torch.randn(2, 3, 6, 7, dtype=torch.float64), torch.randint(0, 4, (2, 1, 6, 7))
    torch.testing.assert_close(looped_means(values, ids), plain.region_means(values, ids), rtol=0, atol=1e-14)
