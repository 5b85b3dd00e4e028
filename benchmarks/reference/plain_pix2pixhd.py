"""The authors' pix2pixHD networks as plain functions of weights by name: what tests hold ours against.

Written from a description of what their code does, in no terms of i2i; any floating-point type.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.reference.plain import Weights, conv, leaky, norm, reflected, up


def one_hot(labels: Tensor, classes: int, dtype: torch.dtype = torch.float64) -> Tensor:
    b, _, h, w = labels.shape
    return torch.zeros(b, classes, h, w, dtype=dtype).scatter_(1, labels.long(), 1.0)


def pooled(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)


def block(w: Weights, key: str, x: Tensor) -> Tensor:
    y = norm(w, f"{key}.2", conv(w, f"{key}.1", reflected(x, 1))).relu()
    return x + norm(w, f"{key}.6", conv(w, f"{key}.5", reflected(y, 1)))


def trunk(w: Weights, x: Tensor, downs: int) -> tuple[Tensor, int]:
    """The global network without its last three layers, and the position of the first of these."""
    y = norm(w, "model.2", conv(w, "model.1", reflected(x, 3))).relu()
    at = 4
    for _ in range(downs):
        y = norm(w, f"model.{at + 1}", conv(w, f"model.{at}", y, 2, 1)).relu()
        at += 3
    while f"model.{at}.conv_block.1.weight" in w:
        y = block(w, f"model.{at}.conv_block", y)
        at += 1
    for _ in range(downs):
        y = norm(w, f"model.{at + 1}", up(w, f"model.{at}", y, 1)).relu()
        at += 3
    return y, at


def global_generator(w: Weights, x: Tensor, downs: int = 4) -> Tensor:
    """Of joined channels; with no blocks it is the encoder before it pools."""
    y, at = trunk(w, x, downs)
    return conv(w, f"model.{at + 1}", reflected(y, 3)).tanh()


def local_enhancer(w: Weights, x: Tensor, downs: int = 4) -> Tensor:
    enhancers = sum(f"model{n}_1.1.weight" in w for n in range(1, 10))
    sizes = [x]
    for _ in range(enhancers):
        sizes.append(pooled(sizes[-1]))
    y, _ = trunk(w, sizes[enhancers], downs)
    for n in range(1, enhancers + 1):
        first, second = f"model{n}_1", f"model{n}_2"
        z = norm(w, f"{first}.2", conv(w, f"{first}.1", reflected(sizes[enhancers - n], 3))).relu()
        y = y + norm(w, f"{first}.5", conv(w, f"{first}.4", z, 2, 1)).relu()
        at = 0
        while f"{second}.{at}.conv_block.1.weight" in w:
            y = block(w, f"{second}.{at}.conv_block", y)
            at += 1
        y = norm(w, f"{second}.{at + 1}", up(w, f"{second}.{at}", y, 1)).relu()
    return conv(w, f"{second}.{at + 4}", reflected(y, 3)).tanh()


def discriminator(w: Weights, x: Tensor) -> list[list[Tensor]]:
    """Per scale, full size first: what leaves each layer, the logits last."""
    scales = sum(f"scale{s}_layer0.0.weight" in w for s in range(10))
    layers = sum(f"scale0_layer{layer}.0.weight" in w for layer in range(20)) - 2
    results = []
    for scale in range(scales - 1, -1, -1):
        key = f"scale{scale}_layer"
        y = leaky(conv(w, f"{key}0.0", x, 2, 2))
        found = [y]
        for layer in range(1, layers + 1):
            stride = 1 if layer == layers else 2
            y = leaky(norm(w, f"{key}{layer}.1", conv(w, f"{key}{layer}.0", y, stride, 2)))
            found.append(y)
        results.append([*found, conv(w, f"{key}{layers + 1}.0", y, 1, 2)])
        x = pooled(x)
    return results


def region_means(values: Tensor, ids: Tensor) -> Tensor:
    """Every pixel replaced by the mean over its sample's pixels of the same id."""
    result = torch.zeros_like(values)
    for sample, map in enumerate(ids[:, 0]):
        for id in map.unique().tolist():
            inside = map == id
            mean = values[sample][:, inside].mean(1)
            result[sample] = torch.where(inside, mean[:, None, None], result[sample])
    return result
