"""The authors' checkpoints as models: which nets the files of a training hold, and how they belong together.

References:
    The public repository pix2pixHD, whose ``*_net_{G,D,E}.pth`` files hold one plain state_dict each.
"""

from __future__ import annotations

import bisect
import contextlib
import functools
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from torch import Tensor, nn

from i2i.convert import convolutions, filled, has_batch_norm, inventory, weights_of, with_statistics
from i2i.errors import I2IError, ModelError, SettingsError
from i2i_pix2pixhd.encoder import feature_encoder
from i2i_pix2pixhd.generators import global_generator, local_enhancer
from i2i_pix2pixhd.multiscale import multiscale_discriminator
from i2i_pix2pixhd.scene import scene_generator

Weights = Mapping[str, Tensor]
Role = Literal["generator", "encoder", "discriminator"]
Norm = Literal["instance", "batch"]

# What the authors' options are where nobody changes them: the classes of Cityscapes, the numbers of a style.
_CLASSES, _FEATURES = 35, 3
# Discriminators trained with feature matching, whose layers have names of their own, and without.
_MATCHED = r"scale(\d{1,3})_layer(\d{1,3})\.\d{1,3}\.\w+"
_UNMATCHED = r"layer(\d{1,3})\.(\d{1,3})\.(\w+)"


class File(NamedTuple):
    """A file that was understood.

    Attributes:
        path: where it is.
        role: what its net is for.
        build: makes the net: ``build(in_channels=..., labels=...)``; an encoder has no labels.
        weights: by the names of our nets.
        net: the net, all of whose inputs are channels.
    """

    path: Path
    role: Role
    build: Callable[..., nn.Module]
    weights: Weights
    net: Any


class Scene(NamedTuple):
    """What the channels are that a generator takes, in their order.

    Attributes:
        labels: classes; 0 where there are colours instead.
        colours: channels of an image; 0 where there are labels.
        boundaries: whether the edges of instances are among them.
        features: numbers of a style.
    """

    labels: int
    colours: int
    boundaries: bool
    features: int

    def __str__(self) -> str:
        """Say it in words."""
        image = {1: "a grey image", 3: "a colour image"}.get(self.colours, f"an image of {self.colours} channels")
        found = [f"{self.labels} labels" if self.labels else image]
        found += ["the boundary map"] * self.boundaries + [f"{self.features} features"] * bool(self.features)
        return " and ".join(filter(None, [", ".join(found[:-1]), found[-1]]))


def convert(
    found: Mapping[Path, Mapping[str, Any]], *, labels: int | None = None, boundaries: bool = True
) -> dict[str, nn.Module]:
    """Convert the files of one training of the authors' code.

    Args:
        found: what each file holds: a generator (global, or with local enhancers), an encoder, a discriminator, each
            at most once.
        labels: classes of the label maps that the nets were trained with; 0 for images. When left out, it is worked
            out from the channels, and a line says how.
        boundaries: there were instance maps, whose boundaries the nets see.

    Returns:
        ``a2b``: a `scene_generator` of generator and encoder; ``d``: the discriminator; ``e``: the encoder, where
        there is no generator. Unless ``labels`` is given, a warning says how the channels were understood.

    Raises:
        ModelError: a file holds something else, or they are not of one training.
        SettingsError: the nets have other channels than ``labels`` and ``boundaries`` say.

    Example:
        >>> net = feature_encoder(base_width=2, downs=1)
        >>> list(convert({Path("latest_net_E.pth"): net.state_dict()}))
        ['e']
    """
    files: dict[Role, File] = {}
    for path, held in found.items():
        with _about(path):
            file = recognised(path, weights_of(held))
        if (before := files.setdefault(file.role, file)) is not file:
            raise ModelError(f"{before.path} and {path} both hold a {file.role}; name the files of one training")
    generator, encoder, judge = (files.get(role) for role in ("generator", "encoder", "discriminator"))
    models: dict[str, nn.Module] = {}
    if generator or judge:
        scene = _scene(generator, encoder, judge, labels, boundaries)
        if labels is None:
            _say((generator or judge).path, scene)  # type: ignore[union-attr]
    if generator:
        models["a2b"] = _whole(generator, encoder, scene)
    if judge:
        build = functools.partial(judge.build, in_channels=judge.net.in_channels - scene.labels, labels=scene.labels)
        models["d"] = filled(build, judge.weights)
    if encoder and not generator:
        models["e"] = encoder.net
    return models


@contextlib.contextmanager
def _about(path: Path) -> Iterator[None]:
    """Put the name of the file before what is wrong with it."""
    try:
        yield
    except I2IError as error:
        raise ModelError(f"{path}: {error}") from error


