"""Layers that break one promise of all modules each."""

from __future__ import annotations

import itertools
import random
import threading

import pytest
import torch
from torch import nn

from i2i import Example, part
from i2i.testing import ContractError, check_generator, check_layer

COUNT = itertools.count(1)


def named(factory):
    factory.__qualname__ = "layer"
    return factory


class Layer(nn.Module):
    """A convolution with a fault."""

    def __init__(self, fault):
        super().__init__()
        self.layer, self.fault = nn.Conv2d(3, 3, 1), fault
        if fault == "unused":
            self.unused = nn.ParameterList(nn.Parameter(torch.zeros(1)) for _ in range(7))
        if fault == "root":
            self.scale = nn.Parameter(torch.zeros(1))
        if fault == "weights":
            nn.init.constant_(self.layer.bias, next(COUNT))
        if fault == "copy":
            self.lock = threading.Lock()
        if fault == "counts":
            self.register_buffer("passes", torch.zeros(()))
        if fault == "dropout":
            self.dropout = nn.Dropout(0.5)
        if fault == "meta" and self.layer.weight.is_meta:
            self.more = nn.Conv2d(3, 3, 1)
        if fault == "value":
            self.steps = int(self.layer.weight.square().sum())

    def forward(self, x):
        made = self.layer(x)
        if self.fault == "remembers" and self.training:
            made = made + 1e-7 * next(COUNT)
        if self.fault == "counts" and self.training:
            self.passes += 1
        if self.fault == "root":
            made = made + self.scale.sqrt()
        if self.fault == "detached":
            made = made.detach()
        if self.fault == ("batch", self.training):
            made = made - made.mean(0, keepdim=True)
        if self.fault == "overflow":
            made = made + 0 / (made * 0 + 1.001 - 1)
        if self.fault == "dtype":
            made = torch.zeros(x.shape).lerp(made, 0.5)
        return self.dropout(made) if self.fault == "dropout" else made


def factory(fault):
    @part(example=Example({}, ((2, 3, 8, 8),)))
    def layer():
        return Layer(fault)

    return named(layer)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("meta", "meta device: is built with other tensors on the meta device: what is built must depend on the argum"),
        ("value", "meta device: raises .*; i2i.load builds on the meta device: read no values while building"),
        (
            "weights",
            "weights by seed: built twice from one seed, it has other layer.bias: draw them from torch's global",
        ),
        ("remembers", "result by seed: in train mode, equal weights, inputs and seed give another result .*buffers"),
        ("unused", r"gradients: no gradient reaches unused.0, .*, unused.4 and 2 more: .*freeze it"),
        ("root", "gradients: the gradient of scale is not finite: add a small number inside of square roots"),
        ("detached", "gradients: raises RuntimeError: .*; every result must be differentiable in train mode"),
        (("batch", True), r"samples apart \(train mode\): in train mode, .* says changes_with_each_pass = True"),
        (
            "counts",
            r"samples apart \(train mode\): in train mode, one pass over two batches leaves another passes than two",
        ),
        (("batch", False), r"samples apart \(eval mode\): in eval mode, .*: take no mean over the batch"),
        ("copy", "deep copy: raises TypeError: .*; moving averages are deep copies"),
        ("overflow", r"bf16: is not finite in bf16: compute what overflows or divides in float32 \(x.float\(\)\)"),
        ("dtype", r"bf16: raises RuntimeError: .*; use operations that autocast knows"),
    ],
)
def test_a_broken_promise_is_found(fault, message):
    with pytest.raises(ContractError, match=f"^layer, {message}"):
        check_layer(factory(fault))


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (2, 3, 1), (1, 3, 8, 8)])
def test_samples_must_stand_apart_whatever_their_shape(shape):
    class Centred(nn.Module):
        changes_with_each_pass = True

        def forward(self, x):
            return x - x.mean(0, keepdim=True)

    with pytest.raises(ContractError, match=r"layer, samples apart \(eval mode\): "):
        check_layer(named(part(example=Example({}, (shape,)))(lambda: Centred())))


