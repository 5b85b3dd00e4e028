"""The authors' files: built here from the tables of their keys, and computed here by plain functions."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import i2i
from i2i.cli import main
from i2i.convert import convert_files
from i2i.errors import I2IError, ModelError, SettingsError
from i2i.parts import Spec
from i2i.pixels import PixelFormat
from i2i_pix2pixhd.convert import Scene, convert, recognised
from i2i_pix2pixhd.scene import SceneGenerator

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


def test_the_files_built_here_have_the_published_keys() -> None:
    def keys(*places: str) -> set[str]:
        return {f"{place}.{field}" for place in places for field in ("weight", "bias")}

    blocks = [f"model.{n}.conv_block.{place}" for n in range(16, 25) for place in (1, 5)]
    whole = keys(*(f"model.{n}" for n in (1, 4, 7, 10, 13, 25, 28, 31, 34)), *blocks)
    first = global_file(width=1, downs=4, blocks=9)
    assert set(first) == whole | keys("model.38")
    assert len(first) == 56
    local = [f"model1_2.{n}.conv_block.{place}" for n in range(3) for place in (1, 5)]
    second = enhancer_file(width=1, downs=4, blocks=9, local=3)
    assert set(second) == whole | keys("model1_1.1", "model1_1.4", *local, "model1_2.3", "model1_2.7")
    assert len(second) == 74
    assert set(encoder_file(width=1, downs=4)) == keys(*(f"model.{n}" for n in (1, 4, 7, 10, 13, 16, 19, 22, 25, 29)))
    assert set(judge_file(width=1)) == keys(*(f"scale{s}_layer{layer}.0" for s in (0, 1) for layer in range(5)))
    assert set(judge_file(width=1, matched=False)) == keys(
        *(f"layer{s}.{place}" for s in (0, 1) for place in (0, 2, 5, 8, 11))
    )


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


pytestmark = pytest.mark.filterwarnings("ignore:.*taken to be")


@pytest.mark.parametrize(("norm", "downs", "blocks"), [("instance", 2, 2), ("batch", 2, 1), ("instance", 3, 3)])
def test_a_global_generator_computes_what_the_authors_does(tmp_path, norm, downs, blocks):
    w = global_file(36, 3, downs, blocks, norm=norm)
    labels, instances = ids(35, 2, 16, 24), ids(40000, 2, 16, 24, seed=1)
    net = converted(tmp_path, G=w)
    assert isinstance(net, SceneGenerator)
    assert arguments(net) == {"generator": net.generator, "encoder": None, "boundaries": True, "palette": None}
    wanted = {"in_channels": 1, "labels": 35, "out_channels": 3, "base_width": 3, "downs": downs, "blocks": blocks}
    assert arguments(net.generator) == arguments(net.generator) | wanted | {"norm": norm}
    close(net(labels, instances).image, whole(w, torch.cat([one_hot(labels, 35), edges(instances)], 1), downs, blocks))


@pytest.mark.parametrize(
    ("norm", "levels", "local"), [("instance", 1, 3), ("batch", 1, 1), ("instance", 2, 2), ("batch", 2, 2)]
)
def test_local_enhancers_compute_what_the_authors_do(tmp_path, norm, levels, local):
    w = enhancer_file(13, 2, 1, 1, levels, local, norm=norm)
    labels, instances = ids(12, 1, 16, 24), ids(9, 1, 16, 24, seed=1)
    net = converted(tmp_path, G=w)
    assert isinstance(net, SceneGenerator)
    wanted = {"in_channels": 1, "labels": 12, "base_width": 2, "downs": 1, "blocks": 1, "enhancers": levels}
    assert arguments(net.generator) == arguments(net.generator) | wanted | {"local_blocks": local, "norm": norm}
    x = torch.cat([one_hot(labels, 12), edges(instances)], 1)
    close(net(labels, instances).image, enhanced(w, x, 1, 1, levels, local))


@pytest.mark.parametrize("matched", [True, False])
@pytest.mark.parametrize(
    ("norm", "layers", "scales"), [("instance", 3, 2), ("batch", 3, 3), ("instance", 1, 1), ("batch", 2, 2)]
)
def test_discriminators_of_both_layouts_compute_what_the_authors_do(tmp_path, norm, layers, scales, matched):
    w = judge_file(16, 2, layers, scales, matched, norm=norm)
    labels, instances, image = ids(12, 1, 33, 38), ids(9, 1, 33, 38, seed=1), noise(1, 3, 33, 38)
    net = converted(tmp_path, D=w)
    wanted = {"in_channels": 4, "labels": 12, "base_width": 2, "layers": layers, "scales": scales, "norm": norm}
    assert arguments(net) == arguments(net) | wanted
    verdict = net(torch.cat([edges(instances), image], 1), labels)
    expected = judged(w, torch.cat([one_hot(labels, 12), edges(instances), image], 1), layers, scales, matched)
    assert [len(maps) for maps in verdict.features] == [layers + 1] * scales
    for logits, maps, wanted_maps in zip(verdict.logits, verdict.features, expected, strict=True):
        for found, expectation in zip((*maps, logits), wanted_maps, strict=True):
            close(found, expectation)


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_generator_and_encoder_are_one_model_with_styles(tmp_path, norm):
    g, e = global_file(16, 3, 2, 1, norm=norm), encoder_file(norm=norm)
    labels, instances, image = ids(12, 2, 16, 16), ids(5, 2, 16, 16, seed=1), noise(2, 3, 16, 16)
    net = converted(tmp_path, E=e, G=g)
    assert isinstance(net, SceneGenerator)
    assert (net.labels, net.boundaries, net.features) == (12, True, 3)
    pooled = whole(e, image, 2, 0)
    for sample in range(2):
        for number in instances[sample].unique():
            region = instances[sample, 0] == number
            pooled[sample][:, region] = pooled[sample][:, region].mean(1, keepdim=True)
    close(net.encode(image, labels, instances), pooled)
    x = torch.cat([one_hot(labels, 12), edges(instances), pooled], 1)
    close(net.render(labels, instances, pooled).image, whole(g, x, 2, 1))


@pytest.mark.parametrize("levels", [0, 2])
def test_without_its_encoder_a_generator_has_the_neutral_style(tmp_path, levels):
    w = enhancer_file(39, levels=levels) if levels else global_file(39)
    labels, instances = ids(35, 1, 16, 24), ids(9, 1, 16, 24, seed=1)
    with pytest.warns(UserWarning, match="takes 3 features of an encoder that was not named") as said:
        net = converted(tmp_path, G=w)
    assert len(said) == 2
    assert "taken to be 35 labels, the boundary map and 3 features; otherwise say --labels N" in str(said[0].message)
    x = torch.cat([one_hot(labels, 35), edges(instances), torch.zeros(1, 3, 16, 24).double()], 1)
    close(net(labels, instances).image, enhanced(w, x, 1, 1, 2, 2) if levels else whole(w, x, 2, 2))


@pytest.mark.parametrize(("channels", "made"), [(3, 3), (1, 1), (1, 3)])
def test_images_to_images(tmp_path, channels, made):
    g, d = global_file(channels, made=made), judge_file(channels + made)
    found = convert_files("pix2pixhd", saved(tmp_path, G=g, D=d), tmp_path / "models")
    net, judge = (i2i.load(each.folder).double() for each in found)
    image, target = noise(1, channels, 16, 24), noise(1, made, 16, 24, seed=8)
    close(net(image).image, whole(g, image, 2, 2))
    assert (net.reads, net.writes) == (PixelFormat(channels=channels), PixelFormat(channels=made))
    assert getattr(net, "takes", "maps") is None
    close(judge(target, image).logits[0], judged(d, torch.cat([image, target], 1), 3, 2, True)[0][-1])


def test_a_model_of_labels_alone(tmp_path):
    w, labels = global_file(20), ids(20, 1, 16, 24)
    net = converted(tmp_path, {"labels": 20}, G=w)
    close(net(labels).image, whole(w, one_hot(labels, 20), 2, 2))
    assert net.writes == PixelFormat()


@pytest.mark.parametrize(
    ("weights", "parameters"),
    [
        (lambda: global_file(36, 64, 4, 9, device="meta"), 182_546_755),
        (lambda: global_file(39, 64, 4, 9, device="meta"), 182_556_163),
        (lambda: global_file(3, 64, 4, 9, device="meta"), 182_443_267),
        (lambda: enhancer_file(36, 32, 4, 9, local=3, device="meta"), 182_857_059),
        (lambda: enhancer_file(36, 16, 4, 9, 2, 3, device="meta"), 182_947_699),
        (lambda: judge_file(39, 64, device="meta"), 5_603_202),
        (lambda: judge_file(39, 64, scales=3, matched=False, device="meta"), 8_404_803),
        (lambda: encoder_file(width=16, downs=4, device="meta"), 788_803),
    ],
)
def test_files_of_real_size_have_the_published_number_of_parameters(
    weights: Callable[[], Weights], parameters: int
) -> None:
    net = recognised(Path("net.pth"), weights()).net
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters


# How channels divide.


def understood(options: Mapping[str, Any], **weights: Weights) -> tuple[str, str, dict[str, nn.Module]]:
    """What is said about the scene, what the generator (or else the discriminator) is, and all models."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        models = convert({Path(f"latest_net_{name}.pth"): held for name, held in weights.items()}, **options)
    said = str(caught[0].message).partition("taken to be ")[2].partition(";")[0] if caught else ""
    net: Any = models.get("a2b")
    if net is None:
        return said, "", models
    return said, f"{net.labels} {net.boundaries:d} {net.features} {net.in_channels}", models


