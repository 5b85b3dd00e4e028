"""The authors' networks as ours: their layers are read off keys and shapes, and each of our names has one of theirs."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from i2i.convert import convolutions, filled, inventory
from i2i.errors import ModelError, SettingsError
from i2i_ugatit.discriminators import CamDiscriminator, cam_discriminator
from i2i_ugatit.generators import CamGenerator, cam_generator

M = TypeVar("M", bound=nn.Module)
Weights = Mapping[str, Tensor]
Rules = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]

_NORMALISED = r"model\.(\d{1,4})\.(?:weight_orig|parametrizations\.weight\.original)"
# What a name of ours is in the authors' files; the rules apply one after the other.
_CAM: Rules = ((r"^cam\.average\.", "gap_fc."), (r"^cam\.maximum\.", "gmp_fc."), (r"^cam\.fuse\.", "conv1x1."))
_GENERATOR: Rules = (
    *_CAM,
    (r"^encoder\.(\d+)\.layers\.", r"DownBlock.\1.conv_block."),
    (r"^encoder\.", "DownBlock."),
    (r"^style\.layers\.", "FC."),
    (r"^style\.", ""),
    (r"^decoder\.(\d+)\.", lambda found: f"UpBlock1_{int(found[1]) + 1}."),
    # Enlarging and padding are layers of their own there, and take positions.
    *((rf"^up\.{ours}\.", f"UpBlock2.{theirs}.") for ours, theirs in ((0, 2), (1, 3), (3, 7), (4, 8), (7, 11))),
)
_JUDGE: Rules = (*_CAM, (r"^layers\.", "model."), (r"^head\.1\.", "conv."))
# Spectral norm as torch.nn.utils.spectral_norm saves it, and as torch.nn.utils.parametrizations.spectral_norm does.
_WEIGHT, _ESTIMATE = r"(?<!^conv1x1)\.weight$", r"\.norm\.(u|v)$"  # that of conv1x1 is not normalised
_HOOKED: Rules = ((_WEIGHT, ".weight_orig"), (_ESTIMATE, r".weight_\1"))
_PARAMETRIZED: Rules = (
    (_WEIGHT, ".parametrizations.weight.original"),
    (_ESTIMATE, r".parametrizations.weight.0._\1"),
)


def is_generator(weights: Weights) -> bool:
    """Tell whether keys are those of a generator, perhaps of one with other layers."""
    return any(key.startswith("DownBlock.") for key in weights)


def is_discriminator(weights: Weights) -> bool:
    """Tell whether keys are those of a discriminator, perhaps of one with other layers."""
    return any(re.match(rf"gap_fc\.|{_NORMALISED}$", key) for key in weights)


def generator(weights: Weights, at: str = "") -> CamGenerator:
    """Build the generator that a state_dict of the authors belongs to.

    Args:
        weights: tensors by the authors' keys.
        at: what stands before these keys in messages, such as ``"genA2B."``.

    Returns:
        A `cam_generator` in eval mode; it keeps the tensors.

    Raises:
        ModelError: the layers are others; the first difference is named.

    Example:
        >>> generator({"DownBlock.1.weight": torch.zeros(64, 3, 7, 7)})
        Traceback (most recent call last):
        i2i.errors.ModelError: holds a net that cannot be built: blocks (=0) must be ...
    """
    width, channels = _first(weights, "DownBlock.1.weight", at)
    last = weights.get("UpBlock2.11.weight")
    made = channels if last is None or last.ndim != 4 else last.shape[0]
    blocks = len({match[0] for key in weights if (match := re.match(r"DownBlock\.\d+\.conv_block\.", key))})
    head = _head(weights, 4 * width, at)
    build = functools.partial(cam_generator, channels, made, base_width=width, blocks=blocks, **head)
    return _fitted(build, lambda key: at + _renamed(key, _GENERATOR), {at + key: weights[key] for key in weights})


def discriminator(weights: Mapping[str, Weights]) -> CamDiscriminator:
    """Build the discriminator that several state_dicts of the authors make together.

    Args:
        weights: tensors by the authors' keys, by what stands before these keys in messages, such as ``"disGA."``; in
            the order of the judges.

    Returns:
        A `cam_discriminator` in eval mode, with a judge for each state_dict; it keeps the tensors.

    Raises:
        ModelError: the layers are others, or those of the judges do not go together; the first difference is named.
    """
    hooked = not any(".parametrizations." in key for held in weights.values() for key in held)
    rules, original = (_HOOKED, "weight_orig") if hooked else (_PARAMETRIZED, "parametrizations.weight.original")
    firsts = [_first(held, f"model.1.{original}", at) for at, held in weights.items()]
    layers, names = tuple(1 + len(convolutions(held, _NORMALISED)) for held in weights.values()), list(weights)

    def renamed(key: str) -> str:
        _, judge, rest = key.split(".", 2)
        return names[int(judge)] + _renamed(rest, (*_JUDGE, *rules))

    width, channels = firsts[0]
    build = functools.partial(cam_discriminator, channels, base_width=width, layers=layers)
    return _fitted(build, renamed, {at + key: value for at, held in weights.items() for key, value in held.items()})


def _first(weights: Weights, key: str, at: str) -> tuple[int, int]:
    """The channels that the first convolution makes, and those that it takes."""
    if key not in weights or weights[key].ndim != 4:
        raise ModelError(
            f"looks like a network of U-GAT-IT, but {at}{key}, its first convolution, is missing; {inventory(weights)}"
        )
    return weights[key].shape[0], weights[key].shape[1]


def _head(weights: Weights, channels: int, at: str) -> dict[str, Any]:
    """The arguments that say what the head sees: in the authors' code every pixel, or the mean of each channel."""
    wide = weights.get("FC.0.weight")
    if wide is None or wide.ndim != 2 or wide.shape[1] == channels:
        return {"head": "light"}
    columns = wide.shape[1]
    if columns == 16 * channels:  # what a full head for 16x16 pixels sees is what the pooled one sees of them
        return {"head": "pooled"}
    side = math.isqrt(columns // max(channels, 1))
    if columns != side**2 * channels:
        raise ModelError(
            f"holds a generator whose head reads {columns} numbers ({at}FC.0.weight) of {channels} channels; that is "
            f"neither light ({channels}) nor full for square images ({channels} times a square number)"
        )
    return {"head": "full", "size": (4 * side, 4 * side)}


def _renamed(key: str, rules: Rules) -> str:
    for pattern, to in rules:
        key = re.sub(pattern, to, key)
    return key


def _fitted(build: functools.partial[M], renamed: Callable[[str], str], weights: Weights) -> M:
    """Build a network with the weights of the file; what differs is said in the names of the file."""
    try:
        with torch.device("meta"):
            net = build()
    except SettingsError as error:
        raise ModelError(f"holds a net that cannot be built: {error}; {inventory(weights)}") from error
    names = {key: renamed(key) for key in net.state_dict()}
    about = ", ".join(f"{name} {value}" for name, value in build.keywords.items())
    misfit = f"does not fit {build.func.__name__} ({about})"
    for key, value in net.state_dict().items():
        if (found := weights.get(names[key])) is None:
            raise ModelError(f"{misfit}: {names[key]} {list(value.shape)} is missing; {inventory(weights)}")
        if found.shape != value.shape:
            raise ModelError(f"{misfit}: {names[key]} should be {list(value.shape)}, not {list(found.shape)}")
    known = set(names.values())
    if extra := next((key for key in weights if key not in known), None):
        raise ModelError(f"{misfit}: {extra!r} {list(weights[extra].shape)} belongs to nothing in it")
    return filled(lambda: net, {key: weights[name] for key, name in names.items()})
