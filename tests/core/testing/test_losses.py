"""Terms, criteria and schedules that break one promise each."""

from __future__ import annotations

import itertools

import pytest
import torch

from i2i import Example, Verdict, needs, part
from i2i.losses import Criterion, hinge
from i2i.testing import ContractError, check_criterion, check_schedule, check_term

IMAGE = (1, 3, 4, 4)


def term(function, *, arguments=None, shapes=(IMAGE, IMAGE)):
    function.__qualname__ = "term"
    return part(example=Example(arguments or {}, shapes))(function)


def remembering():
    count = itertools.count(1)
    return lambda source, fake: (source - fake.image).abs().mean() * next(count)


def in_place(source, fake):
    source.detach().mul_(0.5)
    return (source - fake.image).abs().mean()


def frozen(source, fake):
    result = (source - fake.image).abs().mean()
    source.requires_grad_(False)
    return result


def heated(critic, fake):
    for parameter in critic.__self__.critic.parameters():
        parameter.data += 1
    return critic(fake.image).logits[0].mean()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda source, fake: source - fake.image,
            r"value: returns \(1, 3, 4, 4\), not a scalar tensor: take its mean",
        ),
        (lambda source, fake: 3.0, "value: returns float, not a scalar tensor"),
        (lambda source, fake: (source * 0).mean() / 0, "value: is nan on ordinary values in -1 ... 1: it must be fin"),
        (lambda source, fake: source.nothing, "value: raises AttributeError: .*; its example must be a valid use"),
        (
            lambda source, fake: torch.zeros(()),
            "gradients: has no gradient towards any input: compute it of the values",
        ),
        (lambda source, fake: source.sign().mean(), "gradients: has no gradient towards any input"),
        (
            lambda source, fake: (source - source).square().sum().sqrt() + fake.image.mean(),
            "gradients: .* is not finite",
        ),
        (in_place, r"inputs: changes a value that it is given in place: use x = x \* 2"),
        (heated, "inputs: changes a value that it is given in place"),
        (frozen, "inputs: leaves a value or the critic without requires_grad: call .detach"),
        (remembering(), "result by seed: gives another result the second time, from one seed: draw from torch's"),
        (
            lambda source, fake: source.lerp(fake.image, 0.5).mean(),
            "bf16: raises RuntimeError: .*; use at_least_float32 of i2i.losses",
        ),
        (
            lambda source, sound: source.mean(),
            "example: asks for 'sound'; terms name values source, target, fake, .*cri",
        ),
        (lambda source, fake, back: source.mean(), "example: asks for back, but its example has no shape for it"),
    ],
)
def test_a_broken_term_is_found(function, message):
    with pytest.raises(ContractError, match=f"^term, {message}"):
        check_term(term(function))


def test_a_term_must_be_finite_in_bf16():
    def overflowing(source, fake):
        return source.mean() + 0 / (fake.image * 0 + 1.001 - 1).mean()

    with pytest.raises(ContractError, match=r"^term, bf16: is not finite in bf16: compute in float32"):
        check_term(term(overflowing))


def test_a_term_may_ask_for_any_extra_and_for_a_critic():
    def any_of(judged_real, critic, same, weight, scale=2.0):
        heat = judged_real.extras["heat"][0].mean() + same.extras["cam"].mean() + judged_real.features[0][0].mean()
        return weight * scale * (heat + critic(same.image).logits[0].mean())

    assert check_term(term(any_of, arguments={"weight": 0.5})).of("broken") == []


def test_a_term_may_ask_a_critic_for_all_that_it_says():
    def matched(critic, target, fake):
        real, made = (needs(critic(image), "features") for image in (target, fake.image))
        heat = needs(critic(target), "heat")[0].mean()
        return heat + sum((one[0] - two[0]).abs().mean() / one[0].shape[1] for one, two in zip(real, made, strict=True))

    assert check_term(term(matched)).of("broken") == []