def test_a_deep_copy_must_compute_the_same():
    class Lossy(nn.Conv2d):
        def __deepcopy__(self, memo):
            return Lossy(3, 3, 1)

    @part(example=Example({}, ((2, 3, 8, 8),)))
    def layer():
        return Lossy(3, 3, 1)

    with pytest.raises(
        ContractError, match="deep copy: a deep copy computes something else: keep what it needs in par"
    ):
        check_layer(layer)


def test_samples_need_not_stand_apart_where_layers_mix_them():
    skipped = {outcome.promise: outcome.reason for outcome in check_layer(factory("dropout")).of("skipped")}
    assert skipped["samples apart (train mode)"].startswith("batch norm, dropout or a layer that changes")


def test_a_gradient_of_zero_is_no_fault():
    @part(example=Example({}, ((2, 3, 8, 8),)))
    def layer():
        return nn.Sequential(nn.Conv2d(3, 3, 1), nn.InstanceNorm2d(3))  # the bias falls out

    assert check_layer(layer).of("broken") == []


def test_a_frozen_parameter_needs_no_gradient():
    @part(example=Example({}, ((2, 3, 8, 8),)))
    def layer():
        return Layer("unused").requires_grad_(False)

    skipped = {outcome.promise: outcome.reason for outcome in check_layer(layer).of("skipped")}
    assert skipped["gradients"] == "it has no parameter that learns"


@pytest.mark.parametrize("slow", [1, 2])
def test_an_example_is_timed_twice_before_it_is_too_slow(slow, monkeypatch):
    steps = itertools.chain([0.0, 3.0] * slow, [0.0, 0.5])
    monkeypatch.setattr("i2i.testing.modules.time.process_time", lambda: next(steps))
    if slow == 1:
        assert check_layer(factory("")).of("broken") == []
        return
    with pytest.raises(ContractError, match="^layer, CPU time: its example takes 3.0 s of CPU time, 2 at most: choose"):
        check_layer(factory(""))


PLUGIN = """
import i2i

@i2i.hookimpl
def register_parts(register):
    for name in ("sound", "drawn", "unwritten", "alias"):
        register(f"toy/{name}", f"toy_parts:{name}", kind="layer")
"""
PARTS = """
import random
import i2i
from torch import nn

EXAMPLE = ((1, 3, 4, 4),)

class Scaled(nn.Conv2d):
    def __init__(self, scale):
        super().__init__(3, 3, 1)
        self.scale = scale
    def forward(self, x):
        return self.scale * super().forward(x)

@i2i.part(example=i2i.Example({}, EXAMPLE))
def sound(scale=1.5):
    return Scaled(scale)

@i2i.part(example=i2i.Example({}, EXAMPLE))
def drawn():
    return Scaled(random.random())

@i2i.part(example=i2i.Example({"scale": {"by": 2.0}}, EXAMPLE))
def unwritten(scale):
    return Scaled(scale["by"])

def _factory():
    @i2i.part(example=i2i.Example({}, EXAMPLE))
    def made():
        return Scaled(2.0)
    return made

alias = _factory()
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "drawn",
            "saving: computes something else once saved and loaded: all that makes a difference must be an argum",
        ),
        ("unwritten", "saving: saved the weights only, .*argument scale is a dict.*; arguments must be numbers, texts"),
    ],
)
def test_what_is_saved_must_come_back(install, name, message):
    install("toy", "i2i-toy", toy_plugin=PLUGIN, toy_parts=PARTS)
    import toy_parts

    random.seed(0)
    assert "saving" in {outcome.promise for outcome in check_layer(toy_parts.sound).of("kept")}
    with pytest.raises(ContractError, match=f"^{name}, {message}"):
        check_layer(getattr(toy_parts, name))


def test_a_part_is_registered_where_it_is_defined(install):
    from i2i.testing import check_plugin

    install("toy", "i2i-toy", toy_plugin=PLUGIN, toy_parts=PARTS)
    with pytest.raises(ContractError) as caught:
        check_plugin("toy")
    (line,) = [line for line in str(caught.value).splitlines() if "toy/alias" in line]
    assert line.strip() == (
        "toy/alias, saving: is defined at 'toy_parts:_factory.<locals>.made', which is not what is registered: "
        "register that reference"
    )


def test_a_generator_is_a_module_as_well():
    with pytest.raises(ContractError, match="values: returns a Tensor, not a Translation"):
        check_generator(factory(""))
