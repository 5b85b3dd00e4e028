"""The recipe's step against a plain transcription of the authors' one, and the protocol of the stages."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.reference.pix2pixhd import Pix2pixHD, Vgg
from benchmarks.reference.plain import dead
from i2i.average import Average
from i2i.checkpoint import snapshot
from i2i.engine import fit
from i2i.policy import Policy, Turn
from i2i.values import Instanced, Labelled
from i2i_pix2pixhd.finished import Finished
from i2i_pix2pixhd.networks import Channels, new_model
from i2i_pix2pixhd.settings import Settings
from i2i_pix2pixhd.step import half_size, learning_rate, make_step
from i2i_pix2pixhd.vgg import Vgg19

SIZE = (32, 48)
TINY: dict[str, Any] = {
    "labels": 5, "base_width": 4, "downs": 2, "blocks": 1, "local_blocks": 1, "discriminator_width": 4,
    "discriminator_layers": 2, "encoder_width": 2, "encoder_downs": 2, "perceptual": False,
}  # fmt: skip
RGB = Channels(0, 3)


def scenes(count: int, dtype: torch.dtype = torch.float64, size: tuple[int, int] = SIZE) -> list[Instanced]:
    draw = torch.Generator().manual_seed(3)
    labels = torch.randint(0, 5, (count, 2, 1, size[0] // 8, size[1] // 8), generator=draw, dtype=torch.int32)
    labels = labels.repeat_interleave(8, 3).repeat_interleave(8, 4)
    instances = labels * 1000 + torch.randint(0, 3, labels.shape, generator=draw, dtype=torch.int32)
    images = torch.rand(count, 2, 3, *size, generator=draw, dtype=torch.float64).to(dtype) * 2 - 1
    return [Instanced(*each) for each in zip(labels, instances, images, strict=True)]


def in_double(make: Any) -> Any:
    """Make nets in float64: those of stages are made while the step grows."""
    torch.set_default_dtype(torch.float64)
    try:
        return make()
    finally:
        torch.set_default_dtype(torch.float32)


def draw_weights(net: nn.Module, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in net.parameters():
            value.copy_(torch.randn(value.shape, generator=draw, dtype=torch.float64) * 0.3)


def authors_twin(settings: Settings, model: Any, judge: nn.Module, *, local: bool, vgg: nn.Module | None) -> Pix2pixHD:
    s = settings
    twin = in_double(
        lambda: Pix2pixHD(
            labels=5, edges=s.edges, features=s.features if s.styles else 0, local=local, vgg=vgg,
            width=s.base_width // 2 if local else s.base_width, downs=s.downs, blocks=s.blocks,
            local_blocks=s.local_blocks, encoder_width=s.encoder_width, encoder_downs=s.encoder_downs,
            discriminator_width=s.discriminator_width, layers=s.discriminator_layers,
            scales=s.scales("joint" if local else "global"), lr=s.lr,
        )
    )  # fmt: skip
    twin.G.load_state_dict(model.generator.state_dict())
    twin.D.load_state_dict(judge.state_dict())
    if twin.E is not None:
        twin.E.load_state_dict(model.encoder.state_dict())
    return twin


NAMES = {"g/adv": ("G_GAN", 1), "g/matching": ("G_GAN_Feat", 10), "g/perceptual": ("G_VGG", 10)}


def compare(ours: dict[str, float], theirs: dict[str, Tensor]) -> None:
    for name, (wanted, weight) in NAMES.items():
        assert (name in ours) == (wanted in theirs), name
        if name in ours:
            assert weight * ours[name] == pytest.approx(theirs[wanted].item(), rel=1e-10), name
    told = theirs["D_fake"] + theirs["D_real"]
    assert ours["d/real_or_fake"] == pytest.approx(told.item(), rel=1e-10)


def compare_weights(
    nets: Sequence[nn.Module], theirs: Sequence[nn.Module], before: Sequence[dict[str, Tensor]]
) -> None:
    for mine, other, start in zip(nets, theirs, before, strict=True):
        wanted = dict(other.named_parameters())
        for name, value in mine.named_parameters():
            if not dead(name, other):
                torch.testing.assert_close(value, wanted[name], rtol=1e-9, atol=1e-10, msg=name)
                assert not torch.equal(value, start[name]), f"{name} did not move"


def untrained_vgg() -> Vgg:
    torch.manual_seed(5)
    return in_double(Vgg)


VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "styles": {"styles": True},
    "no boundaries": {"boundaries": False},
    "one scale": {"discriminator_scales": 1},
    "four layers": {"discriminator_layers": 3, "discriminator_scales": 3},
    "recompute": {"recompute": True, "styles": True},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_global_stage_is_the_authors_step(variant: str) -> None:
    settings = Settings(**{**TINY, **VARIANTS[variant]}, stages="global", lr=1e-3, decay_start=1.0)
    step = make_step(settings, [9], RGB, None)
    state = in_double(lambda: step.init(None, Policy(), None))
    nets = step.nets(None, state).current
    draw_weights(nets.G, 1)
    draw_weights(nets.D, 2)
    twin = authors_twin(settings, nets.G, nets.D, local=False, vgg=None)
    mine = [nets.G.generator, nets.D, *([] if nets.G.encoder is None else [nets.G.encoder])]
    before = [{name: value.detach().clone() for name, value in net.named_parameters()} for net in mine]
    for now, batch in enumerate(scenes(4)):
        state, metrics = step.update(step.nets(None, state), state, batch, Turn(Policy(), now))
        compare({name: value.item() for name, value in metrics.items()}, twin(*batch))
    compare_weights(mine, twin.nets(), before)


def test_the_perceptual_loss_is_the_authors() -> None:
    vgg = untrained_vgg()
    ours = in_double(Vgg19)
    ours.load_state_dict(vgg.state_dict())
    settings = Settings(**TINY, stages="global", lr=1e-3)
    step = make_step(settings, [9], RGB, ours)
    state = in_double(lambda: step.init(None, Policy(), None))
    nets = step.nets(None, state).current
    draw_weights(nets.G, 1)
    twin = authors_twin(settings, nets.G, nets.D, local=False, vgg=vgg)
    before = [{name: value.detach().clone() for name, value in net.named_parameters()} for net in nets]
    (batch,) = scenes(1)
    state, metrics = step.update(step.nets(None, state), state, batch, Turn(Policy(), 0))
    compare({name: value.item() for name, value in metrics.items()}, twin(*batch))
    compare_weights([nets.G.generator, nets.D], twin.nets(), [
        {key.removeprefix("generator."): value for key, value in before[0].items()}, before[1]
    ])  # fmt: skip


@pytest.mark.parametrize("styles", [False, True])
def test_the_joint_stage_is_the_authors_step(styles: bool) -> None:
    settings = Settings(**TINY, styles=styles, lr=1e-3, decay_start=1.0)
    step = make_step(settings, [1, 1, 9], RGB, None)
    state = in_double(lambda: step.init(None, Policy(), None))
    data = scenes(6)
    torch.set_default_dtype(torch.float64)
    try:
        for now in range(2):
            state, _ = step.update(step.nets(None, state), state, data[now], Turn(Policy(), now))
        state.advance()
    finally:
        torch.set_default_dtype(torch.float32)
    nets = step.nets(None, state).current
    draw_weights(nets.G, 1)
    draw_weights(nets.D, 2)
    twin = authors_twin(settings, nets.G, nets.D, local=True, vgg=None)
    mine = [nets.G.generator, nets.D, *([] if nets.G.encoder is None else [nets.G.encoder])]
    before = [{name: value.detach().clone() for name, value in net.named_parameters()} for net in mine]
    for now, batch in enumerate(data[2:], 2):
        state, metrics = step.update(step.nets(None, state), state, batch, Turn(Policy(), now))
        compare({name: value.item() for name, value in metrics.items()}, twin(*batch))
    compare_weights(mine, twin.nets(), before)


# What trains when, and at which rate.


def values(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in net.named_parameters()}


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}


def test_stages_train_what_they_should() -> None:
    settings = Settings(**TINY, styles=True, lr=1e-3)
    step = make_step(settings, [2, 2, 2], RGB, None)
    state = step.init(None, Policy(), None)
    found, sizes = [], []
    data = scenes(6, torch.float32)
    for now, batch in enumerate(data):
        while state.is_over(now):
            state.advance()
        nets = step.nets(None, state).current
        nets.D.register_forward_pre_hook(lambda _, inputs: sizes.append(tuple(inputs[0].shape[-2:])))
        before = values(nets.G.generator), values(nets.G.encoder), values(nets.D)
        state, _ = step.update(step.nets(None, state), state, batch, Turn(Policy(), now))
        after = values(nets.G.generator), values(nets.G.encoder), values(nets.D)
        found.append([moved(*pair) for pair in zip(before, after, strict=True)])
    two, three = ({f"scale{s}_layer{j}" for s in range(n) for j in range(4)} for n in (2, 3))
    whole, local = {"model", "model1_1", "model1_2"}, {"model1_1", "model1_2"}
    assert (
        found == [[{"model"}, {"model"}, two]] * 2 + [[local, {"model"}, three]] * 2 + [[whole, {"model"}, three]] * 2
    )
    assert sizes[0] == (16, 24)
    assert sizes[-1] == (32, 48)


def test_each_stage_begins_where_the_one_before_ended() -> None:
    settings = Settings(**TINY, styles=True, lr=1e-3)
    step = make_step(settings, [2, 2, 2], RGB, None)
    state = step.init(None, Policy(), None)
    data = scenes(6, torch.float32)
    ends: list[dict[str, Tensor]] = []
    begins: list[dict[str, Tensor]] = []
    for now, batch in enumerate(data):
        if state.is_over(now):
            ends.append(copy.deepcopy(_all(step.nets(None, state).current)))
            state.advance()
            begins.append(_all(step.nets(None, state).current))
        state, _ = step.update(step.nets(None, state), state, batch, Turn(Policy(), now))
    carried = {
        name for name in begins[0] if name in ends[0] and begins[0][name].shape == ends[0][name].shape
        and torch.equal(begins[0][name], ends[0][name])
    }  # fmt: skip
    fresh = set(begins[0]) - carried
    assert {name.rpartition(".")[0].partition(".model")[0] for name in carried} >= {"G.generator", "G.encoder"}
    assert all(name.startswith(("G.generator.model1_", "D.scale2_")) for name in fresh)
    assert not any(name.startswith(("G.generator.model1_", "D.scale2_")) for name in carried)
    assert begins[1].keys() == ends[1].keys()
    assert all(torch.equal(begins[1][name], ends[1][name]) for name in ends[1])


def _all(nets: Any) -> dict[str, Tensor]:
    return {f"{name}.{key}": v.clone() for name, net in nets._asdict().items() for key, v in net.state_dict().items()}


def test_rates() -> None:
    """Steady, then a straight line to 0; enhancer and joint stage are one curve: 4 of 10 + 10, half of it steady."""
    settings = Settings(lr=1.0)
    lengths = (8, 4, 16)
    rates = [[learning_rate(settings, lengths, k)(now) for now in range(lengths[k])] for k in range(3)]
    assert rates[0] == pytest.approx([1, 1, 1, 1, 1, 3 / 4, 2 / 4, 1 / 4])
    assert rates[1] == [1, 1, 1, 1]
    assert rates[2] == pytest.approx([1.0] * 6 + [(20 - now) / 10 for now in range(10, 20)])
    alone = Settings(lr=1.0, stages="global", decay_start=0.25)
    assert [learning_rate(alone, (4,), 0)(now) for now in range(4)] == pytest.approx([1, 1, 2 / 3, 1 / 3])
    later = Settings(lr=1.0, from_="model")
    assert [learning_rate(later, (2, 2), 1)(now) for now in range(2)] == pytest.approx([1, 1 / 2])


def test_the_rate_is_what_moves_the_weights() -> None:
    """Adam's first move is the rate itself, whatever the gradient."""
    settings = Settings(**TINY, lr=1e-3, decay_start=0.0)
    step = make_step(settings, [1, 1, 1], RGB, None)
    state = step.init(None, Policy(), None)
    for now, (batch, wanted) in enumerate(zip(scenes(3, torch.float32), (1e-3, 1e-3, 5e-4), strict=True)):
        while state.is_over(now):
            state.advance()
        nets = step.nets(None, state).current
        before = values(nets.D)
        state, _ = step.update(step.nets(None, state), state, batch, Turn(Policy(), now))
        key = "scale0_layer0.0.weight"
        assert (values(nets.D)[key] - before[key]).abs().max().item() == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("cut", [1, 2, 3, 5])