def _say(path: Path, scene: Scene) -> None:
    warnings.warn(
        f"{path}: what it was trained on is taken to be {scene}; otherwise say --labels N, with 0 for images, and "
        "--no-boundaries where there were no instance maps",
        stacklevel=3,
    )


def _whole(generator: File, encoder: File | None, scene: Scene) -> nn.Module:
    """The generator with its encoder; without one, for the neutral style, which is zeros."""
    taken, weights = generator.net.in_channels, generator.weights
    if scene.features and encoder is None:
        warnings.warn(
            f"{generator.path}: takes {scene.features} features of an encoder that was not named; without it "
            "(*_net_E.pth) all objects have the neutral style",
            stacklevel=3,
        )
        taken -= scene.features
        weights = {key: value[:, :taken] if _sees_scene(key) else value for key, value in weights.items()}
    build = functools.partial(generator.build, in_channels=taken - scene.labels, labels=scene.labels)
    net = filled(build, weights)
    return scene_generator(net, encoder and encoder.net, boundaries=scene.boundaries).eval()


def _sees_scene(key: str) -> bool:
    """Whether it is the weight of a first convolution: of the global part, or of one of the enhancers."""
    return re.fullmatch(r"(model|model\d+_1)\.1\.weight", key) is not None


# How the channels divide.


def _scene(
    generator: File | None, encoder: File | None, judge: File | None, labels: int | None, boundaries: bool
) -> Scene:
    """What the channels stand for, as far as the files and the options say, and else by the authors' defaults."""
    if generator is None:
        assert judge is not None
        taken = judge.net.in_channels
        image = encoder.net.in_channels if encoder else 3 if taken > 3 else 1
        if taken <= image:
            raise ModelError(f"{judge.path}: judges {taken} channels, which are too few for a scene and an image")
        return _divided(taken - image, 0, labels, boundaries)
    features = _features(generator, encoder, judge, labels, boundaries)
    return _divided(generator.net.in_channels - features, features, labels, boundaries)


def _features(generator: File, encoder: File | None, judge: File | None, labels: int | None, boundaries: bool) -> int:
    """How many of the generator's channels are features.

    Raises:
        ModelError: the files are not of one training.
        SettingsError: ``labels`` leaves another number than that of the authors, and no file says so.
    """
    taken: int = generator.net.in_channels
    made: int = generator.net.out_channels
    judged = judge.net.in_channels - made if judge else None  # channels of the scene; a judge sees no features
    features: int
    if encoder:
        features = encoder.net.out_channels
        if encoder.net.in_channels != made or taken <= features:
            raise ModelError(
                f"{encoder.path} is of another training than {generator.path}: it makes {features} features of "
                f"{encoder.net.in_channels} channels, the generator makes {made} channels of {taken}"
            )
    elif judged is not None:
        features = taken - judged
    elif labels is not None:
        features = _left_over(taken, labels, boundaries) if labels else 0
    else:
        features = _FEATURES if taken == _CLASSES + boundaries + _FEATURES else 0
    if judge and (judged != taken - features or not (encoder or features in (0, _FEATURES))):
        seen = f"{taken} channels" if encoder is None else f"{taken} channels, of which {features} are features,"
        raise ModelError(
            f"{judge.path} is of another training than {generator.path}: it judges images of {made} channels with "
            f"{judged} more, the generator makes them of {seen}"
        )
    return features


def _left_over(taken: int, labels: int, boundaries: bool) -> int:
    """What is neither labels nor boundary map, where nothing else tells: no features, or as many as the authors'."""
    left = max(taken - labels - boundaries, 0)
    if left not in (0, _FEATURES):
        fitting = [f"{taken - boundaries}"]
        if taken > _FEATURES + boundaries:
            fitting.append(f"{taken - boundaries - _FEATURES} with {_FEATURES} features")
        edges = ", one of them the boundary map (none: --no-boundaries)" if boundaries else ""
        raise SettingsError(
            f"labels (={labels}) must be {', or '.join(fitting)}: the generator takes {taken} channels{edges}; for "
            "another number of features name the encoder, too (*_net_E.pth)"
        )
    return left


def _divided(channels: int, features: int, labels: int | None, boundaries: bool) -> Scene:
    """Divide what is left without the features.

    Raises:
        SettingsError: it does not divide as the options say.
    """
    if labels is None and channels in (1, 3):
        labels = 0
    elif labels is None:
        labels = channels - (boundaries and channels != _CLASSES)
    if labels == 0:
        return Scene(0, channels, False, features)
    if channels - labels not in (0, int(boundaries)):
        fitting = f"{channels - 1}, or {channels} without instance maps" if boundaries else f"{channels}"
        raise SettingsError(f"labels (={labels}) must be {fitting}: the nets see a scene as {channels} channels")
    return Scene(labels, 0, channels > labels, features)


