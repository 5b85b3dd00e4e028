"""Any generator with any discriminator, criterion and term: a sample here, all of them by ``make matrix``."""

from __future__ import annotations

from collections import Counter

import pytest

from i2i import registry
from i2i.testing import ContractError
from i2i.testing.matrix import Combination, check_all, check_combination, combinations, sample

EVERY = combinations()
WITH_ATTENTION = {"ugatit/cam_generator", "ugatit/attended_generator"}  # as docs/ugatit.md says
READ_WHAT_THEY_MAKE = {"core/identity", "core/cycle", "ugatit/cam_loss"}  # a second pass through the translators


@pytest.mark.parametrize("combination", sample(7, EVERY), ids=str)
def test_it_trains_or_is_refused_in_words(combination):
    generator, term = combination.generator.name, combination.term.name
    reason = check_combination(combination)
    if generator == "singan/pyramid_generator" and term in READ_WHAT_THEY_MAKE:
        assert reason is not None
        assert "of noise, and does not read what it makes" in reason
    elif term == "ugatit/cam_loss" and generator not in WITH_ATTENTION:
        assert reason is not None
        assert reason.endswith("these offer it: ugatit/attended_generator, ugatit/cam_generator")
    else:
        assert reason is None


def test_the_sample_has_every_part_and_each_pair_of_nets_once():
    drawn = sample(7, EVERY)
    for position in range(len(Combination._fields)):
        assert {each[position].name for each in drawn} == {each[position].name for each in EVERY}
    assert set(Counter((each.generator.name, each.discriminator.name) for each in drawn).values()) == {1}
    assert sample(7, EVERY) == drawn
    assert sample(8, EVERY) != drawn


def test_all_are_the_product_of_the_parts():
    kinds = Counter(part.kind for part in registry.registry().tables.parts.all())
    wanted = kinds["generator"] * kinds["discriminator"] * kinds["criterion"] * kinds["term"]
    assert len(set(map(str, EVERY))) == len(EVERY) == wanted > 1000


PARTS = """
import torch
from torch import nn
import i2i

@i2i.hookimpl
def register_parts(register):
    for name in ("plain", "still", "wild", "forgetful", "larger", "grey", "noise", "guided", "free"):
        register(f"odd/{name}", f"odd_parts:{name}", kind="generator")
    for name in ("judge", "wide", "judge_of_two"):
        register(f"odd/{name}", f"odd_parts:{name}", kind="discriminator")
    register("odd/depth", "odd_parts:depth", kind="term")
    register("odd/unknown", "odd_parts:unknown", kind="term")

class Net(nn.Module):
    def __init__(self, fault=""):
        super().__init__()
        self.layer, self.fault = nn.Conv2d(3, 1 if fault == "grey" else 3, 1), fault
        self.hidden = torch.rand(1)  # no buffer: it is lost
        if fault == "still":
            self.requires_grad_(False)

    def forward(self, image, condition=None):
        made = self.layer(image)
        if self.fault == "wild":
            made = made + (made - made).sqrt()  # zero, but its gradient is not finite
        if self.fault == "forgetful":
            made = made + self.hidden
        if self.fault == "larger":
            made = nn.functional.interpolate(made, scale_factor=2)
        return i2i.Translation(made)

example = i2i.Example({}, ((1, 3, 8, 8),))

def maker(fault):
    def make():
        return Net(fault)
    make.__qualname__ = fault or "plain"
    return i2i.part(example=example)(make)

plain, still, wild = maker(""), maker("still"), maker("wild")
forgetful, larger, grey = maker("forgetful"), maker("larger"), maker("grey")

class Guided(Net):
    needs = True

    def forward(self, image, condition=None):
        if self.needs and condition is None:
            raise ValueError("no condition")
        return super().forward(image)

class Free(Guided):
    needs = False

both = i2i.part(example=i2i.Example({}, ((1, 3, 8, 8), (1, 3, 8, 8))))

@both
def guided():
    return Guided()

@both
def free():
    return Free()

class Noise(nn.Module):
    takes = "noise"

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, 3 * 6 * 8)

    def forward(self, image, condition=None):
        made = self.layer(image).unflatten(1, (3, 6, 8))
        return i2i.Translation(made + torch.rand_like(made))

@i2i.part(example=i2i.Example({}, ((1, 5),)))
def noise():
    return Noise()

@i2i.part(example=example)
def judge(in_channels=3):
    return i2i.as_discriminator(nn.Conv2d(in_channels, 1, 3))

@both
def judge_of_two(in_channels=3):
    return i2i.as_discriminator(nn.Conv2d(2 * in_channels, 1, 3))

@i2i.part(example=i2i.Example({}, ((1, 3, 16, 16),)))
def wide(in_channels=3):
    return i2i.as_discriminator(nn.Conv2d(in_channels, 1, 9))

@i2i.part(example=i2i.Example({}, ((1, 3, 8, 8),)))
def depth(fake):
    return i2i.needs(fake, "depth").mean()

@i2i.part(example=i2i.Example({}, ((1, 3, 8, 8),)))
def unknown(weather):
    return weather.mean()
"""