COLOUR = "a colour image"


@pytest.mark.parametrize(
    ("channels", "others", "options", "said", "is_"),
    [
        (36, {}, {}, "35 labels and the boundary map", "35 1 0 1"),
        (35, {}, {}, "35 labels", "35 0 0 1"),
        (13, {}, {}, "12 labels and the boundary map", "12 1 0 1"),
        (3, {}, {}, COLOUR, "0 0 0 3"),
        (1, {}, {}, "a grey image", "0 0 0 1"),
        (36, {}, {"labels": 36}, "", "36 0 0 1"),
        (36, {}, {"labels": 35}, "", "35 1 0 1"),
        (36, {}, {"boundaries": False}, "36 labels", "36 0 0 1"),
        (3, {}, {"labels": 2}, "", "2 1 0 1"),
        (3, {}, {"labels": 3}, "", "3 0 0 1"),
        (4, {}, {"labels": 0}, "", "0 0 0 4"),
        (39, {}, {"labels": 38}, "", "38 1 0 1"),
        (39, {"E": (3, 3)}, {}, "35 labels, the boundary map and 3 features", "35 1 3 1"),
        (38, {"E": (3, 3)}, {}, "35 labels and 3 features", "35 0 3 1"),
        (36, {"E": (3, 3)}, {}, "32 labels, the boundary map and 3 features", "32 1 3 1"),
        (18, {"E": (3, 5)}, {"boundaries": False}, "13 labels and 5 features", "13 0 5 1"),
        (18, {"E": (3, 5)}, {"labels": 12}, "", "12 1 5 1"),
        (6, {"E": (3, 3)}, {}, "a colour image and 3 features", "0 0 3 3"),
        (39, {"D": 42}, {}, "38 labels and the boundary map", "38 1 0 1"),
        (13, {"D": 16}, {}, "12 labels and the boundary map", "12 1 0 1"),
        (16, {"E": (3, 3), "D": 16}, {}, "12 labels, the boundary map and 3 features", "12 1 3 1"),
        (3, {"D": 6}, {}, COLOUR, "0 0 0 3"),
    ],
)
def test_channels_are_divided(channels, others, options, said, is_):
    weights = {"G": global_file(channels, 1, 1, 1)}
    if "E" in others:
        weights["E"] = encoder_file(others["E"][0], 1, 1, others["E"][1])
    if "D" in others:
        weights["D"] = judge_file(others["D"], 1, 1, 1)
    assert understood(options, **weights)[:2] == (said, is_)


