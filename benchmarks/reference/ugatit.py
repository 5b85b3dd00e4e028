"""The authors' U-GAT-IT step in plain torch: what ours is measured against.

Written from a description of what their PyTorch code does, in the order of their operations: padding in layers of its
own, AdaILN and ILN by two passes of mean and variance each, feature maps times rows of weights, joined and fused by a
1x1 convolution, legacy spectral norm, fakes made again in both steps and never detached, gradients of the networks at
rest computed and wiped, rho clipped by a walk over modules, Adam as torch builds it by default. The networks have their
keys and are made in their order, so one seed gives their weights.
"""

from __future__ import annotations

from itertools import chain
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

EPS = 1e-5


class Seen(NamedTuple):
    """What a network returns: an image or a map of judgements, the two logits of attention, the map of attention."""

    out: Tensor
    logits: Tensor
    heatmap: Tensor


# Layers.


def instance_normed(x: Tensor) -> Tensor:
    mean, variance = torch.mean(x, dim=(2, 3), keepdim=True), torch.var(x, dim=(2, 3), keepdim=True)
    return (x - mean) / torch.sqrt(variance + EPS)


def layer_normed(x: Tensor) -> Tensor:
    mean, variance = torch.mean(x, dim=(1, 2, 3), keepdim=True), torch.var(x, dim=(1, 2, 3), keepdim=True)
    return (x - mean) / torch.sqrt(variance + EPS)


def mixed(x: Tensor, rho: Tensor) -> Tensor:
    share = rho.expand(len(x), -1, -1, -1)
    return share * instance_normed(x) + (1 - share) * layer_normed(x)


