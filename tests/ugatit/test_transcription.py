"""The authors' step in plain torch, which ours is measured against: that it is what is described, in two forms."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.reference import plain_ugatit as plain
from benchmarks.reference.ugatit import ILN, Discriminator, Generator, Step

SMALL: dict[str, Any] = {"width": 8, "blocks": 1, "size": 32, "layers": (4, 3)}
LIGHT, FULL, GLOBAL, LOCAL = 10_589_888, 278_959_808, 53_130_176, 3_290_560


class Calls(TorchDispatchMode):
    """Counts what is no view, and no memory taken and not written."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function.overloadpacket.__name__
        self.counts[name] += not function.is_view and name != "empty"
        return function(*args, **(kwargs or {}))


def calls(function: Callable[..., Any], *args: Tensor) -> Counter[str]:
    with Calls() as mode:
        function(*args)
    return mode.counts


def gflop(function: Callable[..., Any], *args: Tensor) -> float:
    with FlopCounterMode(display=False) as counter:
        function(*args)
    return counter.get_total_flops() / 1e9


def parameters(net: nn.Module) -> int:
    return sum(x.numel() for x in net.parameters())


def images(b: int = 1, h: int = 32, w: int = 32, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    first, second = (torch.rand(b, 3, h, w, generator=draw, dtype=dtype) * 2 - 1 for _ in range(2))
    return first, second


def doubled(**settings: Any) -> Step:
    torch.manual_seed(0)
    step = Step(**{**SMALL, **settings})
    for net in step.nets().values():
        net.double()
    return step


def weights(step: Step) -> plain.Nets:
    return {name: {key: x.clone() for key, x in net.state_dict().items()} for name, net in step.nets().items()}


# The two forms.


@pytest.mark.parametrize("light", [True, False])
def test_both_forms_train_to_the_same_weights(light: bool) -> None:
    """The light head on two wide images, with odd factors, starting where rho is clipped; the full one by default."""
    factors = plain.Factors(0.5, 7, 3, 20.5) if light else plain.Factors()
    step = doubled(light=light, blocks=2 if light else 1, weight_decay=1e-2 if light else 1e-4, **vars(factors))
    if light:
        with torch.no_grad():
            for name, x in [*step.genA2B.named_parameters(), *step.genB2A.named_parameters()]:
                if name.endswith("rho"):
                    x.uniform_(-0.05, 1.05).clamp_(0, 1)
    adam = plain.Adam(decay=1e-2 if light else 1e-4)
    nets, adams, (a, b) = weights(step), (adam, adam), images(2, 32, 40) if light else images()
    for _ in range(4):
        expected, nets, adams = plain.update(nets, adams, a, b, factors)
        found = step.update(a, b)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-10, atol=0, msg=name)
        a, b = a.roll(3, 2), b.flip(3)
    for name, net in weights(step).items():
        assert net.keys() == nets[name].keys()
        for key, x in net.items():
            torch.testing.assert_close(x, nets[name][key], rtol=1e-9, atol=1e-10, msg=f"{name}.{key}")
    mixed = torch.cat([x.flatten() for key, x in nets["genA2B"].items() if key.endswith("rho")])
    assert mixed.min() == 0
    assert (mixed.max() == 1) == light


def test_both_forms_return_the_same_maps() -> None:
    step, (a, _) = doubled(blocks=6), images(2, 64, 40)
    before = weights(step)
    for found, expected in (
        (step.genA2B(a), plain.generator(before["genA2B"], a)),
        (step.disGA(a), plain.discriminator(before["disGA"], a)[0]),
    ):
        for x, y in zip(found, expected, strict=True):
            torch.testing.assert_close(x, y, rtol=1e-10, atol=1e-12)


def test_both_forms_know_the_same_rates() -> None:
    step = doubled()
    for now in range(1, 102):
        step.set_rate(now, 101)
        for adam in (step.adam_G, step.adam_D):
            assert adam.param_groups[0]["lr"] == pytest.approx(plain.rate(1e-4, now, 101), abs=1e-16)


# Odd details.