@pytest.mark.parametrize(
    ("channels", "encoder", "options", "said", "arguments_"),
    [
        (39, None, {}, "35 labels and the boundary map", {"labels": 35, "in_channels": 4}),
        (38, None, {}, "35 labels", {"labels": 35, "in_channels": 3}),
        (6, None, {}, COLOUR, {"labels": 0, "in_channels": 6}),
        (2, None, {}, "a grey image", {"labels": 0, "in_channels": 2}),
        (14, None, {"labels": 11, "boundaries": False}, "", {"labels": 11, "in_channels": 3}),
        (14, 1, {}, "12 labels and the boundary map", {"labels": 12, "in_channels": 2}),
    ],
)
def test_channels_of_a_discriminator_alone_are_divided(channels, encoder, options, said, arguments_):
    weights = {"D": judge_file(channels, 1, 1, 1)}
    if encoder:  # it has seen the images that are judged
        weights["E"] = encoder_file(encoder, 1, 1)
    found, _, models = understood(options, **weights)
    assert found == said
    assert arguments(models["d"]) == arguments(models["d"]) | arguments_
    assert list(models) == ["d", "e"][: 1 + bool(encoder)]


def test_scenes_in_words() -> None:
    assert str(Scene(0, 5, False, 0)) == "an image of 5 channels"
    assert str(Scene(7, 0, False, 2)) == "7 labels and 2 features"