def test_a_run_goes_on_from_within_any_stage_bit_for_bit(cut: int) -> None:
    settings = Settings(**TINY, styles=True, lr=1e-3)
    data = scenes(6, torch.float32)

    def begin() -> tuple[Any, Any]:
        torch.manual_seed(0)
        step = make_step(settings, [2, 2, 2], RGB, None)
        return step, step.init(None, Policy(), None)

    step, state = begin()
    for now, batch in enumerate(data):
        state, _ = step.update(step.nets(None, state), state, batch, Turn(Policy(), now))
        if now + 1 == cut:
            saved, drawn = copy.deepcopy(snapshot(state)), torch.get_rng_state()
    again = make_step(settings, [2, 2, 2], RGB, None)
    resumed = again.init(None, Policy(), saved)
    torch.set_rng_state(drawn)
    for now, batch in enumerate(data[cut:], cut):
        resumed, _ = again.update(again.nets(None, resumed), resumed, batch, Turn(Policy(), now))
    wanted, found = _all(step.nets(None, state).current), _all(again.nets(None, resumed).current)
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)


def test_nothing_of_the_global_network_is_there_twice() -> None:
    settings = Settings(**TINY, styles=True)
    step = make_step(settings, [1, 1, 1], RGB, None)
    state = step.init(None, Policy(), None)
    state.advance()
    stages = step.nets(None, state)
    of_the_global = {id(p) for p in stages.finished[0].G.parameters()}
    assert all(id(p) in of_the_global for p in stages.current.G.generator.model.parameters())
    assert all(id(p) in of_the_global for p in stages.current.G.encoder.parameters())


