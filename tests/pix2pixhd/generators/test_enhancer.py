"""The local enhancer, and how one is put around a trained global network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.reference import plain_pix2pixhd as plain
from i2i.errors import CompositionError, SettingsError
from i2i_pix2pixhd.generators import GlobalGenerator, enhanced, global_generator, local_enhancer
from tests.pix2pixhd.generators.nets import LABELS, assert_same, floats, ids, on_meta, weights_of


@pytest.mark.parametrize("enhancers", [1, 2])
def test_local_enhancer_agrees_with_the_specification(enhancers: int) -> None:
    net = local_enhancer(1, labels=LABELS, base_width=2, downs=2, blocks=1, enhancers=enhancers, local_blocks=2)
    w, labels, condition = weights_of(net), ids(2, 1, 32, 48), floats(2, 1, 32, 48).requires_grad_()
    x = torch.cat((plain.one_hot(labels, LABELS), condition), dim=1)
    assert_same(net, net(labels, condition).image, w, plain.local_enhancer(w, x, 2), condition)


def test_enhanced_copies_the_global_network_but_for_its_image() -> None:
    torch.manual_seed(0)
    generator = global_generator(1, labels=LABELS, base_width=4, downs=2, blocks=2, upsampling="resize")
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    net = enhanced(generator, local_blocks=1)
    copied = {name for name, value in net.state_dict().items() if name in before and torch.equal(value, before[name])}
    assert set(before) - copied == {"model.19.weight", "model.19.bias"}
    new = set(net.state_dict()) - copied
    assert {name.partition(".")[0] for name in new} == {"model1_1", "model1_2"}
    for value in net.parameters():  # a copy: what is trained on is not the model that was given
        nn.init.zeros_(value)
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())
    assert (net.labels, net.in_channels, net.multiple) == (LABELS, 1, 8)


@pytest.mark.parametrize("enhancers", [1, 2])
def test_enhanced_sees_the_global_network_as_it_was_at_a_fraction_of_the_size(enhancers: int) -> None:
    generator = global_generator(3, base_width=4, downs=1, blocks=1)
    weights_of(generator)
    net = enhanced(generator, local_blocks=0, enhancers=enhancers)
    assert next(net.parameters()).dtype == torch.float64
    x = floats(1, 3, 16, 16)
    small = x
    for _ in range(enhancers):
        small = plain.pooled(small)
    seen = {}
    generator.model[-4].register_forward_hook(lambda _m, _i, out: seen.update(alone=out))  # type: ignore[index,operator]
    net.model[-1].register_forward_hook(lambda _m, _i, out: seen.update(within=out))  # type: ignore[index,operator]
    generator(small)
    net(x)
    assert torch.equal(seen["alone"], seen["within"])


def test_enhanced_is_made_on_the_device_of_the_network() -> None:
    net = enhanced(on_meta(global_generator, 1, labels=35))
    assert {value.device.type for value in net.state_dict().values()} == {"meta"}
    assert sum(value.numel() for value in net.parameters()) == 182_857_059


def test_enhanced_refuses_what_it_cannot_halve_or_does_not_know() -> None:
    with pytest.raises(SettingsError, match=r"base_width \(=6\) .* multiple of 4 for enhancers \(=2\); use 4"):
        enhanced(global_generator(base_width=6, downs=1, blocks=0), enhancers=2)
    with pytest.raises(SettingsError, match=r"base_width \(=1\) .* multiple of 2 .*; use 2"):
        enhanced(global_generator(base_width=1, downs=1, blocks=0))
    with pytest.raises(CompositionError, match="global_generator.. made; this LocalEnhancer"):
        enhanced(local_enhancer(base_width=1, downs=1, blocks=0))  # type: ignore[arg-type]
    bare = GlobalGenerator(nn.Identity(), 3, 3, 0, multiple=1)
    with pytest.raises(CompositionError, match="this GlobalGenerator was made otherwise"):
        enhanced(bare)


def test_local_parts_are_all_but_the_global_network() -> None:
    net = local_enhancer(base_width=1, downs=1, blocks=0, enhancers=2)
    names = {id(module): name for name, module in net.named_modules()}
    assert [names[id(module)] for module in net.local_parts()] == ["model1_1", "model1_2", "model2_1", "model2_2"]


def test_arguments_of_the_enhancer_out_of_range_are_refused() -> None:
    for settings, message in (({"enhancers": 0}, r"enhancers \(=0\)"), ({"local_blocks": -1}, r"local_blocks \(=-1\)")):
        with pytest.raises(SettingsError, match=message):
            local_enhancer(**settings)  # type: ignore[arg-type]