def test_nothing_is_said_where_all_is_known(tmp_path, recwarn):
    converted(tmp_path, {"labels": 12}, G=global_file(13))
    converted(tmp_path, E=encoder_file())
    assert not recwarn.list


@pytest.mark.parametrize(
    ("options", "weights", "message"),
    [
        ({"labels": 40}, {"G": global_file(36)}, "labels (=40) must be 35, or 36 without instance maps: the nets see a "
         "scene as 36 channels"),
        ({"labels": 34}, {"D": judge_file(39)}, "labels (=34) must be 35, or 36 without"),
        ({"labels": 35, "boundaries": False}, {"D": judge_file(39)}, "labels (=35) must be 36: the nets see"),
        ({"labels": -1}, {"G": global_file(3), "E": encoder_file(made=2)}, "labels (=-1) must be 0, or 1 without"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit(options, weights, message):
    with pytest.raises(SettingsError) as caught:
        understood(options, **weights)
    assert str(caught.value).startswith(message)


# Several files, and what is wrong with them.


def test_all_files_of_a_training(tmp_path):
    paths = saved(tmp_path, D=judge_file(16), E=encoder_file(), G=global_file(16))
    found = convert_files("pix2pixhd", paths, tmp_path / "models")
    assert [each.folder for each in found] == [tmp_path / "models" / name for name in ("a2b", "d")]
    assert all(each.sources == tuple(paths) for each in found)
    net, judge = (i2i.load(each.folder) for each in found)
    assert (net.features, judge.labels, judge.in_channels) == (3, 12, 4)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            {"G": global_file(36), "E": encoder_file(1)},
            "latest_net_E.pth is of another training than latest_net_G.pth: it makes 3 features of 1 channels, the "
            "generator makes 3 channels of 36",
        ),
        ({"G": global_file(3), "E": encoder_file()}, "latest_net_E.pth is of another training than latest_net_G.pth"),
        (
            {"G": global_file(36), "D": judge_file(12)},
            "latest_net_D.pth is of another training than latest_net_G.pth: it judges images of 3 channels with 9 "
            "more, the generator makes them of 36 channels",
        ),
        ({"G": global_file(13), "D": judge_file(17)}, "latest_net_D.pth is of another training than latest_net_G.pth"),
        (
            {"G": global_file(16), "D": judge_file(19), "E": encoder_file()},
            "latest_net_D.pth is of another training than latest_net_G.pth: it judges images of 3 channels with 16 "
            "more, the generator makes them of 16 channels, of which 3 are features,",
        ),
        ({"D": judge_file(1)}, "latest_net_D.pth: judges 1 channels, which are too few for a scene and an image"),
        (
            {"G": global_file(), "G2": enhancer_file()},
            "latest_net_G.pth and latest_net_G2.pth both hold a generator; name the files of one training",
        ),
        ({"D": judge_file(), "other": judge_file(matched=False)}, "both hold a discriminator; name"),
    ],
)
def test_files_of_different_trainings(tmp_path, monkeypatch, weights, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError) as caught:
        convert_files("pix2pixhd", saved(Path(), **weights), "models")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Path("models").exists()


