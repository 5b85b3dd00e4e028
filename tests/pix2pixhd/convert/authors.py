"""The authors' files, built from the tables of their keys, and what their networks compute, by plain functions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import i2i
from i2i.convert import convert_files
from i2i.parts import Spec

Weights = dict[str, Tensor]


# What the authors' code saves: keys and shapes, from the tables.


class File:
    """Collects the tensors of one network."""

    def __init__(self, norm: str = "instance", device: str = "cpu", seed: int = 3) -> None:
        self.weights: Weights = {}
        self._norm, self._device = norm, device
        self._draw = torch.Generator().manual_seed(seed)

    def _random(self, *shape: int) -> Tensor:
        if self._device == "meta":
            return torch.empty(shape, device="meta")
        return torch.randn(shape, generator=self._draw) * 0.3

    def conv(self, key: str, out: int, taken: int, side: int) -> None:
        self.weights[f"{key}.weight"] = self._random(out, taken, side, side)
        self.weights[f"{key}.bias"] = self._random(out)

    def up(self, key: str, taken: int, out: int) -> None:
        self.weights[f"{key}.weight"] = self._random(taken, out, 3, 3)
        self.weights[f"{key}.bias"] = self._random(out)

    def norm(self, key: str, channels: int) -> None:
        if self._norm == "batch":
            for field in ("weight", "bias", "running_mean"):
                self.weights[f"{key}.{field}"] = self._random(channels)
            self.weights[f"{key}.running_var"] = self._random(channels).abs() + 0.5
            self.weights[f"{key}.num_batches_tracked"] = torch.tensor(7, device=self._device)

    def block(self, key: str, channels: int) -> None:
        for place in (1, 5):
            self.conv(f"{key}.conv_block.{place}", channels, channels, 3)
            self.norm(f"{key}.conv_block.{place + 1}", channels)


def hourglass(file: File, taken: int, width: int, downs: int, blocks: int, made: int | None) -> Weights:
    """``model.1``, each halving 3 positions on, blocks, each doubling 3 positions on, then ``model.{last + 4}``."""
    file.conv("model.1", width, taken, 7)
    file.norm("model.2", width)
    for level in range(downs):
        file.conv(f"model.{4 + 3 * level}", width * 2 ** (level + 1), width * 2**level, 3)
        file.norm(f"model.{5 + 3 * level}", width * 2 ** (level + 1))
    at = 4 + 3 * downs
    for block in range(blocks):
        file.block(f"model.{at + block}", width * 2**downs)
    at += blocks
    for level in range(downs):
        channels = width * 2 ** (downs - level)
        file.up(f"model.{at + 3 * level}", channels, channels // 2)
        file.norm(f"model.{at + 3 * level + 1}", channels // 2)
    if made is not None:
        file.conv(f"model.{at + 3 * downs + 1}", made, width, 7)
    return file.weights


def global_file(taken: int = 36, width: int = 3, downs: int = 2, blocks: int = 2, made: int = 3, **how: Any) -> Weights:
    return hourglass(File(**how), taken, width, downs, blocks, made)


def enhancer_file(
    taken: int = 36, width: int = 2, downs: int = 1, blocks: int = 1, levels: int = 1, local: int = 2, **how: Any
) -> Weights:
    file = File(**how)
    hourglass(file, taken, width * 2**levels, downs, blocks, None)
    for n in range(1, levels + 1):
        c = width * 2 ** (levels - n)
        file.conv(f"model{n}_1.1", c, taken, 7)
        file.norm(f"model{n}_1.2", c)
        file.conv(f"model{n}_1.4", 2 * c, c, 3)
        file.norm(f"model{n}_1.5", 2 * c)
        for block in range(local):
            file.block(f"model{n}_2.{block}", 2 * c)
        file.up(f"model{n}_2.{local}", 2 * c, c)
        file.norm(f"model{n}_2.{local + 1}", c)
        if n == levels:
            file.conv(f"model{n}_2.{local + 4}", 3, c, 7)
    return file.weights


def encoder_file(taken: int = 3, width: int = 2, downs: int = 2, made: int = 3, **how: Any) -> Weights:
    return hourglass(File(**({"seed": 4} | how)), taken, width, downs, 0, made)


def judge_file(
    taken: int = 39, width: int = 2, layers: int = 3, scales: int = 2, matched: bool = True, **how: Any
) -> Weights:
    """``matched``: trained with feature matching."""
    file = File(**({"seed": 5} | how))
    widths = [taken, *(min(width * 2**layer, 512) for layer in range(layers + 1)), 1]
    for scale in range(scales):
        for layer in range(layers + 2):
            place = 0 if layer == 0 else 3 * layer - 1
            key = f"scale{scale}_layer{layer}." if matched else f"layer{scale}."
            file.conv(f"{key}{0 if matched else place}", widths[layer + 1], widths[layer], 4)
            if 0 < layer <= layers:
                file.norm(f"{key}{1 if matched else place + 1}", widths[layer + 1])
    return file.weights


# What the authors' networks compute, here in float64: rounding is not what is compared.


def conv(w: Weights, key: str, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    return functional.conv2d(x, w[f"{key}.weight"].double(), w[f"{key}.bias"].double(), stride, padding)


def normed(w: Weights, key: str, x: Tensor) -> Tensor:
    if f"{key}.running_mean" not in w:
        return functional.instance_norm(x)
    shape = (1, -1, 1, 1)
    scale, shift, mean, variance = (
        w[f"{key}.{field}"].double().view(shape) for field in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / (variance + 1e-5).sqrt() * scale + shift


def padded(x: Tensor, width: int) -> Tensor:
    return functional.pad(x, (width,) * 4, mode="reflect")


def halved(x: Tensor) -> Tensor:
    return functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False)


def first_part(w: Weights, at: str, x: Tensor) -> Tensor:
    return normed(w, f"{at}.2", conv(w, f"{at}.1", padded(x, 3))).relu()


def down(w: Weights, at: str, place: int, x: Tensor) -> Tensor:
    return normed(w, f"{at}.{place + 1}", conv(w, f"{at}.{place}", x, 2, 1)).relu()


def up(w: Weights, at: str, place: int, x: Tensor) -> Tensor:
    key = f"{at}.{place}"
    x = functional.conv_transpose2d(x, w[f"{key}.weight"].double(), w[f"{key}.bias"].double(), 2, 1, 1)
    return normed(w, f"{at}.{place + 1}", x).relu()


def block(w: Weights, key: str, x: Tensor) -> Tensor:
    y = normed(w, f"{key}.conv_block.2", conv(w, f"{key}.conv_block.1", padded(x, 1))).relu()
    return x + normed(w, f"{key}.conv_block.6", conv(w, f"{key}.conv_block.5", padded(y, 1)))


def body(w: Weights, x: Tensor, downs: int, blocks: int) -> Tensor:
    """The global network up to what makes its image."""
    x = first_part(w, "model", x)
    for level in range(downs):
        x = down(w, "model", 4 + 3 * level, x)
    at = 4 + 3 * downs
    for n in range(blocks):
        x = block(w, f"model.{at + n}", x)
    for level in range(downs):
        x = up(w, "model", at + blocks + 3 * level, x)
    return x


def whole(w: Weights, x: Tensor, downs: int, blocks: int) -> Tensor:
    last = 4 + 3 * downs + blocks + 3 * downs + 1
    return conv(w, f"model.{last}", padded(body(w, x, downs, blocks), 3)).tanh()


def enhanced(w: Weights, x: Tensor, downs: int, blocks: int, levels: int, local: int) -> Tensor:
    sizes = [x]
    for _ in range(levels):
        sizes.append(halved(sizes[-1]))
    out = body(w, sizes[levels], downs, blocks)
    for n in range(1, levels + 1):
        out = out + down(w, f"model{n}_1", 4, first_part(w, f"model{n}_1", sizes[levels - n]))
        for number in range(local):
            out = block(w, f"model{n}_2.{number}", out)
        out = up(w, f"model{n}_2", local, out)
    return conv(w, f"model{levels}_2.{local + 4}", padded(out, 3)).tanh()


def judged(w: Weights, x: Tensor, layers: int, scales: int, matched: bool) -> list[list[Tensor]]:
    """What leaves each layer, at full size first; the coarsest scale has the number 0."""
    found = []
    for scale in range(scales - 1, -1, -1):
        y, made = x, []
        for layer in range(layers + 2):
            place = 0 if layer == 0 else 3 * layer - 1
            key = f"scale{scale}_layer{layer}." if matched else f"layer{scale}."
            y = conv(w, f"{key}{0 if matched else place}", y, 2 if layer < layers else 1, 2)
            if 0 < layer <= layers:
                y = normed(w, f"{key}{1 if matched else place + 1}", y)
            if layer <= layers:
                y = functional.leaky_relu(y, 0.2)
            made.append(y)
        found.append(made)
        x = halved(x)
    return found


def one_hot(labels: Tensor, classes: int) -> Tensor:
    return (labels == torch.arange(classes).view(1, -1, 1, 1)).double()


def edges(ids: Tensor) -> Tensor:
    found = torch.zeros_like(ids, dtype=torch.bool)
    across, below = ids[..., 1:] != ids[..., :-1], ids[..., 1:, :] != ids[..., :-1, :]
    found[..., 1:] |= across
    found[..., :-1] |= across
    found[..., 1:, :] |= below
    found[..., :-1, :] |= below
    return found.double()


# Scenes and files.


def ids(most: int, *shape: int, seed: int = 0) -> Tensor:
    """Regions of 3 x 3 pixels and more."""
    b, h, w = shape
    coarse = torch.randint(most, (b, 1, -(-h // 3), -(-w // 3)), generator=torch.Generator().manual_seed(seed))
    return coarse.repeat_interleave(3, 2).repeat_interleave(3, 3)[..., :h, :w].int()


def noise(*shape: int, seed: int = 9) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def saved(folder: Path, **weights: Mapping[str, Any]) -> list[Path]:
    """``G``, ``E``, ``D`` by the authors' names."""
    paths = [folder / f"latest_net_{name}.pth" for name in weights]
    for path, held in zip(paths, weights.values(), strict=True):
        torch.save(dict(held), path)
    return paths


def converted(folder: Path, options: Mapping[str, Any] | None = None, /, **weights: Mapping[str, Any]) -> nn.Module:
    """Through the files and the folder of the model, as ``i2i convert`` and ``i2i.load``; in float64."""
    found = convert_files("pix2pixhd", saved(folder, **weights), folder / "model", options)
    return i2i.load(found[0].folder).double()


def arguments(net: Any) -> Mapping[str, Any]:
    assert isinstance(net.spec, Spec)
    return net.spec.arguments


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)  # edges and features are float32 in any net