def test_half_size_is_pillows() -> None:
    """Nearest neighbours for ids, antialiased bicubic for colours, as files would be resized."""
    Image = pytest.importorskip("PIL.Image")
    (scene,) = scenes(1, torch.float32)
    half = half_size(scene)
    for ours, ids in ((half.labels, scene.labels), (half.instances, scene.instances)):
        for sample in range(2):
            wanted = Image.fromarray(ids[sample, 0].numpy()).resize((24, 16), Image.Resampling.NEAREST)
            assert np.array_equal(ours[sample, 0].numpy(), np.asarray(wanted))
    for channel in range(3):
        wanted = Image.fromarray(scene.image[0, channel].numpy()).resize((24, 16), Image.Resampling.BICUBIC)
        np.testing.assert_allclose(half.image[0, channel].numpy(), np.asarray(wanted).clip(-1, 1), atol=1e-5)
    plain = half_size(Labelled(scene.labels, scene.image * 0 + 0.5))
    torch.testing.assert_close(plain.image, torch.full((2, 3, 16, 24), 0.5))


def test_images_without_labels_and_in_grey() -> None:
    settings = Settings(**{**TINY, "labels": 0}, instances=False, channels_a=2, channels_b=1, stages="global")
    step = make_step(settings, [1], Channels(2, 1), None)
    batch = Labelled(torch.rand(1, 2, 32, 32), torch.rand(1, 1, 32, 32))
    run = fit(step, None, [batch], device="cpu")
    assert run.nets.current.G(batch.labels).image.shape == (1, 1, 32, 32)