def without(w: Weights, *keys: str) -> Weights:
    assert set(keys) <= set(w)
    return {key: value for key, value in w.items() if key not in keys}


def tensors(*keys: str) -> Weights:
    return {key: torch.zeros(2, 2) for key in keys}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (tensors("features.0.weight"), "holds no net of the pix2pixHD authors (expected the state_dict of a generator, "
         "an encoder or a multi-scale discriminator); found 1 entry: 'features.0.weight' [2, 2]"),
        (tensors("model.1.weight"), "holds no net of the pix2pixHD authors"),
        ({"model.1.weight": torch.zeros(2, 3, 3, 3)}, "holds no net of the pix2pixHD authors"),
        (tensors("layer1.0.conv1.weight"), "holds no net of the pix2pixHD authors"),
        ({"G": global_file(), "E": encoder_file()}, "is no state_dict of one net: 2 entries"),
        (without(global_file(), "model.4.bias"), "does not fit global_generator: model.4.bias [6] is missing"),
        (without(global_file(), "model.19.weight"), "does not fit global_generator: model."),
        (without(global_file(), "model.11.conv_block.1.weight"), "model.11.conv_block.1.weight [12, 12, 3, 3] is miss"),
        (global_file() | tensors("extra"), "does not fit global_generator: 'extra' [2, 2] belongs to nothing in it"),
        (global_file() | {"model.4.weight": torch.zeros(6, 3, 5, 5)},
         "model.4.weight should be [6, 3, 3, 3], not [6, 3, 5, 5]"),
        (without(global_file(norm="batch"), "model.2.running_var"), "model.2.running_var [3] is missing"),
        (global_file() | {"model.4.bias": torch.full((6,), torch.nan)}, "'model.4.bias' is not finite"),
        (without(enhancer_file(), "model1_2.6.weight", "model1_2.2.weight"), "looks like a generator with "
         "local enhancers, but model1_2 is missing; 24 entries"),
        (without(enhancer_file(), "model1_1.4.weight"), "does not fit local_enhancer: model1_1.4.weight [4, 2, 3, 3]"),
        ({key: value for key, value in enhancer_file(levels=2).items() if not key.startswith("model1")},
         "looks like a generator with local enhancers, but model1_2 is missing"),
        ({"model.1.weight": torch.zeros(2, 3, 7, 7)}, "holds a net that cannot be built: downs (=-1)"),
        (without(encoder_file(), "model.17.bias"), "does not fit feature_encoder: model.17.bias [3] is missing"),
        (without(judge_file(), "scale0_layer0.0.weight"), "looks like a multi-scale discriminator, but the first layer "
         "of its coarsest scale is missing"),
        (without(judge_file(), "scale1_layer0.0.weight"), "does not fit multiscale_discriminator: scale1_layer0.0"),
        (without(judge_file(), "scale1_layer4.0.bias"), "does not fit multiscale_discriminator: scale1_layer4.0.bias"),
        (without(judge_file(matched=False), "layer1.8.bias"), "scale1_layer3.0.bias [16] is missing"),
        (without(judge_file(matched=False), "layer1.0.weight"), "does not fit multiscale_discriminator: scale1_layer"),
        ({"scale0_layer0.0.weight": torch.zeros(2, 3, 4, 4)}, "cannot be built: layers (=-1)"),
    ],
)  # fmt: skip
def test_files_that_hold_something_else(weights: Weights, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        convert({Path("some/latest_net_G.pth"): weights})
    assert str(caught.value).startswith("some/latest_net_G.pth: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def scene() -> tuple[Tensor, Tensor, Tensor]:
    """Labels, instances, and what a generator of 13 channels sees of them."""
    labels, instances = ids(12, 1, 16, 24), ids(9, 1, 16, 24, seed=1)
    return labels, instances, torch.cat([one_hot(labels, 12), edges(instances)], 1)


def test_a_file_of_the_old_format_with_wrapper_and_prefix(tmp_path, scene):
    labels, instances, x = scene
    w = global_file(13)
    nested = {"epoch": 3, "state_dict": {f"module.{key}": value for key, value in w.items()}}
    torch.save(nested, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    convert_files("pix2pixhd", [tmp_path / "old.pth"], tmp_path / "model")
    close(i2i.load(tmp_path / "model").double()(labels, instances).image, whole(w, x, 2, 2))


def test_statistics_of_an_old_instance_norm_are_dropped(tmp_path):
    w = global_file(13)
    old = w | {f"model.2.{name}": torch.ones(3) for name in ("running_mean", "running_var")}
    net = converted(tmp_path, G=old | {"model.2.num_batches_tracked": torch.tensor(0)})
    assert {key.removeprefix("generator.") for key in net.state_dict()} == set(w)


def test_an_old_batch_norm_gets_the_counters_that_it_lacks(tmp_path, scene):
    labels, instances, x = scene
    w = global_file(13, norm="batch")
    net = converted(tmp_path, G={key: value for key, value in w.items() if not key.endswith("num_batches_tracked")})
    counters = {key: int(value) for key, value in net.state_dict().items() if key.endswith("num_batches_tracked")}
    assert counters == {f"generator.{key}": 0 for key in w if key.endswith("num_batches_tracked")}
    close(net(labels, instances).image, whole(w, x, 2, 2))


def test_weights_can_be_trained_on(tmp_path, scene):
    labels, instances, _ = scene
    net = converted(tmp_path, G=enhancer_file(13))
    net(labels, instances).image.square().sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


class Harmful:
    """Would run code, if its pickle were trusted."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("code of the file was run",)


def damaged(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "no such file"),
        (damaged, "is no checkpoint, or cut off or damaged; download or copy it again"),
        (lambda path: torch.save({"model.1.weight": Harmful()}, path), "holds more than weights (print)"),
        (lambda path: torch.save([1], path), "holds a list, not weights by name"),
    ],
)
def test_one_bad_file_leaves_nothing_behind(tmp_path, capsys, spoil, message):
    paths = saved(tmp_path, G=global_file(16), E=encoder_file())
    spoil(paths[1])
    with pytest.raises(I2IError) as caught:
        convert_files("pix2pixhd", paths, tmp_path / "model")
    assert str(caught.value).startswith(f"{paths[1]}: {message}")
    assert not (tmp_path / "model").exists()
    assert capsys.readouterr().out == ""


def test_the_command_says_what_it_found(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    paths = saved(Path(), G=global_file(16), E=encoder_file())
    assert main(["convert", "pix2pixhd", *map(str, paths), "--out", "model"]) == 0
    said = capsys.readouterr()
    assert said.err == (
        "i2i: latest_net_G.pth: what it was trained on is taken to be 12 labels, the boundary map and 3 features; "
        "otherwise say --labels N, with 0 for images, and --no-boundaries where there were no instance maps\n"
    )
    first, *lines, last = said.out.splitlines()
    assert first.startswith("latest_net_G.pth, latest_net_E.pth: pix2pixhd/scene_generator, ")
    assert [line.split(",")[0] for line in lines] == [
        "  generator pix2pixhd/global_generator", "  generator: in_channels 4", "  encoder: in_channels 3",
    ]  # fmt: skip
    assert last == "  -> model"


def test_flags_say_it_otherwise(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (path,) = saved(Path(), G=global_file(16))
    assert main(["convert", "pix2pixhd", str(path), "--labels", "16", "--no-boundaries", "--out", "model"]) == 0
    assert capsys.readouterr().err == ""
    net = i2i.load("model")
    assert (net.labels, net.boundaries) == (16, False)
    assert main(["convert", "pix2pixhd", str(path), "--labels", "17", "--out", "other"]) == 2
    assert capsys.readouterr().err.startswith("i2i: error: labels (=17) must be 15, or 16 without instance maps")
    assert not Path("other").exists()
