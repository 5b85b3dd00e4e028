"""The nets of one scale, against plain torch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2i.errors import DataError, SettingsError
from i2i.models import load, save
from i2i_singan.networks import ScaleGenerator, scale_discriminator, scale_generator
from i2i_ugatit import ILN, iln


@pytest.fixture
def net() -> ScaleGenerator:
    """A generator with weights and statistics that matter."""
    torch.manual_seed(0)
    made = scale_generator(width=4, layers=3).double()
    for name, value in made.state_dict().items():
        value.normal_(1.0 if name.endswith(("norm.weight", "running_var")) else 0.0, 0.2)
    return made


def images(count: int, height: int = 16, width: int = 18) -> Tensor:
    return torch.randn(count, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def plain(weights: dict[str, Tensor], image: Tensor, condition: Tensor, statistics: dict[str, Tensor] | None) -> Tensor:
    """Make images; normalised by given statistics, or each by its own."""
    x = image
    for block in ("head", "body.block1"):
        x = F.conv2d(x, weights[f"{block}.conv.weight"], weights[f"{block}.conv.bias"])
        mean, var = x.mean((2, 3), keepdim=True), x.var((2, 3), correction=0, keepdim=True)
        if statistics is not None:
            mean, var = (statistics[f"{block}.norm.running_{each}"].view(1, -1, 1, 1) for each in ("mean", "var"))
        gain, offset = (weights[f"{block}.norm.{each}"].view(1, -1, 1, 1) for each in ("weight", "bias"))
        x = F.leaky_relu((x - mean) / (var + 1e-5).sqrt() * gain + offset, 0.2)
    return torch.tanh(F.conv2d(x, weights["tail.0.weight"], weights["tail.0.bias"])) + condition


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


def test_generator_is_plain_torch_in_training_and_in_use(net: ScaleGenerator) -> None:
    image, condition = images(2), images(2, 10, 12)
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    close(net(image, condition).image, plain(weights, image, condition, None))
    assert not torch.equal(net.head.norm.running_mean, weights["head.norm.running_mean"])
    net.load_state_dict(weights)
    close(net.eval()(image, condition).image, plain(weights, image, condition, weights))
    assert torch.equal(net.head.norm.running_mean, weights["head.norm.running_mean"])


def test_folded_is_eval_mode_and_a_copy(net: ScaleGenerator) -> None:
    image, condition = images(2), images(2, 10, 12)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    folded = net.train().folded()
    assert net.training
    close(folded(image, condition).image, plain(before, image, condition, before))
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    close(folded(image, condition).image, plain(before, image, condition, before))


def test_settled_norms_have_the_statistics_of_the_image_at_every_layer(net: ScaleGenerator) -> None:
    one, other, condition = images(2)[:1], images(2)[1:], images(1, 10, 12)
    net.eval().settle(one)
    weights = net.state_dict()
    close(net(one, condition).image, plain(weights, one, condition, None))  # as if normalised by its own
    assert (net(other, condition).image - plain(weights, other, condition, None)).abs().max() > 1e-3


def test_settled_on_several_images_is_settled_on_the_mean_of_their_statistics(net: ScaleGenerator) -> None:
    both = images(2)
    net.settle(both)
    x = F.conv2d(both, net.head.conv.weight, net.head.conv.bias)
    assert net.head.norm.running_mean is not None
    assert net.head.norm.running_var is not None
    close(net.head.norm.running_mean, x.mean((0, 2, 3)))
    close(net.head.norm.running_var, torch.stack([each.var((1, 2), correction=0) for each in x]).mean(0))


def test_a_twin_shares_weights_and_not_statistics(net: ScaleGenerator) -> None:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    twin = net.twin()
    assert net.training
    assert not twin.training
    twin.settle(images(1))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not torch.equal(twin.head.norm.running_var, before["head.norm.running_var"])
    assert {id(each) for each in twin.parameters()} == {id(each) for each in net.parameters()}
    assert twin.state_dict().keys() == before.keys()


@pytest.mark.parametrize(("width", "count"), [(32, 29_763), (64, 114_819), (128, 450_819)])
def test_keys_and_sizes_are_the_authors(width: int, count: int) -> None:
    with torch.device("meta"):
        generator, discriminator = scale_generator(width=width), scale_discriminator(width=width)
    assert sum(each.numel() for each in generator.parameters()) == count
    blocks = ["head", *(f"body.block{k}" for k in (1, 2, 3))]
    ours = {f"{block}.{part}.{each}" for block in blocks for part in ("conv", "norm") for each in ("weight", "bias")}
    running = {f"{block}.norm.running_{each}" for block in blocks for each in ("mean", "var")}
    assert set(generator.state_dict()) == ours | running | {"tail.0.weight", "tail.0.bias"}
    assert set(discriminator.state_dict()) == ours | {"tail.weight", "tail.bias"}


def test_first_weights_are_drawn_as_the_authors() -> None:
    torch.manual_seed(0)
    net = scale_generator(width=64)
    for block in net.blocks():
        assert block.conv.weight.std().item() == pytest.approx(0.02, rel=0.1)
        assert block.norm.weight.std().item() == pytest.approx(0.02, rel=0.4)
        assert block.norm.weight.mean().item() == pytest.approx(1.0, abs=0.02)
        assert not block.norm.bias.any()
        assert block.conv.bias is not None
        assert block.conv.bias.abs().max() > 0  # left as torch draws them


def test_a_logit_sees_a_patch_of_11_pixels() -> None:
    torch.manual_seed(0)
    net = scale_discriminator(width=4)
    for block in net.blocks():
        block.norm = nn.Identity()  # type: ignore[assignment]  # it would make each logit see all
    image = torch.randn(1, 3, 21, 22, requires_grad=True)
    verdict = net(image)
    assert verdict.logits[0].shape == (1, 1, 11, 12)
    assert len(verdict.features[0]) == 4
    (seen,) = torch.autograd.grad(verdict.logits[0][0, 0, 3, 5], image)
    rows, columns = seen[0].abs().sum(0).nonzero().unbind(1)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (3, 13, 5, 15)


def test_sizes_that_cannot_be_are_said(net: ScaleGenerator) -> None:
    with pytest.raises(DataError, match=r"reads \(batch, 3, height, width\)"):
        net(torch.zeros(1, 1, 16, 16, dtype=torch.float64))
    with pytest.raises(DataError, match="7"):
        net(torch.zeros(1, 3, 6, 16, dtype=torch.float64))
    with pytest.raises(SettingsError, match=r"kernel \(=4\) must be odd"):
        scale_generator(kernel=4)
    with pytest.raises(SettingsError, match="layers"):
        scale_discriminator(layers=1)


def test_another_norm_stands_in_every_block_and_travels_with_the_net(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = scale_generator(width=4, layers=3, norm=iln(4)).double()
    norms = [block.norm for block in net.blocks()]
    assert all(isinstance(norm, ILN) for norm in norms)
    assert norms[0].rho is not norms[1].rho
    image, condition = images(2), images(2, 10, 12)
    x = F.leaky_relu(norms[0](net.head.conv(image)), 0.2)
    x = F.leaky_relu(norms[1](net.body.block1.conv(x)), 0.2)  # type: ignore[operator, union-attr]
    wanted = torch.tanh(net.tail[0](x)) + condition
    close(net(image, condition).image, wanted)
    folded = net.folded()
    close(folded(image, condition).image, wanted)
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    assert (scale_generator(width=4).local, net.local, folded.local) == (True, False, False)
    loaded = load(save(net.float(), tmp_path)).double()
    torch.testing.assert_close(loaded(image, condition).image, wanted, rtol=1e-4, atol=1e-4)


def test_folding_another_norm_copies_it() -> None:
    net = scale_generator(width=4, layers=3, norm=iln(4)).double()
    image = images(1)
    folded = net.folded()
    before = folded(image).image
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(1)
    assert torch.equal(folded(image).image, before)