def test_an_enhancer_around_a_finished_model() -> None:
    torch.manual_seed(0)
    small = Settings(**TINY)
    source = Finished(new_model(small, RGB, None).state_dict(), None)
    step = make_step(Settings(**TINY, from_="model", recompute=True), [1, 1], RGB, None, source=source)
    nets = step.nets(None, step.init(None, Policy(), None)).current
    own = nets.G.generator.state_dict()
    shared = [key for key in own if key.startswith("model.")]
    assert shared
    assert all(torch.equal(own[key], source.model[f"generator.{key}"]) for key in shared)
    assert nets.G.generator.spec.arguments["recompute"]


def test_averages_of_finished_stages_stay() -> None:
    """The enhanced model shares layers with the global one, whose average is that of its own stage."""
    settings = Settings(**TINY, lr=1e-2)
    step = make_step(settings, [2, 1, 2], RGB, None)
    state, average, seen = step.init(None, Policy(), None), Average(0.5), []
    for now, batch in enumerate(scenes(5, torch.float32)):
        nets = step.nets(None, state)
        state, _ = step.update(nets, state, batch, Turn(Policy(), now))
        nets = step.nets(None, state)
        used = average.follow(nets, step.trains(nets))
        average.update()
        first = used.finished[0] if used.finished else used.current
        seen.append({name: value.clone() for name, value in first.G.state_dict().items()})
    assert not all(torch.equal(seen[0][name], seen[1][name]) for name in seen[0])
    assert all(torch.equal(seen[1][name], seen[4][name]) for name in seen[1])
