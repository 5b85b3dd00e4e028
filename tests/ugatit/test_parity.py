"""The recipe's step against a plain transcription of the authors', in float64: losses to 1e-10, weights to 1e-9."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor

from benchmarks.reference.ugatit import Step as TheirStep
from i2i.policy import Policy, Turn
from i2i.values import Pair
from i2i_ugatit.recipe import learning_rate, make_nets
from i2i_ugatit.settings import Settings
from i2i_ugatit.step import Nets, make_step
from tests.ugatit.keys import copy_weights, of_generator, of_scales

UPDATES = 4
TINY = Settings(
    base_width=4, blocks=2, discriminator_width=4, discriminator_layers=(4, 3), crop_size=16, steps=UPDATES,
    lr=1e-3, reference=True,
)  # fmt: skip


def theirs(settings: Settings, *, light: bool = True) -> TheirStep:
    torch.manual_seed(0)
    step = TheirStep(
        width=settings.base_width, blocks=settings.depth, size=settings.crop_size, light=light,
        layers=settings.discriminator_layers, lr=settings.lr, weight_decay=settings.weight_decay,
        adversarial=settings.adversarial_weight, cycle=settings.cycle_weight, identity=settings.identity_weight,
        cam=settings.cam_weight,
    )  # fmt: skip
    for name, net in step.nets().items():
        net.double()
        if name.startswith("gen"):
            spread_rho(net)
    return step


def spread_rho(net: torch.nn.Module) -> None:
    """So that some reach 0 and some 1 and are clipped; as they begin, only one end is ever met."""
    for name, parameter in net.named_parameters():
        if name.endswith("rho"):
            parameter.data = torch.linspace(0, 1, parameter.numel(), dtype=torch.float64).reshape(parameter.shape)


def batches(size: tuple[int, int], count: int) -> list[Pair]:
    draws = torch.Generator().manual_seed(1)
    shape = (count, 3, *size)
    return [Pair(*(torch.rand(shape, generator=draws).double() * 2 - 1 for _ in range(2))) for _ in range(UPDATES)]


def summed(losses: Mapping[str, Tensor]) -> dict[str, float]:
    """Their terms under our names."""
    found = {"d/total": losses["d_loss"], "g/total": losses["g_loss"]}
    for domain in "AB":
        own = domain.lower()
        found[f"d/{own}"] = losses[f"d_G{domain}"] + losses[f"d_L{domain}"]
        found[f"d/cam_{own}"] = losses[f"d_G{domain}_cam"] + losses[f"d_L{domain}_cam"]
        found[f"g/adv_{own}"] = losses[f"g_G{domain}"] + losses[f"g_L{domain}"]
        found[f"g/adv_cam_{own}"] = losses[f"g_G{domain}_cam"] + losses[f"g_L{domain}_cam"]
        for kind in ("cycle", "identity", "cam"):
            found[f"g/{kind}_{own}"] = losses[f"{kind}_{domain}"]
    return {name: float(value) for name, value in found.items()}


def train_both(settings: Settings, data: list[Pair], *, light: bool = True) -> tuple[TheirStep, Nets]:
    """Train both on the same, and compare the losses of each update."""
    reference, nets = theirs(settings, light=light), make_nets(settings)
    for net in nets:
        net.double()
    copy_weights(reference, nets)
    step = make_step(settings, learning_rate(settings, UPDATES))
    state = step.init(nets, Policy(), None)
    for number, batch in enumerate(data):
        reference.set_rate(number + 1, UPDATES)
        expected = summed(reference.update(*batch))
        state, metrics = step.update(nets, state, batch, Turn(Policy(), number))
        found = {name: float(value) for name, value in metrics.items() if name in expected}
        assert found == pytest.approx(expected, rel=1e-10, abs=0)
        assert found.keys() == expected.keys()
    return reference, nets


def assert_equal_weights(reference: TheirStep, nets: Nets) -> None:
    """Weights and the vectors of spectral norm; before an instance norm there are no biases here."""
    expected = (
        of_generator(reference.genA2B.state_dict()),
        of_generator(reference.genB2A.state_dict()),
        of_scales(reference.disGA, reference.disLA),
        of_scales(reference.disGB, reference.disLB),
    )
    for net, wanted in zip(nets, expected, strict=True):
        torch.testing.assert_close(net.state_dict(), wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        pytest.param({}, (16, 16), id="light"),
        pytest.param({}, (20, 28), id="rectangular"),
        pytest.param({"head": "full"}, (16, 16), id="full"),
        pytest.param({"preset": "article", "blocks": None, "init": "torch"}, (16, 16), id="six blocks"),
        pytest.param({"recompute": True}, (16, 16), id="recompute"),
        pytest.param({"discriminator_layers": (5, 4)}, (32, 32), id="deeper judges"),
        pytest.param({"adversarial_weight": 0.5, "cam_weight": 3.0, "weight_decay": 0.1}, (16, 16), id="weights"),
    ],
)
def test_is_the_authors_step(changes: dict[str, Any], size: tuple[int, int]) -> None:
    settings = attrs.evolve(TINY, **changes)
    reference, nets = train_both(settings, batches(size, 2), light=settings.head == "light")
    assert_equal_weights(reference, nets)


def test_rho_is_clipped_at_both_ends() -> None:
    """Or the comparison above would not see whether it is."""
    _, nets = train_both(attrs.evolve(TINY, lr=0.02), batches((16, 16), 2))
    rho = torch.cat([p.flatten() for net in nets[:2] for name, p in net.named_parameters() if name.endswith("rho")])
    assert {0.0, 1.0} <= set(rho.tolist())
    assert ((rho > 0) & (rho < 1)).any()


def test_the_article_s_rate_is_that_of_the_plain_schedule() -> None:
    """Counted from 0, the rate falls for batches after the half, and the last one still trains."""
    length, lr = 10, 1e-4
    ours = learning_rate(Settings(), length)
    expected, rate = [], lr
    for now in range(length):
        if now > length // 2:
            rate -= lr / (length // 2)
        expected.append(rate)
    assert [ours(now) for now in range(length)] == pytest.approx(expected)
    assert expected[-1] == pytest.approx(lr / (length // 2))


@pytest.mark.parametrize("length", [10, 11])
def test_the_reference_rate_is_the_authors_but_never_below_zero(length: int) -> None:
    lr = 1e-4
    ours = learning_rate(Settings(reference=True), length)
    expected, rate = [], lr
    for step in range(1, length + 1):
        if step > length // 2:
            rate -= lr / (length // 2)
        expected.append(max(rate, 0))
    assert [ours(now) for now in range(length)] == pytest.approx(expected, abs=1e-18)


def test_a_seed_draws_the_authors_generators() -> None:
    torch.manual_seed(3)
    reference = TheirStep(width=4, blocks=2, size=16, layers=(4, 3))
    torch.manual_seed(3)
    nets = make_nets(TINY)
    for ours, their in ((nets.G, reference.genA2B), (nets.F, reference.genB2A)):
        for key, value in of_generator(their.state_dict()).items():
            assert torch.equal(ours.state_dict()[key], value), key