@pytest.mark.parametrize(("iteration", "last"), [(1_000_000, 0), (100, 0), (101, -2e-6), (3, -1e-4)])
def test_the_rate_ends_at_zero_or_below(iteration: int, last: float) -> None:
    step = doubled(width=1, lr=1e-4)
    for now in range(1, iteration + 1):
        step.set_rate(now, iteration)
    assert step.adam_D.param_groups[0]["lr"] == pytest.approx(last, abs=1e-15)
    assert step.adam_G.param_groups[0]["lr"] < 0 or iteration != 1_000_000


def test_one_seed_gives_the_weights_in_the_order_described() -> None:
    step = doubled(blocks=2)
    torch.manual_seed(0)
    for name, net in step.nets().items():
        found = net.state_dict()
        for key in found if name.startswith("gen") else in_order(found):
            if not key.startswith("UpBlock") or key.endswith("weight"):
                torch.testing.assert_close(found[key].float(), drawn(found, key), rtol=1e-6, atol=1e-7, msg=key)


def in_order(found: dict[str, Tensor]) -> list[str]:
    """Of a discriminator: weight and bias before the vectors."""
    layers = list(dict.fromkeys(key.rpartition(".")[0] for key in found))
    parts = ("weight", "weight_orig", "bias", "weight_u", "weight_v")
    return [f"{layer}.{part}" for layer in layers for part in parts if f"{layer}.{part}" in found]


def drawn(found: dict[str, Tensor], key: str) -> Tensor:
    x = torch.empty(found[key].shape)
    if key.endswith(("_u", "_v")):
        return nn.functional.normalize(x.normal_(), dim=0)
    layer = key.rpartition(".")[0]
    weight = found.get(f"{layer}.weight", found.get(f"{layer}.weight_orig"))
    assert weight is not None
    bound = 1 / math.sqrt(weight[0].numel())
    return x.uniform_(-bound, bound)


def test_a_discriminator_weights_features_by_what_is_not_normalised() -> None:
    net, (a, _) = doubled().disGA.eval(), images()
    with torch.no_grad():
        before = net(a)
        net.gap_fc.weight_orig *= 2
        after = net(a)
    torch.testing.assert_close(after.logits, before.logits)
    assert not torch.allclose(after.out, before.out)


def test_the_variance_is_unbiased() -> None:
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    norm = ILN(3).double()
    torch.testing.assert_close(norm(x).var((1, 2, 3), unbiased=True), torch.ones(2).double(), rtol=0, atol=1e-4)
    with torch.no_grad():
        norm.rho.fill_(1)
    torch.testing.assert_close(norm(x).var((2, 3), unbiased=True), torch.ones(2, 3).double(), rtol=0, atol=1e-4)


def test_each_half_computes_gradients_of_networks_at_rest() -> None:
    step = doubled()
    step.update_discriminators(*images())
    assert step.genA2B.conv1x1.weight.grad is not None
    step.adam_D.zero_grad()
    step.update_generators(*images())
    assert step.disLB.conv1x1.weight.grad is not None


def test_attention_that_says_nothing_costs_four_times_the_logarithm_of_two() -> None:
    step = doubled()
    with torch.no_grad():
        for net in (step.genA2B, step.genB2A):
            net.gap_fc.weight.zero_()
            net.gmp_fc.weight.zero_()
    losses = step.generator_losses(*images())
    assert 1000 * (losses["cam_A"] + losses["cam_B"]).item() == pytest.approx(4000 * math.log(2))
    assert 4000 * math.log(2) == pytest.approx(2772, abs=1)


def test_the_losses_begin_where_the_authors_begin() -> None:
    torch.manual_seed(0)
    step, batches = Step(width=32, size=96), images(1, 96, 96, torch.float32)
    with torch.no_grad():
        d_loss = step.discriminator_losses(*batches)["d_loss"].item()
        g_loss = step.generator_losses(*batches)["g_loss"].item()
    assert 7 < d_loss < 9
    assert 2800 < g_loss < 8000


# Figures.


def test_sizes_of_networks() -> None:
    with torch.device("meta"):
        step, full = Step(), Generator(light=False)
    sizes = {name: (parameters(net), len(net.state_dict())) for name, net in step.nets().items()}
    expected = {"gen": (LIGHT, 44), "disG": (GLOBAL, 35), "disL": (LOCAL, 27)}
    assert sizes == {name: next(v for key, v in expected.items() if name.startswith(key)) for name in sizes}
    assert sum(count for count, _ in sizes.values()) == 134_021_248
    assert parameters(full) == FULL
    assert 2 * (FULL + GLOBAL + LOCAL) == 670_761_088
    of_light, of_full = step.genA2B.state_dict(), full.state_dict()
    assert [k for k in of_light if of_light[k].shape != of_full[k].shape] == ["FC.0.weight"]
    assert of_full["FC.0.weight"].shape == (256, 1_048_576)