def named(generator: str, discriminator: str, term: str, criterion: str = "core/lsgan") -> Combination:
    return Combination(*map(registry.part, (generator, discriminator, criterion, term)))


@pytest.fixture
def odd(install):
    install("odd", "i2i-odd", odd_parts=PARTS)


@pytest.mark.usefixtures("odd")
def test_parts_of_others_are_found_and_trained():
    assert any(each.generator.name == "odd/plain" for each in combinations())
    assert check_combination(named("odd/plain", "odd/judge", "core/cycle")) is None


@pytest.mark.usefixtures("odd")
def test_channels_follow_the_generator():
    assert check_combination(named("odd/grey", "odd/judge", "core/r1")) is None
    assert check_combination(named("odd/grey", "cyclegan/patch_discriminator", "core/r1")) is None


@pytest.mark.usefixtures("odd")
def test_noise_may_be_of_any_shape_and_be_drawn_within():
    assert check_combination(named("odd/noise", "odd/judge", "core/r1")) is None


@pytest.mark.usefixtures("odd")
def test_a_condition_may_be_left_out():
    assert check_combination(named("odd/free", "odd/judge", "core/r1")) is None


@pytest.mark.usefixtures("odd")
def test_images_grow_to_what_is_judged():
    assert check_combination(named("odd/plain", "odd/wide", "core/r1")) is None


@pytest.mark.usefixtures("odd")
@pytest.mark.parametrize(
    ("generator", "discriminator", "term", "message"),
    [
        ("odd/plain", "odd/judge", "pix2pixhd/feature_matching", "has no features (it has logits); these offer it: c"),
        ("odd/plain", "odd/judge", "odd/depth", "has no depth (it has image), and no installed generator offers it"),
        ("odd/plain", "odd/judge", "odd/unknown", "a term cannot ask for 'weather'; the names are source, target,"),
        ("odd/larger", "odd/judge", "core/cycle", "asks for back: odd/larger makes images (3, 16, 16) of images (3, 8"),
        (
            "odd/grey",
            "odd/judge",
            "core/identity",
            "asks for same: odd/grey makes images (1, 8, 8) of images (3",
        ),
        ("odd/noise", "odd/judge", "core/cycle", "asks for back: odd/noise makes images (3, 6, 8) of noise, and"),
        ("odd/guided", "odd/judge", "core/r1", "odd/guided asks for a condition too, as its example has, and no part"),
        ("odd/plain", "odd/judge_of_two", "core/r1", "odd/judge_of_two asks for a condition too, as its example has"),
        (
            "odd/noise",
            "odd/wide",
            "core/r1",
            "odd/noise makes images of 6x8, and odd/wide, whose example has 16x16, cannot judge them: ",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(generator, discriminator, term, message):
    assert message in (check_combination(named(generator, discriminator, term)) or "")


@pytest.mark.usefixtures("odd")
@pytest.mark.parametrize(
    ("generator", "error", "message"),
    [
        ("odd/still", Exception, "no trainable parameter"),
        ("odd/wild", Exception, "gradient"),
        ("odd/forgetful", ContractError, "makes other images once it is saved and loaded"),
    ],
)
def test_a_broken_part_is_found(generator, error, message):
    with pytest.raises(error, match=message):
        check_combination(named(generator, "odd/judge", "core/r1"))


@pytest.mark.usefixtures("odd")
def test_all_are_counted(capsys):
    good = named("odd/plain", "odd/judge", "core/r1")
    refused = named("odd/plain", "odd/judge", "odd/depth")
    assert check_all([good, refused, good]) == 0
    assert "\n3 combinations: 2 trained, 1 refused, 0 failed; " in capsys.readouterr().out
    assert check_all([good, named("odd/forgetful", "odd/judge", "core/r1")]) == 1
    told = capsys.readouterr().out
    assert "FAILED odd/forgetful x odd/judge x core/lsgan x core/r1: ContractError: makes other images" in told
    assert "2 combinations: 1 trained, 0 refused, 1 failed; " in told
