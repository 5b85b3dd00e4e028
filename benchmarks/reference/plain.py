"""The authors' networks, criteria and image pool as plain functions of weights by name: what tests hold ours against.

Written from a description of what their code does, in no terms of i2i; any floating-point type.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

Weights = dict[str, Tensor]
"""Parameters, and buffers where there are some, by the authors' keys."""

#: ``GAN[name](logits, real)``
GAN: Mapping[str, Callable[[Tensor, bool], Tensor]] = {
    "lsgan": lambda x, real: functional.mse_loss(x, torch.full_like(x, float(real))),
    "vanilla": lambda x, real: functional.binary_cross_entropy_with_logits(x, torch.full_like(x, float(real))),
    "wgan": lambda x, real: -x.mean() if real else x.mean(),
}


class Pool:
    """Fakes, one by one, on Python's global generator."""

    def __init__(self, size: int) -> None:
        self.size, self.images = size, list[Tensor]()

    def query(self, images: Tensor) -> Tensor:
        if self.size == 0:
            return images
        shown = []
        for image in images:
            if len(self.images) < self.size:
                self.images.append(image)
                shown.append(image)
            elif random.uniform(0, 1) > 0.5:
                slot = random.randint(0, self.size - 1)
                shown.append(self.images[slot].clone())
                self.images[slot] = image
            else:
                shown.append(image)
        return torch.stack(shown)


def conv(w: Weights, key: str, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    return functional.conv2d(x, w[f"{key}.weight"], w.get(f"{key}.bias"), stride, padding)


def up(w: Weights, key: str, x: Tensor, output_padding: int = 0) -> Tensor:
    return functional.conv_transpose2d(x, w[f"{key}.weight"], w.get(f"{key}.bias"), 2, 1, output_padding)


def norm(w: Weights, key: str, x: Tensor) -> Tensor:
    """Batch norm where there are weights for it, else instance norm; both by the statistics of the moment.

    Running statistics, where ``w`` has them, are replaced by what they are afterwards.
    """
    dims = (0, 2, 3) if f"{key}.weight" in w else (2, 3)
    mean, variance = x.mean(dims, keepdim=True), x.var(dims, unbiased=False, keepdim=True)
    y = (x - mean) / (variance + 1e-5).sqrt()
    if f"{key}.running_mean" in w:
        count = x.numel() // x.shape[1]
        for name, value in (("mean", mean), ("var", variance * count / (count - 1))):
            w[f"{key}.running_{name}"] = 0.9 * w[f"{key}.running_{name}"] + 0.1 * value.detach().flatten()
        w[f"{key}.num_batches_tracked"] = w[f"{key}.num_batches_tracked"] + 1
    return y * w[f"{key}.weight"].view(-1, 1, 1) + w[f"{key}.bias"].view(-1, 1, 1) if dims[0] == 0 else y


def leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, 0.2)


def reflected(x: Tensor, width: int) -> Tensor:
    return functional.pad(x, (width,) * 4, mode="reflect")


def resnet(w: Weights, x: Tensor) -> Tensor:
    """Two halvings, and as many blocks as there are."""
    y = norm(w, "model.2", conv(w, "model.1", reflected(x, 3))).relu()
    y = norm(w, "model.5", conv(w, "model.4", y, 2, 1)).relu()
    y = norm(w, "model.8", conv(w, "model.7", y, 2, 1)).relu()
    at = 10
    while f"model.{at}.conv_block.1.weight" in w:
        key = f"model.{at}.conv_block"
        z = norm(w, f"{key}.2", conv(w, f"{key}.1", reflected(y, 1))).relu()
        y = y + norm(w, f"{key}.6", conv(w, f"{key}.5", reflected(z, 1)))
        at += 1
    y = norm(w, f"model.{at + 1}", up(w, f"model.{at}", y, 1)).relu()
    y = norm(w, f"model.{at + 4}", up(w, f"model.{at + 3}", y, 1)).relu()
    return conv(w, f"model.{at + 7}", reflected(y, 3)).tanh()


def unet(w: Weights, x: Tensor) -> Tensor:
    """Three halvings; skips before the LeakyReLU or after it are the same, for a ReLU follows."""
    middle, inner = "model.model.1.model", "model.model.1.model.3.model"
    x1 = conv(w, "model.model.0", x, 2, 1)
    x2 = norm(w, f"{middle}.2", conv(w, f"{middle}.1", leaky(x1), 2, 1))
    y = norm(w, f"{inner}.4", up(w, f"{inner}.3", conv(w, f"{inner}.1", leaky(x2), 2, 1).relu()))
    y = norm(w, f"{middle}.6", up(w, f"{middle}.5", torch.cat((x2, y), 1).relu()))
    return up(w, "model.model.3", torch.cat((x1, y), 1).relu()).tanh()


def patch(w: Weights, x: Tensor) -> Tensor:
    """Two halvings."""
    y = leaky(conv(w, "model.0", x, 2, 1))
    y = leaky(norm(w, "model.3", conv(w, "model.2", y, 2, 1)))
    y = leaky(norm(w, "model.6", conv(w, "model.5", y, 1, 1)))
    return conv(w, "model.8", y, 1, 1)


def pixel(w: Weights, x: Tensor) -> Tensor:
    y = leaky(conv(w, "net.0", x))
    return conv(w, "net.5", leaky(norm(w, "net.3", conv(w, "net.2", y))))


def dead(name: str, net: nn.Module) -> bool:
    """Tell whether ``name`` is a bias right before an instance norm: its gradient is rounding noise."""
    module, _, kind = name.rpartition(".")
    parent, _, position = module.rpartition(".")
    layers = net.get_submodule(parent)
    after = layers[int(position) + 1] if isinstance(layers, nn.Sequential) and int(position) + 1 < len(layers) else None
    return kind == "bias" and isinstance(after, nn.InstanceNorm2d)


def draw_weights(net: nn.Module) -> None:
    """Draw weights that matter, in float64; scales of norms around 1."""
    net.double()
    with torch.no_grad():
        for name, value in net.named_parameters():
            value.normal_(1 if value.ndim == 1 and name.endswith("weight") else 0, 0.3)
