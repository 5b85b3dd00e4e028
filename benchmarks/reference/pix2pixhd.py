"""The authors' pix2pixHD step in plain torch: what ours is measured against.

Written from a description of what their code does, in the order of their operations: one-hot maps by scatter,
boundaries by four passes, ReLUs in place after the norms, the discriminator three times, its gradients of the
generator's loss computed and thrown away, objects pooled by loops, Adam as torch builds it by default. The networks
have their keys, so ``load_state_dict`` works between them and those of i2i.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

MATCHING_WEIGHT = 10.0
VGG_WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512)  # 0: pooled
VGG_SLICES = ((0, 2), (2, 7), (7, 12), (12, 21), (21, 30))
VGG_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)


# Networks.


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            *(nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width), nn.ReLU(inplace=True)),
            *(nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


def normed(layer: nn.Module, width: int) -> list[nn.Module]:
    return [layer, nn.InstanceNorm2d(width), nn.ReLU(inplace=True)]


def first(channels: int, width: int) -> list[nn.Module]:
    return [nn.ReflectionPad2d(3), *normed(nn.Conv2d(channels, width, 7), width)]


def halving(width: int) -> list[nn.Module]:
    return normed(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), 2 * width)


def doubling(width: int) -> list[nn.Module]:
    layer = nn.ConvTranspose2d(2 * width, width, 3, stride=2, padding=1, output_padding=1)
    return normed(layer, width)


def last(width: int, channels: int) -> list[nn.Module]:
    return [nn.ReflectionPad2d(3), nn.Conv2d(width, channels, 7), nn.Tanh()]


class GlobalNetwork(nn.Module):
    """G1; without blocks, E before it pools."""

    def __init__(self, channels: int, out: int, width: int, downs: int, blocks: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(downs)]
        layers = first(channels, width)
        for level in widths:
            layers += halving(level)
        layers += [Block(width * 2**downs) for _ in range(blocks)]
        for level in reversed(widths):
            layers += doubling(level)
        self.model = nn.Sequential(*layers, *last(width, out))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class LocalNetwork(nn.Module):
    """One enhancer around G1."""

    def __init__(self, channels: int, out: int, width: int, downs: int, blocks: int, local_blocks: int) -> None:
        super().__init__()
        whole = GlobalNetwork(channels, out, 2 * width, downs, blocks).model
        self.model = nn.Sequential(*list(whole)[:-3])
        self.model1_1 = nn.Sequential(*first(channels, width), *halving(width))
        blocks_here = [Block(2 * width) for _ in range(local_blocks)]
        self.model1_2 = nn.Sequential(*blocks_here, *doubling(width), *last(width, out))
        self.downsample = nn.AvgPool2d(3, stride=2, padding=[1, 1], count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        below = self.model(self.downsample(x))
        return self.model1_2(self.model1_1(x) + below)


class Discriminator(nn.Module):
    def __init__(self, channels: int, width: int, layers: int, scales: int) -> None:
        super().__init__()
        self.layers, self.scales = layers, scales
        widths = [width]
        for _ in range(layers):
            widths.append(min(2 * widths[-1], 512))
        for scale in range(scales):
            groups = [nn.Sequential(nn.Conv2d(channels, width, 4, 2, 2), nn.LeakyReLU(0.2, inplace=True))]
            for layer, (before, after) in enumerate(pairwise(widths), 1):
                step = nn.Conv2d(before, after, 4, 1 if layer == layers else 2, 2)
                groups.append(nn.Sequential(step, nn.InstanceNorm2d(after), nn.LeakyReLU(0.2, inplace=True)))
            groups.append(nn.Sequential(nn.Conv2d(widths[-1], 1, 4, 1, 2)))
            for layer, group in enumerate(groups):
                setattr(self, f"scale{scale}_layer{layer}", group)
        self.downsample = nn.AvgPool2d(3, stride=2, padding=[1, 1], count_include_pad=False)

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        results = []
        for scale in reversed(range(self.scales)):
            found = [x]
            for layer in range(self.layers + 2):
                found.append(getattr(self, f"scale{scale}_layer{layer}")(found[-1]))
            results.append(found[1:])
            if scale:
                x = self.downsample(x)
        return results


class Vgg(nn.Module):
    """The convolutions of torchvision's VGG19, under its keys."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in VGG_WIDTHS:
            if width:
                layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU(inplace=True)]
                before = width
            else:
                layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for start, stop in VGG_SLICES:
            x = self.features[start:stop](x)
            found.append(x)
        return found


# The step.