def test_keys_of_networks() -> None:
    with torch.device("meta"):
        generator, discriminator = Generator(1, size=32), Discriminator(5, 1)
    keys = [f"DownBlock.{n}.weight" for n in (1, 5, 9)]
    keys += [f"DownBlock.{n}.conv_block.{m}.weight" for n in range(12, 16) for m in (1, 5)]
    keys += ["gap_fc.weight", "gmp_fc.weight", "conv1x1.weight", "conv1x1.bias", "FC.0.weight", "FC.2.weight"]
    keys += ["gamma.weight", "beta.weight"]
    keys += [f"UpBlock1_{n}.conv{m}.weight" for n in range(1, 5) for m in (1, 2)]
    keys += [f"UpBlock1_{n}.norm{m}.rho" for n in range(1, 5) for m in (1, 2)]
    keys += [f"UpBlock2.{n}.weight" for n in (2, 7, 11)]
    keys += [f"UpBlock2.{n}.{part}" for n in (3, 8) for part in ("rho", "gamma", "beta")]
    assert set(generator.state_dict()) == set(keys)
    normalised = ("weight_orig", "weight_u", "weight_v")
    keys = [f"model.{n}.{part}" for n in (1, 4, 7, 10) for part in ("bias", *normalised)]
    keys += [f"{layer}.{part}" for layer in ("gap_fc", "gmp_fc", "conv") for part in normalised]
    assert set(discriminator.state_dict()) == {*keys, "conv1x1.weight", "conv1x1.bias"}


@pytest.mark.parametrize(
    ("layers", "sizes"),
    [(7, {96: 1, 128: 2, 256: 6}), (5, {24: 1, 96: 10, 128: 14, 256: 30}), (4, {12: 1, 32: 6}), (3, {6: 1})],
)
def test_sizes_of_what_discriminators_return(layers: int, sizes: dict[int, int]) -> None:
    with torch.device("meta"):
        net = Discriminator(layers, 2)
        for size, out in sizes.items():
            judged = net(torch.zeros(1, 3, size, size))
            assert judged.out.shape == (1, 1, out, out)
            assert judged.heatmap.shape == (1, 1, out + 1, out + 1)
        with pytest.raises(RuntimeError, match=r"[Pp]adding size"):
            net(torch.zeros(1, 3, min(sizes) - 1, min(sizes) - 1))


def test_cost() -> None:
    with torch.device("meta"):
        step, full, x = Step(), Generator(light=False), torch.zeros(1, 3, 256, 256)
        assert gflop(step.genA2B, x) == pytest.approx(105.0, abs=0.05)
        assert gflop(full, x) == pytest.approx(105.5, abs=0.05)
        assert gflop(step.disGA, x) == pytest.approx(8.51, abs=0.005)
        assert gflop(step.disLA, x) == pytest.approx(7.30, abs=0.005)
        halves = [gflop(half, x, x) for half in (step.update_discriminators, step.update_generators)]
    assert halves == [pytest.approx(817, abs=0.5), pytest.approx(1980, abs=0.5)]
    assert sum(halves) == pytest.approx(2797, abs=0.5)


def test_calls() -> None:
    with torch.device("meta"):
        step, x = Step(), torch.zeros(1, 3, 256, 256)
        forward = [calls(net, x).total() for net in (step.genA2B, step.disGA, step.disLA)]
        of_D = calls(lambda: step.discriminator_losses(x, x)["d_loss"].backward())
        for net in step.nets().values():
            net.zero_grad()
        of_G = calls(lambda: step.generator_losses(x, x)["g_loss"].backward())
    assert forward == [277, 148, 116]
    assert [of_D.total(), of_G.total()] == [pytest.approx(3835, rel=0.02), pytest.approx(6803, rel=0.02)]
    # two products for the vectors and one for sigma, in each power iteration
    assert [of_D["mv"], of_G["mv"]] == [3 * 64, 3 * 32]