class AdaILN(nn.Module):
    """Instance and layer norm mixed by rho; scale and shift are given."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.full((1, width, 1, 1), 0.9))

    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        return mixed(x, self.rho) * gamma[:, :, None, None] + beta[:, :, None, None]


class ILN(nn.Module):
    """Instance and layer norm mixed by rho, with scale and shift of its own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.gamma = nn.Parameter(torch.ones(1, width, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        batch = len(x)
        return mixed(x, self.rho) * self.gamma.expand(batch, -1, -1, -1) + self.beta.expand(batch, -1, -1, -1)


def padded_conv(before: int, after: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [nn.ReflectionPad2d(kernel // 2), nn.Conv2d(before, after, kernel, stride, bias=False)]


class Block(nn.Module):
    """Residual block of the encoder."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first = [*padded_conv(width, width, 3), nn.InstanceNorm2d(width), nn.ReLU(inplace=True)]
        self.conv_block = nn.Sequential(*first, *padded_conv(width, width, 3), nn.InstanceNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class AdaptiveBlock(nn.Module):
    """Residual block of the decoder."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pad1, self.conv1 = padded_conv(width, width, 3)
        self.norm1 = AdaILN(width)
        self.relu1 = nn.ReLU(inplace=True)
        self.pad2, self.conv2 = padded_conv(width, width, 3)
        self.norm2 = AdaILN(width)

    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        y = self.relu1(self.norm1(self.conv1(self.pad1(x)), gamma, beta))
        return self.norm2(self.conv2(self.pad2(y)), gamma, beta) + x


def attended(x: Tensor, gap_fc: nn.Module, gmp_fc: nn.Module) -> tuple[Tensor, Tensor]:
    """The features weighted by the first parameter of either layer, joined, and the logits of both.

    Under legacy spectral norm the first parameter is the weight before it is normalised; the logits come of that after.
    """
    features, logits = [], []
    for fc, pooled in ((gap_fc, F.adaptive_avg_pool2d(x, 1)), (gmp_fc, F.adaptive_max_pool2d(x, 1))):
        logits.append(fc(pooled.view(len(x), -1)))
        row = next(fc.parameters())
        features.append(x * row[:, :, None, None])
    return torch.cat(features, 1), torch.cat(logits, 1)


# Networks.


class Generator(nn.Module):
    """``size`` is that of the squares which the full head (``light=False``) is made for; the light one takes any."""

    def __init__(
        self, width: int = 64, blocks: int = 4, size: int = 256, light: bool = True, channels: int = 3
    ) -> None:
        super().__init__()
        self.blocks, self.light = blocks, light
        deep = 4 * width
        down: list[nn.Module] = []
        stages = ((channels, width, 7, 1), (width, 2 * width, 3, 2), (2 * width, deep, 3, 2))
        for before, after, kernel, stride in stages:
            down += [*padded_conv(before, after, kernel, stride), nn.InstanceNorm2d(after), nn.ReLU(inplace=True)]
        self.DownBlock = nn.Sequential(*down, *(Block(deep) for _ in range(blocks)))
        self.gap_fc = nn.Linear(deep, 1, bias=False)
        self.gmp_fc = nn.Linear(deep, 1, bias=False)
        self.conv1x1 = nn.Conv2d(2 * deep, deep, 1)
        self.relu = nn.ReLU(inplace=True)
        read = deep if light else size // 4 * size // 4 * deep
        first = [nn.Linear(read, deep, bias=False), nn.ReLU(inplace=True)]
        self.FC = nn.Sequential(*first, nn.Linear(deep, deep, bias=False), nn.ReLU(inplace=True))
        self.gamma = nn.Linear(deep, deep, bias=False)
        self.beta = nn.Linear(deep, deep, bias=False)
        for number in range(1, blocks + 1):
            setattr(self, f"UpBlock1_{number}", AdaptiveBlock(deep))
        up: list[nn.Module] = []
        for before in (deep, 2 * width):
            up += [nn.Upsample(scale_factor=2, mode="nearest"), *padded_conv(before, before // 2, 3)]
            up += [ILN(before // 2), nn.ReLU(inplace=True)]
        self.UpBlock2 = nn.Sequential(*up, *padded_conv(width, channels, 7), nn.Tanh())

    def forward(self, x: Tensor) -> Seen:
        features, logits = attended(self.DownBlock(x), self.gap_fc, self.gmp_fc)
        y = self.relu(self.conv1x1(features))
        heatmap = torch.sum(y, dim=1, keepdim=True)
        read = F.adaptive_avg_pool2d(y, 1) if self.light else y
        styles = self.FC(read.view(len(y), -1))
        gamma, beta = self.gamma(styles), self.beta(styles)
        for number in range(1, self.blocks + 1):
            y = getattr(self, f"UpBlock1_{number}")(y, gamma, beta)
        return Seen(self.UpBlock2(y), logits, heatmap)


class Discriminator(nn.Module):
    """``layers - 2`` halvings and one layer of stride 1, the attention, and the head; theirs are of 7 and of 5."""

    def __init__(self, layers: int, width: int = 64, channels: int = 3) -> None:
        super().__init__()
        model: list[nn.Module] = []
        before, after = channels, width
        for layer in range(layers - 1):
            conv = nn.Conv2d(before, after, 4, 1 if layer == layers - 2 else 2)
            model += [nn.ReflectionPad2d(1), spectral_norm(conv), nn.LeakyReLU(0.2, inplace=True)]
            before, after = after, 2 * after
        self.model = nn.Sequential(*model)
        self.gap_fc = spectral_norm(nn.Linear(before, 1, bias=False))
        self.gmp_fc = spectral_norm(nn.Linear(before, 1, bias=False))
        self.conv1x1 = nn.Conv2d(2 * before, before, 1)
        self.leaky_relu = nn.LeakyReLU(0.2, inplace=True)
        self.pad = nn.ReflectionPad2d(1)
        self.conv = spectral_norm(nn.Conv2d(before, 1, 4, bias=False))

    def forward(self, x: Tensor) -> Seen:
        features, logits = attended(self.model(x), self.gap_fc, self.gmp_fc)
        y = self.leaky_relu(self.conv1x1(features))
        heatmap = torch.sum(y, dim=1, keepdim=True)
        return Seen(self.conv(self.pad(y)), logits, heatmap)


# The step.


def squares(judged: Tensor, real: bool) -> Tensor:
    return F.mse_loss(judged, torch.ones_like(judged) if real else torch.zeros_like(judged))


def entropy(logits: Tensor, real: bool) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits) if real else torch.zeros_like(logits))


def clip_rho(module: nn.Module) -> None:
    """For ``net.apply``."""
    if hasattr(module, "rho"):
        module.rho.data = module.rho.data.clamp(0, 1)


class Step:
    """Six networks, made in the authors' order, and what trains them.

    Args:
        layers: of the global and of the local discriminators.
        adversarial: weight of the terms of the discriminators, in both losses; as the others theirs.
    """

    def __init__(
        self,
        *,
        width: int = 64,
        blocks: int = 4,
        size: int = 256,
        light: bool = True,
        channels: int = 3,
        layers: tuple[int, int] = (7, 5),
        discriminator_width: int | None = None,
        lr: float = 1e-4,
        weight_decay: float = 1e-4,
        adversarial: float = 1,
        cycle: float = 10,
        identity: float = 10,
        cam: float = 1000,
    ) -> None:
        self.lr = lr
        self.adversarial, self.cycle, self.identity, self.cam = adversarial, cycle, identity, cam
        judge_width = width if discriminator_width is None else discriminator_width
        self.genA2B = Generator(width, blocks, size, light, channels)
        self.genB2A = Generator(width, blocks, size, light, channels)
        self.disGA = Discriminator(layers[0], judge_width, channels)
        self.disGB = Discriminator(layers[0], judge_width, channels)
        self.disLA = Discriminator(layers[1], judge_width, channels)
        self.disLB = Discriminator(layers[1], judge_width, channels)
        generators = chain(self.genA2B.parameters(), self.genB2A.parameters())
        discriminators = chain(*(net.parameters() for net in (self.disGA, self.disGB, self.disLA, self.disLB)))
        self.adam_G = torch.optim.Adam(generators, lr=lr, betas=(0.5, 0.999), weight_decay=weight_decay)
        self.adam_D = torch.optim.Adam(discriminators, lr=lr, betas=(0.5, 0.999), weight_decay=weight_decay)

    def nets(self) -> dict[str, nn.Module]:
        """The six by the authors' names, which are the keys of their checkpoints, in the order of their making."""
        names = ("genA2B", "genB2A", "disGA", "disGB", "disLA", "disLB")
        return {name: getattr(self, name) for name in names}

    def judges(self) -> dict[str, nn.Module]:
        return {"GA": self.disGA, "LA": self.disLA, "GB": self.disGB, "LB": self.disLB}

    def set_rate(self, step: int, iteration: int) -> None:
        """Before step ``step``, counted from 1, of ``iteration``."""
        if step > iteration // 2:
            for adam in (self.adam_G, self.adam_D):
                adam.param_groups[0]["lr"] -= self.lr / (iteration // 2)

    def update(self, real_a: Tensor, real_b: Tensor) -> dict[str, Tensor]:
        """Train on one pair of batches; return the terms without their weights, and ``d_loss`` and ``g_loss`` with."""
        return {**self.update_discriminators(real_a, real_b), **self.update_generators(real_a, real_b)}

    def discriminator_losses(self, real_a: Tensor, real_b: Tensor) -> dict[str, Tensor]:
        """``d_GA`` and ``d_GA_cam``, ...: those of the real batch and of the fake one, added."""
        fake_b, fake_a = self.genA2B(real_a).out, self.genB2A(real_b).out
        on_real = {name: net(real_a if name[1] == "A" else real_b) for name, net in self.judges().items()}
        on_fake = {name: net(fake_a if name[1] == "A" else fake_b) for name, net in self.judges().items()}
        losses = {}
        for name, real in on_real.items():
            fake = on_fake[name]
            losses[f"d_{name}"] = squares(real.out, True) + squares(fake.out, False)
            losses[f"d_{name}_cam"] = squares(real.logits, True) + squares(fake.logits, False)
        d_loss = self.adversarial * self.judged(losses, "d", "A") + self.adversarial * self.judged(losses, "d", "B")
        return {**losses, "d_loss": d_loss}

    def generator_losses(self, real_a: Tensor, real_b: Tensor) -> dict[str, Tensor]:
        """``g_GA`` and ``g_GA_cam``, ..., ``cycle_A``, ``identity_A``, ``cam_A``, ...: A is what genB2A makes."""
        fake_b, logits_b, _ = self.genA2B(real_a)
        fake_a, logits_a, _ = self.genB2A(real_b)
        again_a = self.genB2A(fake_b).out
        again_b = self.genA2B(fake_a).out
        same_a, same_logits_a, _ = self.genB2A(real_a)
        same_b, same_logits_b, _ = self.genA2B(real_b)
        losses = {}
        for name, net in self.judges().items():
            judged = net(fake_a if name[1] == "A" else fake_b)
            losses[f"g_{name}"] = squares(judged.out, True)
            losses[f"g_{name}_cam"] = squares(judged.logits, True)
        losses["cycle_A"], losses["cycle_B"] = F.l1_loss(again_a, real_a), F.l1_loss(again_b, real_b)
        losses["identity_A"], losses["identity_B"] = F.l1_loss(same_a, real_a), F.l1_loss(same_b, real_b)
        losses["cam_A"] = entropy(logits_a, True) + entropy(same_logits_a, False)
        losses["cam_B"] = entropy(logits_b, True) + entropy(same_logits_b, False)
        totals = []
        for domain in "AB":
            total = self.adversarial * self.judged(losses, "g", domain) + self.cycle * losses[f"cycle_{domain}"]
            total = total + self.identity * losses[f"identity_{domain}"] + self.cam * losses[f"cam_{domain}"]
            totals.append(total)
        return {**losses, "g_loss": totals[0] + totals[1]}

    @staticmethod
    def judged(losses: dict[str, Tensor], of: str, domain: str) -> Tensor:
        """The four terms of two discriminators, added in the authors' order."""
        whole, local = f"{of}_G{domain}", f"{of}_L{domain}"
        return losses[whole] + losses[f"{whole}_cam"] + losses[local] + losses[f"{local}_cam"]

    def update_discriminators(self, real_a: Tensor, real_b: Tensor) -> dict[str, Tensor]:
        """The gradients of the generators are computed too, and wiped by the other half."""
        self.adam_D.zero_grad()
        losses = self.discriminator_losses(real_a, real_b)
        losses["d_loss"].backward()
        self.adam_D.step()
        return {name: value.detach() for name, value in losses.items()}

    def update_generators(self, real_a: Tensor, real_b: Tensor) -> dict[str, Tensor]:
        self.adam_G.zero_grad()
        losses = self.generator_losses(real_a, real_b)
        losses["g_loss"].backward()
        self.adam_G.step()
        self.genA2B.apply(clip_rho)
        self.genB2A.apply(clip_rho)
        return {name: value.detach() for name, value in losses.items()}