def test_features_are_those_of_scales_and_layers_and_extras_are_there():
    def shaped(judged_real, fake):
        (scale,) = needs(judged_real, "features")
        assert isinstance(scale, tuple)
        assert fake.extras.get("logits") is None
        return scale[0].mean() + fake.extras.get("mask").mean()

    assert check_term(term(shaped)).of("broken") == []


def test_a_term_is_timed(monkeypatch):
    clock = itertools.count(0, 2.5)
    monkeypatch.setattr("i2i.testing.losses.time.process_time", lambda: next(clock))
    with pytest.raises(
        ContractError, match="^term, CPU time: its example takes 2.5 s of CPU time, 2 at most: choose sm"
    ):
        check_term(term(lambda source, fake: (source - fake.image).abs().mean()))


def mean(verdict):
    return torch.stack([logits.float().mean() for logits in verdict.logits]).sum()


def apart(real, fake):
    return mean(fake) - mean(real)


def in_place_criterion(real, fake):
    real.logits[0].detach().mul_(0.5)
    return apart(real, fake)


@pytest.mark.parametrize(
    ("criterion", "message"),
    [
        (lambda: hinge, "values: is a function, not a Criterion: register an i2i.losses.Criterion itself"),
        (
            Criterion(lambda v: v.logits[0], apart),
            r"values: generator\(\) must return a finite scalar tensor, not tensor",
        ),
        (
            Criterion(lambda v: -mean(v), lambda r, f: 1.0),
            r"values: discriminator\(\) must return a finite scalar tensor",
        ),
        (
            Criterion(lambda v: -mean(v), lambda r: mean(r)),
            r"values: raises TypeError: .*; they are called as generator\(judged_fake\) and disc",
        ),
        (Criterion(mean, apart), "generator: does not reward fakes that pass as real: generator"),
        (
            Criterion(lambda v: -mean(v), lambda r, f: -apart(r, f)),
            "discriminator: does not reward telling real from fake",
        ),
        (
            Criterion(lambda v: -v.logits[0].float().mean(), apart),
            r"scales: generator\(\) does not sum over scales: it must be the sum over scales of the mean over each",
        ),
        (
            Criterion(lambda v: -mean(v), lambda r, f: apart(Verdict(r.logits[:1]), f)),
            r"scales: discriminator\(\) does not sum over scales",
        ),
        (Criterion(lambda v: -mean(v), lambda r, f: mean(f)), "gradients: has no gradient towards any input"),
        (
            Criterion(lambda v: -mean(v), in_place_criterion),
            r"inputs: changes the logits that it is given in place: use x = x \* 2",
        ),
        (
            Criterion(lambda v: -torch.stack([x.mean() for x in v.logits]).sum(), apart),
            "bf16: sums in bf16 what a net made in bf16: use at_least_float32 of i2i.losses",
        ),
    ],
)
def test_a_broken_criterion_is_found(criterion, message):
    with pytest.raises(ContractError, match=f"^criterion, {message}"):
        check_criterion(criterion)


def test_what_is_checked_of_a_criterion_is_reported():
    assert {outcome.state for outcome in check_criterion(hinge).outcomes} == {"kept"}


def counting():
    count = itertools.count()
    return lambda now: float(next(count))


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (
            lambda now: 1 / (19 - now),
            "values: raises ZeroDivisionError: .*; it must take any batch, also after the end",
        ),
        (lambda now: 1.0 if now < 1000 else float("inf"), "values: gives inf for batch 1000000; it must be a finite"),
        (lambda now: torch.ones(1), r"values: gives tensor\(\[1.\]\) for batch 0; it .* take float\(\) of it"),
        (counting(), r"asked again: gives other values when asked again: it must depend on the batch only"),
    ],
)
def test_a_broken_schedule_is_found(schedule, message):
    with pytest.raises(ContractError, match=f"^schedule, {message}"):
        check_schedule(schedule)
