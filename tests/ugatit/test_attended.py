"""Attention in networks of other packages, on those of CycleGAN and pix2pixHD."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import i2i
from i2i.errors import CompositionError, SettingsError
from i2i.losses import lsgan
from i2i.pixels import PixelFormat, formats_of
from i2i.values import Pair
from i2i_cyclegan.generators import resnet_generator
from i2i_pix2pixhd.multiscale import multiscale_discriminator
from i2i_ugatit import attended_discriminator, attended_generator, cam_discriminator, cam_loss, cam_verdict
from i2i_ugatit.spectral import SpectralLinear

BOTTOM = "model.12"  # the last residual block of a generator with three of them
DEEPEST = ("scale1_layer2", "scale0_layer2")  # what the last convolution reads, at full size and at half of it


def image(count: int = 1) -> Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def generator(**changes: object) -> nn.Module:
    torch.manual_seed(0)
    return resnet_generator(base_width=4, blocks=3, **changes)  # type: ignore[arg-type]


def test_the_image_is_made_of_attended_features() -> None:
    plain = generator().eval()
    net = attended_generator(plain, at=BOTTOM, channels=16).eval()
    layers, head = list(plain.model), net.attention[0].cam
    features = nn.Sequential(*layers[:13])(image())
    attended = head(features)
    expected = nn.Sequential(*layers[13:])(attended.features)
    made = net(image())
    torch.testing.assert_close(made.image, expected)
    torch.testing.assert_close(made.extras["cam_logits"], attended.logits)
    torch.testing.assert_close(made.extras["heatmap"], attended.heatmap)
    assert (net.multiple, net.in_channels) == (4, 3)


def test_a_judge_has_the_attention_of_the_authors_judges_and_keeps_its_own_extras() -> None:
    plain = cam_discriminator(base_width=2, layers=(4,))
    net = attended_discriminator(plain, at=("scales.0.layers.2",), channels=(2,))
    head = net.attention[0].cam
    assert head.slope == 0.2
    assert isinstance(head.average, SpectralLinear)
    verdict = net(image())
    assert verdict.extras["heatmap"][0].shape[-2:] == (16, 16)  # of the layer that was named, not of the net's own
    assert len(verdict.features[0]) == len(plain(image()).features[0])
    assert set(plain.state_dict()) == {k.removeprefix("net.") for k in net.state_dict() if k.startswith("net.")}


def test_what_images_are_in_files_is_kept() -> None:
    plain = generator()
    plain.reads = plain.writes = PixelFormat(depth=16)  # type: ignore[assignment]
    net = attended_generator(plain, at=BOTTOM, channels=16)
    assert formats_of(net) == (PixelFormat(depth=16), PixelFormat(depth=16))


def test_the_given_net_is_left_alone() -> None:
    plain = generator()
    before = list(plain.state_dict())
    attended_generator(plain, at=BOTTOM, channels=16)
    assert list(plain.state_dict()) == before


def test_recomputed_layers_give_the_same_gradients() -> None:
    gradients = []
    for recompute in (False, True):
        torch.manual_seed(1)
        net = attended_generator(generator(recompute=recompute), at=BOTTOM, channels=16).double()
        made = net(image().double())
        (made.image.sum() + made.extras["cam_logits"].sum()).backward()
        gradients.append([parameter.grad for parameter in net.parameters()])
    torch.testing.assert_close(*gradients)


def test_it_is_saved_with_the_net_inside(tmp_path: Path) -> None:
    net = attended_generator(generator(), at=BOTTOM, channels=16).eval()
    i2i.save(net, tmp_path / "model")
    with torch.no_grad():
        assert torch.equal(i2i.load(tmp_path / "model")(image()).image, net(image()).image)


def test_a_mix_of_three_packages_trains() -> None:
    """Attention in CycleGAN's generator and in pix2pixHD's discriminator, and what U-GAT-IT asks of it."""
    torch.manual_seed(0)
    judge = multiscale_discriminator(3, scales=2, base_width=4, layers=2)
    nets = i2i.nets(
        G=attended_generator(generator(), at=BOTTOM, channels=16),
        D=attended_discriminator(judge, at=DEEPEST, channels=(16, 16)),
    )

    def translate(n, x):  # type: ignore[no-untyped-def]
        return n.G(x.a), n.G(x.b)

    def g_loss(n, x, shared):  # type: ignore[no-untyped-def]
        verdict = n.D(shared[0].image)
        return {"adv": lsgan.generator(verdict), "cam": cam_loss(*shared)}

    def d_loss(n, x, shared):  # type: ignore[no-untyped-def]
        real, fake = n.D(x.b), n.D(shared[0].image)
        return {
            "adv": lsgan.discriminator(real, fake),
            "cam": lsgan.discriminator(cam_verdict(real), cam_verdict(fake)),
        }

    step = i2i.alternate(
        share=translate,
        live="g",
        d=i2i.player(lambda n: n.D, d_loss, torch.optim.Adam, weights={"adv": 1, "cam": 1}, lr=1e-3),
        g=i2i.player(lambda n: n.G, g_loss, torch.optim.Adam, weights={"adv": 1, "cam": 10}, lr=1e-3),
    )
    policy = i2i.Policy()
    state = step.init(nets, policy, None)
    losses = []
    for now in range(30):
        state, metrics = step.update(nets, state, Pair(image(2), -image(2)), i2i.Turn(policy, now))
        losses.append(float(metrics["g/cam"]))
    assert losses[-1] < 0.5 * losses[0]


def test_maps_are_in_the_order_of_the_logits() -> None:
    judge = multiscale_discriminator(3, scales=2, base_width=4, layers=2)
    verdict = attended_discriminator(judge, at=DEEPEST, channels=(16, 16))(image())
    logits, maps = ([each.shape[-1] for each in found] for found in (verdict.logits, verdict.extras["heatmap"]))
    assert [count - 1 for count in logits] == maps  # a 4x4 convolution padded by 2 lies between
    assert maps[0] > maps[1]


def test_channels_must_be_those_of_the_layer() -> None:
    with pytest.raises(CompositionError, match=r"makes \(1, 16, 8, 8\), not \(b, 8, h, w\); channels \(=8\)"):
        attended_generator(generator(), at=BOTTOM, channels=8)(image())
    with pytest.raises(SettingsError, match=r"channels \(=0\)"):
        attended_generator(generator(), at=BOTTOM, channels=0)


@pytest.mark.parametrize("at", ["model.99", "nothing", ""])
def test_a_layer_that_is_not_there_is_named(at: str) -> None:
    with pytest.raises(SettingsError, match=rf"at \(='{at}'\) is no layer of the net"):
        attended_generator(generator(), at=at, channels=16)


def test_scales_and_layers_must_go_together() -> None:
    judge = multiscale_discriminator(3, scales=2, base_width=4, layers=2)
    with pytest.raises(CompositionError, match="1 attended layers ran 1 times for a Verdict of 2 scales"):
        attended_discriminator(judge, at=DEEPEST[:1], channels=(16,))(image())
    with pytest.raises(SettingsError, match="for each scale"):
        attended_discriminator(judge, at=DEEPEST, channels=(16,))
    with pytest.raises(SettingsError, match="for each scale"):
        attended_discriminator(judge, at=(DEEPEST[0], DEEPEST[0]), channels=(16, 16))
    with pytest.raises(SettingsError, match="for each scale"):
        attended_discriminator(judge, at=DEEPEST[0], channels=16)  # type: ignore[arg-type]