# Which net it is.


def recognised(path: Path, weights: Weights) -> File:
    """Return which net a state_dict belongs to.

    Args:
        path: the file it is from.
        weights: tensors by the authors' names.

    Raises:
        ModelError: it is none of the authors' nets; the first difference is named.
    """
    weights = _renamed(weights)
    norm: Norm = "batch" if has_batch_norm(weights) else "instance"
    weights = with_statistics(weights, norm)
    role, taken, build = _recognised(weights, norm)
    return File(path, role, build, weights, filled(functools.partial(build, in_channels=taken), weights))


def _recognised(weights: Weights, norm: Norm) -> tuple[Role, int, Callable[..., nn.Module]]:
    """The role, the channels that it takes, and what makes the net."""
    if any(re.fullmatch(_MATCHED, key) for key in weights):
        return _judge(weights, norm)
    first = weights.get("model.1.weight")
    if first is None or first.shape[2:] != (7, 7):
        raise ModelError(
            "holds no net of the pix2pixHD authors (expected the state_dict of a generator, an encoder or a "
            f"multi-scale discriminator); found {inventory(weights)}"
        )
    width, taken = first.shape[:2]
    blocks = _count(weights, r"model\.(\d{1,4})\.conv_block\.")
    enhancers = _count(weights, r"model(\d{1,3})_[12]\.")
    made = _made(weights, f"model{enhancers}_2" if enhancers else "model")
    downs = (len(_places(weights, "model")) - (1 if enhancers else 2)) // 2
    if enhancers:
        local_blocks = _count(weights, r"model1_2\.(\d{1,4})\.conv_block\.")
        enhancer = functools.partial(
            local_enhancer, out_channels=made, base_width=width // 2**enhancers, downs=downs, blocks=blocks,
            enhancers=enhancers, local_blocks=local_blocks, norm=norm,
        )  # fmt: skip
        return "generator", taken, enhancer
    if not blocks:
        encoder = functools.partial(feature_encoder, features=made, base_width=width, downs=downs, norm=norm)
        return "encoder", taken, encoder
    generator = functools.partial(
        global_generator, out_channels=made, base_width=width, downs=downs, blocks=blocks, norm=norm
    )
    return "generator", taken, generator


def _judge(weights: Weights, norm: Norm) -> tuple[Role, int, Callable[..., nn.Module]]:
    first = weights.get("scale0_layer0.0.weight")
    if first is None or first.ndim != 4:
        raise ModelError(
            "looks like a multi-scale discriminator, but the first layer of its coarsest scale is missing; "
            f"{inventory(weights)}"
        )
    layers = _count(weights, r"scale0_layer(\d{1,3})\.") - 2
    scales = _count(weights, r"scale(\d{1,3})_layer\d{1,3}\.")
    build = functools.partial(multiscale_discriminator, base_width=len(first), layers=layers, scales=scales, norm=norm)
    return "discriminator", first.shape[1], build


def _count(weights: Weights, pattern: str) -> int:
    """How many different numbers names have where ``pattern`` has its group."""
    return len({match[1] for key in weights if (match := re.match(pattern, key))})


def _places(weights: Weights, prefix: str) -> list[int]:
    """The positions of the convolutions in a sequence, without those inside of blocks."""
    return convolutions(weights, rf"{prefix}\.(\d{{1,4}})\.weight")


def _made(weights: Weights, prefix: str) -> int:
    """The channels that the last convolution of a sequence makes."""
    places = _places(weights, prefix)
    if not places:
        raise ModelError(f"looks like a generator with local enhancers, but {prefix} is missing; {inventory(weights)}")
    return len(weights[f"{prefix}.{places[-1]}.weight"])


def _renamed(weights: Weights) -> Weights:
    """Give a discriminator that was trained without feature matching the names of one that was trained with it."""
    found = {key: match for key in weights if (match := re.fullmatch(_UNMATCHED, key))}
    scales = {match[1] for match in found.values()}
    places = {scale: _places(weights, f"layer{scale}") for scale in scales}
    return {_matched(found[key], places) if key in found else key: value for key, value in weights.items()}


def _matched(key: re.Match[str], places: Mapping[str, Sequence[int]]) -> str:
    """The name of what is at some position in one sequence: a convolution begins a layer, a norm belongs to it."""
    scale, place, field = key[1], int(key[2]), key[3]
    layer = bisect.bisect(places[scale], place) - 1
    if layer < 0:
        return key[0]
    return f"scale{scale}_layer{layer}.{place - places[scale][layer]}.{field}"
