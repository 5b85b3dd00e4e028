"""The authors' CycleGAN step in plain torch: what ours is measured against.

Written from a description of what their code does: the order of operations, ReLUs in place after the norms, one pass
per image, Adam as torch builds it by default, ``requires_grad`` of the discriminators switched, an image pool drawn by
Python's ``random``. The networks have their keys, so ``load_state_dict`` works between them and those of i2i.

``G_A`` translates A to B, ``G_B`` B to A; ``D_A`` judges images of B, ``D_B`` images of A.
"""

from __future__ import annotations

import random
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CYCLE_WEIGHT, IDENTITY_WEIGHT = 10.0, 0.5


class Network(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            *(nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width), nn.ReLU(inplace=True)),
            *(nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


def generator(width: int = 64, blocks: int = 9) -> Network:
    layers = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7), nn.InstanceNorm2d(width), nn.ReLU(inplace=True)]
    for inner in (2 * width, 4 * width):
        halving = nn.Conv2d(inner // 2, inner, 3, stride=2, padding=1)
        layers += [halving, nn.InstanceNorm2d(inner), nn.ReLU(inplace=True)]
    layers += [Block(4 * width) for _ in range(blocks)]
    for outer in (2 * width, width):
        doubling = nn.ConvTranspose2d(2 * outer, outer, 3, stride=2, padding=1, output_padding=1)
        layers += [doubling, nn.InstanceNorm2d(outer), nn.ReLU(inplace=True)]
    return Network(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh())


def discriminator(width: int = 64) -> Network:
    layers = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
    for inner, stride in ((2 * width, 2), (4 * width, 2), (8 * width, 1)):
        conv = nn.Conv2d(inner // 2, inner, 4, stride=stride, padding=1)
        layers += [conv, nn.InstanceNorm2d(inner), nn.LeakyReLU(0.2, inplace=True)]
    return Network(*layers, nn.Conv2d(8 * width, 1, 4, padding=1))


class Pool:
    def __init__(self, size: int = 50) -> None:
        self.size = size
        self.images: list[Tensor] = []

    def query(self, images: Tensor) -> Tensor:
        shown = []
        for image in images.detach():
            if len(self.images) < self.size:
                self.images.append(image)
            elif random.uniform(0, 1) > 0.5:
                slot = random.randint(0, self.size - 1)
                image, self.images[slot] = self.images[slot].clone(), image
            shown.append(image)
        return torch.stack(shown)


class CycleGAN:
    """Call it with a batch of each domain ``(b, 3, h, w)``: trains one step, returns the eight losses, weighted."""

    def __init__(self, width: int = 64, blocks: int = 9, lr: float = 2e-4) -> None:
        self.G_A, self.G_B = generator(width, blocks), generator(width, blocks)
        self.D_A, self.D_B = discriminator(width), discriminator(width)
        self.of_D = [*self.D_A.parameters(), *self.D_B.parameters()]
        of_G = chain(self.G_A.parameters(), self.G_B.parameters())
        self.adam_G = torch.optim.Adam(of_G, lr=lr, betas=(0.5, 0.999))
        self.adam_D = torch.optim.Adam(self.of_D, lr=lr, betas=(0.5, 0.999))
        self.pool_A, self.pool_B = Pool(), Pool()

    def __call__(self, real_A: Tensor, real_B: Tensor) -> dict[str, Tensor]:
        fake_B = self.G_A(real_A)
        rec_A = self.G_B(fake_B)
        fake_A = self.G_B(real_B)
        rec_B = self.G_A(fake_A)

        self._require_gradients_of_D(False)
        self.adam_G.zero_grad()
        losses = {
            "idt_A": F.l1_loss(self.G_A(real_B), real_B) * CYCLE_WEIGHT * IDENTITY_WEIGHT,
            "idt_B": F.l1_loss(self.G_B(real_A), real_A) * CYCLE_WEIGHT * IDENTITY_WEIGHT,
            "G_A": _adversarial(self.D_A(fake_B), 1.0),
            "G_B": _adversarial(self.D_B(fake_A), 1.0),
            "cycle_A": F.l1_loss(rec_A, real_A) * CYCLE_WEIGHT,
            "cycle_B": F.l1_loss(rec_B, real_B) * CYCLE_WEIGHT,
        }
        sum(losses.values()).backward()
        self.adam_G.step()

        self._require_gradients_of_D(True)
        self.adam_D.zero_grad()
        losses["D_A"] = _judge(self.D_A, real_B, self.pool_B.query(fake_B))
        losses["D_B"] = _judge(self.D_B, real_A, self.pool_A.query(fake_A))
        self.adam_D.step()
        return losses

    def _require_gradients_of_D(self, wanted: bool) -> None:
        for parameter in self.of_D:
            parameter.requires_grad = wanted


def _adversarial(logits: Tensor, target: float) -> Tensor:
    return F.mse_loss(logits, torch.tensor(target, device=logits.device).expand_as(logits))


def _judge(D: Network, real: Tensor, fake: Tensor) -> Tensor:
    loss = (_adversarial(D(real), 1.0) + _adversarial(D(fake.detach()), 0.0)) * 0.5
    loss.backward()
    return loss
