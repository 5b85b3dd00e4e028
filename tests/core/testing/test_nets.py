"""Nets that break one promise of their kind each."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from i2i import Example, Translation, Verdict, part
from i2i.testing import ContractError, check_discriminator, check_generator, check_layer

EXAMPLE = Example({}, ((2, 3, 8, 8),))


class Net(nn.Module):
    """A net whose result is ``make`` of that of a convolution, with some attributes."""

    def __init__(self, make, attributes):
        super().__init__()
        self.layer, self.make = nn.Conv2d(3, 3, 1), make
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, *inputs):
        return self.make(inputs[0], self.layer(inputs[0]))


def factory(make, example=EXAMPLE, **attributes):
    @part(example=example)
    def net():
        return Net(make, attributes)

    net.__qualname__ = "net"
    return net


def translated(x, y):
    return Translation(y)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x, y: y, r"returns a Tensor, not a Translation: return i2i.Translation\(image\)"),
        (lambda x, y: Translation(y / 0), r"makes values that are not finite .*: is something divided by 0\?"),
        (lambda x, y: Translation(y, {"heat": y / 0}), "makes values that are not finite"),
        (lambda x, y: Translation(y.flatten(1)), r"makes an image \(2, 192\), not \(b, c, h, w\) with b = 2"),
        (lambda x, y: Translation(y[:1]), r"makes an image \(1, 3, 8, 8\), not \(b, c, h, w\) with b = 2"),
        (lambda x, y: Translation((y,)), r"makes an image a tuple, not \(b, c, h, w\)"),
        (lambda x, y: Translation(y * x.mul_(0.5)), "changes its input in place: use x = x \\* 2 instead of"),
        (
            lambda x, y: Translation(y, {"loss": y.mean()}),
            r"extras must hold tensors \(b, ...\) with b = 2 as .*, not \(\)",
        ),
        (lambda x, y: Translation(y @ y[0, 0, :3]), "raises RuntimeError: .*; its example must be a valid use"),
    ],
)
def test_a_generator_must_make_images(make, message):
    with pytest.raises(ContractError, match=f"^net, values: {message}"):
        check_generator(factory(make))


@pytest.mark.parametrize(
    ("check", "value"), [(check_generator, Translation), (check_discriminator, lambda y: Verdict((y,)))]
)
def test_a_net_must_take_a_condition(check, value):
    class Bare(nn.Conv2d):
        def forward(self, image):
            return value(super().forward(image))

    message = r"values: forward\(image\) takes no condition: write forward\(self, image, condition=None\); i2i.layers"
    with pytest.raises(ContractError, match=message):
        check(part(example=EXAMPLE)(lambda: Bare(3, 3, 1)))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"in_channels": 4}, "values: says in_channels = 4, but its example feeds it 3: make them agree"),
        ({"out_channels": 1}, "values: says out_channels = 1, but makes 3 channels: make them agree"),
        ({"multiple": 0}, "attributes: has multiple 0; it must be a whole number, 1 or more"),
        ({"smallest": 1.5}, "attributes: has smallest 1.5; it must be a whole number"),
        ({"takes": "sound"}, "attributes: takes \\(='sound'\\) must be 'noise' or 'labels', or None"),
        ({"size": 8}, "attributes: has size 8; it must be \\(height, width\\)"),
        ({"size": (8, 8.0)}, "attributes: has size \\(8, 8.0\\); it must be \\(height, width\\)"),
        ({"size": (8, 9)}, "attributes: says size = \\(8, 9\\), but its example feeds it \\(2, 3, 8, 8\\): make them"),
    ],
)
def test_what_a_generator_says_of_itself_must_be_true(attributes, message):
    with pytest.raises(ContractError, match=f"^net, {message}"):
        check_generator(factory(translated, **attributes))


def half_and_double(x, y):
    small = nn.functional.avg_pool2d(y, 2)
    return Translation(y + nn.functional.interpolate(small, scale_factor=2))


def test_images_of_any_size_must_pass():
    with pytest.raises(ContractError) as caught:
        check_generator(factory(half_and_double))
    assert str(caught.value).startswith("net, any size: raises RuntimeError: ")
    assert str(caught.value).endswith(
        "images of 9x11 and 1x1 must pass: say multiple = N where sides must be multiples of N, "
        "smallest = N where they must be at least N"
    )
    assert check_generator(factory(half_and_double, multiple=2)).of("broken") == []


def reflecting(x, y):
    return Translation(nn.functional.avg_pool2d(nn.functional.pad(y, (2, 2, 2, 2), "reflect"), 5, 1))


def test_small_images_must_pass():
    with pytest.raises(
        ContractError, match=r"^net, any size: raises RuntimeError: .*; images of 9x11 and 1x1 must pass"
    ):
        check_generator(factory(reflecting))
    assert check_generator(factory(reflecting, smallest=3)).of("broken") == []


def test_images_of_any_size_must_be_finite():
    make = factory(lambda x, y: Translation(y / (x.shape[-1] == 8)))
    with pytest.raises(
        ContractError,
        match="^net, any size: makes values that are not finite of images of 9x11 and 1x1: say multiple = N",
    ):
        check_generator(make)


@pytest.mark.parametrize(
    ("make", "example", "attributes", "reason"),
    [
        (translated, EXAMPLE, {"takes": "noise", "in_channels": 9}, "it takes noise, so i2i translate refuses it"),
        (half_and_double, EXAMPLE, {"size": (8, 8)}, "it accepts one size only, so i2i translate"),
        (translated, Example({}, ((1, 3, 8, 8), (1, 1, 8, 8))), {}, "its example gives it more than an image"),
        (lambda x, y: Translation(y[..., 1:-1]), EXAMPLE, {}, "its images are of another size than what it reads"),
    ],
)
def test_what_i2i_translate_refuses_is_not_checked_by_it(make, example, attributes, reason):
    report = check_generator(factory(make, example, **attributes))
    (found,) = [outcome for outcome in report.of("skipped") if outcome.promise == "any size"]
    assert found.reason.startswith(reason)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x, y: y, r"returns a Tensor, not a Verdict: return i2i.Verdict\(\(logits,\)\)"),
        (lambda x, y: Verdict(()), "returns no logits: they must be a tuple, with a map for each scale"),
        (lambda x, y: Verdict([y]), "returns no logits: they must be a tuple"),
        (lambda x, y: Verdict((y.mean((2, 3)),)), r"logits are \(2, 3\), not \(b, c, h, w\) with b = 2"),
        (lambda x, y: Verdict((y,), ((y,), (y,))), r"one per scale \(1 here\), not features of 2"),
        (
            lambda x, y: Verdict((y,), (y,)),
            r"features hold a tensor for a scale: return a tuple of the layers for each",
        ),
        (lambda x, y: Verdict((y,), ((y[0],),)), r"features and extras must hold tensors .* not \(3, 8, 8\)"),
        (lambda x, y: Verdict((y,), extras={"cam": (0.5,)}), r"features and extras must hold tensors .* not a float"),
        (lambda x, y: Verdict((y,), extras={"cam": (y, y)}), r"one per scale \(1 here\), not cam of 2"),
    ],
)
def test_a_discriminator_must_judge(make, message):
    with pytest.raises(ContractError, match=f"^net, values: .*{message}"):
        check_discriminator(factory(make))


def test_features_and_extras_may_be_there_for_each_scale():
    report = check_discriminator(factory(lambda x, y: Verdict((y, y), ((y,), (y,)), {"cam": (y, y)})))
    assert report.of("broken") == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x, y: {"features": y}, "returns a dict, not a tensor: return a tensor or a NamedTuple of tensors"),
        (lambda x, y: (y, y[:1]), r"it must hold tensors \(b, ...\) with b = 2 as its input, not \(1, 3, 8, 8\)"),
        (lambda x, y: (y, 3), r"it must hold tensors \(b, ...\) .*, not a int"),
        (lambda x, y: y.sum(), r"it must hold tensors \(b, ...\) .*, not \(\)"),
        (lambda x, y: y / 0, "makes values that are not finite"),
    ],
)
def test_a_layer_must_return_tensors(make, message):
    with pytest.raises(ContractError, match=f"^net, values: {message}"):
        check_layer(factory(make))


def test_nothing_can_be_checked_without_an_example():
    with pytest.raises(ContractError, match=r"<lambda>, example: carries no example: mark it with @i2i.part"):
        check_generator(lambda: nn.Identity())


def test_a_factory_must_make_a_module_that_knows_how_it_was_built():
    def unmarked():
        return nn.Identity()

    unmarked.example = EXAMPLE
    with pytest.raises(
        ContractError, match=r", example: makes a module without .spec: mark the factory with @i2i.part"
    ):
        check_layer(unmarked)
    with pytest.raises(ContractError, match=r", example: makes a function, not an nn.Module: return the module"):
        check_layer(part(example=EXAMPLE)(lambda: torch.relu_ and unmarked))


def test_an_example_must_be_valid():
    with pytest.raises(
        ContractError, match=r"raises TypeError: .*unexpected keyword.*; its example must be a valid use"
    ):
        check_layer(part(example=Example({"width": 3}, ((1, 3, 8, 8),)))(lambda: nn.Conv2d(3, 3, 1)))
    with pytest.raises(ContractError, match="its example feeds it nothing: name the shapes of what the module reads"):
        check_layer(factory(lambda x, y: y, Example({}, ())))


def test_what_is_checked_is_reported():
    report = check_generator(factory(translated, in_channels=3, out_channels=3))
    kept = [outcome.promise for outcome in report.of("kept")]
    assert kept == ["example", "values", "attributes", "any size", "meta device", "weights by seed", "result by seed",
                    "gradients", "samples apart (train mode)", "samples apart (eval mode)", "deep copy", "bf16",
                    "CPU time"]  # fmt: skip
    assert [(outcome.promise, outcome.reason) for outcome in report.of("skipped")] == [
        ("saving", "it is registered by no plugin, so what is saved cannot be loaded by its name")
    ]
    assert str(report).startswith("net: 13 promises kept, 0 broken, 1 not checked\n\nnet\n  kept     example, values,")