class Pix2pixHD:
    """Call it with a batch: trains one step, returns the losses under the authors' names, weighted as they log them.

    Args:
        labels: classes.
        edges: draw boundaries of instances.
        features: of the encoder; 0: no encoder.
        local: the enhancer around the global network; ``width`` is then its own.
        vgg: the perceptual loss.
    """

    def __init__(
        self,
        *,
        labels: int = 35,
        edges: bool = True,
        features: int = 0,
        local: bool = False,
        vgg: nn.Module | None = None,
        width: int = 64,
        downs: int = 4,
        blocks: int = 9,
        local_blocks: int = 3,
        encoder_width: int = 16,
        encoder_downs: int = 4,
        discriminator_width: int = 64,
        layers: int = 3,
        scales: int = 2,
        lr: float = 2e-4,
    ) -> None:
        self.labels, self.edges, self.layers, self.scales, self.vgg = labels, edges, layers, scales, vgg
        scene = labels + edges
        self.G: nn.Module = (
            LocalNetwork(scene + features, 3, width, downs, blocks, local_blocks)
            if local
            else GlobalNetwork(scene + features, 3, width, downs, blocks)
        )
        self.E = GlobalNetwork(3, features, encoder_width, encoder_downs, 0) if features else None
        self.D = Discriminator(scene + 3, discriminator_width, layers, scales)
        of_G = [*self.G.parameters(), *([] if self.E is None else self.E.parameters())]
        self.adam_G = torch.optim.Adam(of_G, lr=lr, betas=(0.5, 0.999))
        self.adam_D = torch.optim.Adam(self.D.parameters(), lr=lr, betas=(0.5, 0.999))

    def nets(self) -> list[nn.Module]:
        return [self.G, self.D, *([] if self.E is None else [self.E])]

    def losses(self, labels: Tensor, instances: Tensor, image: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """One pass that computes everything: the losses, and the fake."""
        scene = self.encoded(labels, instances, image.dtype)
        read = scene
        if self.E is not None:
            read = torch.cat((scene, looped_means(self.E(image), instances)), dim=1)
        fake = self.G(read)
        of_fake = self.D(torch.cat((scene, fake.detach()), dim=1))
        of_real = self.D(torch.cat((scene, image.detach()), dim=1))
        again = self.D(torch.cat((scene, fake), dim=1))
        losses = {"D_fake": adversarial(of_fake, 0.0), "D_real": adversarial(of_real, 1.0)}
        losses["G_GAN"] = adversarial(again, 1.0)
        losses["G_GAN_Feat"] = self.matching(again, of_real)
        if self.vgg is not None:
            made, wanted = self.vgg(fake), self.vgg(image)
            terms = zip(VGG_WEIGHTS, made, wanted, strict=True)
            losses["G_VGG"] = sum(w * F.l1_loss(x, y.detach()) for w, x, y in terms) * MATCHING_WEIGHT
        return losses, fake

    def __call__(self, labels: Tensor, instances: Tensor, image: Tensor) -> dict[str, Tensor]:
        losses, _ = self.losses(labels, instances, image)
        of_D = (losses["D_fake"] + losses["D_real"]) * 0.5
        of_G = losses["G_GAN"] + losses["G_GAN_Feat"] + losses.get("G_VGG", 0)
        self.adam_G.zero_grad()
        of_G.backward()
        self.adam_G.step()
        self.adam_D.zero_grad()
        of_D.backward()
        self.adam_D.step()
        return {name: value.detach() for name, value in losses.items()}

    def encoded(self, labels: Tensor, instances: Tensor, dtype: torch.dtype) -> Tensor:
        b, _, h, w = labels.shape
        maps = torch.zeros(b, self.labels, h, w, dtype=dtype, device=labels.device).scatter_(1, labels.long(), 1.0)
        return torch.cat((maps, drawn_edges(instances).to(dtype)), dim=1) if self.edges else maps

    def matching(self, fake: list[list[Tensor]], real: list[list[Tensor]]) -> Tensor:
        total = torch.zeros(1, dtype=fake[0][0].dtype, device=fake[0][0].device)
        per_layer, per_scale = 4.0 / (self.layers + 1), 1.0 / self.scales
        for scale in range(self.scales):
            for x, y in zip(fake[scale][:-1], real[scale][:-1], strict=True):
                total = total + per_scale * per_layer * F.l1_loss(x, y.detach()) * MATCHING_WEIGHT
        return total[0]


def adversarial(judged: Sequence[Sequence[Tensor]], target: float) -> Tensor:
    total: Tensor | float = 0
    for maps in judged:
        total = total + F.mse_loss(maps[-1], torch.full_like(maps[-1], target))
    assert isinstance(total, Tensor)
    return total


def drawn_edges(instances: Tensor) -> Tensor:
    edge = torch.zeros(instances.shape, dtype=torch.bool, device=instances.device)
    edge[..., :, 1:] = edge[..., :, 1:] | (instances[..., :, 1:] != instances[..., :, :-1])
    edge[..., :, :-1] = edge[..., :, :-1] | (instances[..., :, 1:] != instances[..., :, :-1])
    edge[..., 1:, :] = edge[..., 1:, :] | (instances[..., 1:, :] != instances[..., :-1, :])
    edge[..., :-1, :] = edge[..., :-1, :] | (instances[..., 1:, :] != instances[..., :-1, :])
    return edge.float()


def looped_means(outputs: Tensor, instances: Tensor) -> Tensor:
    """By id, sample and channel; reads the ids from the device, as the authors do."""
    means = outputs.clone()
    for id in np.unique(instances.cpu().numpy().astype(int)):
        for sample in range(len(outputs)):
            at = (instances[sample : sample + 1] == int(id)).nonzero()
            for channel in range(outputs.shape[1]):
                place = (at[:, 0] + sample, at[:, 1] + channel, at[:, 2], at[:, 3])
                values = outputs[place]
                means[place] = values.mean().expand_as(values)
    return means
