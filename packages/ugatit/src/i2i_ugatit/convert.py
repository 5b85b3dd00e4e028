"""The authors' files as models: which networks a file holds.

References:
    The public repository UGATIT-pytorch, whose ``*_params_*.pt`` files hold six state_dicts, and image_converter, whose
    two ``.pth`` files hold the state_dict of a generator each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Literal

from torch import Tensor, nn

from i2i.convert import inventory, weights_of
from i2i.errors import I2IError, ModelError
from i2i_ugatit.authors import Weights, discriminator, generator, is_discriminator, is_generator

Kind = Literal["generator", "discriminator"]

# Ours, and which networks of the authors make it: a global and a local discriminator are one network here.
_MODELS = {"a2b": ("genA2B",), "b2a": ("genB2A",), "d_a": ("disGA", "disLA"), "d_b": ("disGB", "disLB")}
_NETS = tuple(net for nets in _MODELS.values() for net in nets)
# Networks of other code, by a key that these do not have.
_OTHERS = (
    (r"\.filt$", "a network of CUT with blurred down- and upsampling"),
    (r"^mlp_\d", "the projection heads of CUT"),
    (r"^HourGlass\d", "a generator of photo2cartoon, which changed that of U-GAT-IT"),
    (r"^head\.conv\.", "a network of SinGAN (i2i convert singan reads its folders)"),
    (r"^(scale\d+_layer\d+|layer\d+)\.\d+\.(weight|bias)$", "a discriminator of pix2pixHD (i2i convert pix2pixhd)"),
    (r"^model\d+_\d+\.\d+\.", "a generator of pix2pixHD (i2i convert pix2pixhd)"),
    (r"^model\.\d+\.conv_block\.", "a generator of CycleGAN or pix2pixHD (i2i convert cyclegan, or pix2pixhd)"),
    (r"^model\.model\.0\.weight$", "a U-Net generator of pix2pix (i2i convert pix2pix)"),
    (r"^(model|net)\.0\.weight$", "a discriminator of CycleGAN or pix2pix (i2i convert cyclegan)"),
    (r"^(scales\.\d+\.)?cam\.", "a network of i2i itself, which needs no converting"),
)


def convert(found: Mapping[str, Any], name: str) -> dict[str, nn.Module]:
    """Convert a file of the authors' U-GAT-IT: a checkpoint, or a single network.

    Args:
        found: what the file holds: the state_dicts of some of ``genA2B``, ``genB2A``, ``disGA``, ``disGB``, ``disLA``
            and ``disLB``, or one state_dict.
        name: the file's name, such as ``genA2B.pth``.

    Returns:
        Of a checkpoint ``a2b``, ``b2a``, ``d_a``, ``d_b``, as far as they are there; a discriminator of which only the
        global or the local half is there judges by that half. Of a single network one model, see `key_of`.

    Raises:
        ModelError: the file holds something else; what was found is said.

    Example:
        >>> convert({"epoch": 3}, "model.pt")
        Traceback (most recent call last):
        i2i.errors.ModelError: is no state_dict of one net: 1 entry: 'epoch' (int)
    """
    held = {net: _held(net, found[net]) for net in _NETS if net in found}
    if not held:
        weights = weights_of(found)
        kind = _kind(weights)
        net = generator(weights) if kind == "generator" else discriminator({"": weights})
        return {key_of(name, kind): net}
    _check_rest(found)
    parts = {key: {f"{net}.": held[net] for net in nets if net in held} for key, nets in _MODELS.items()}
    return {key: _network(weights) for key, weights in parts.items() if weights}


def key_of(name: str, kind: Kind = "generator") -> str:
    """Return the key of a single network by the name of its file.

    Example:
        >>> key_of("genA2B.pth"), key_of("generator_b2a_40.pth"), key_of("data2book.pth"), key_of("disGA.pth")
        ('a2b', 'b2a', 'data2book', 'disGA')
    """
    stem = PurePath(name).stem
    # In capitals anywhere; in small letters, which words have too, only by itself or after "gen" and "generator".
    found = re.finditer(r"(A2B|B2A|(?i:(?:\b|_|gen|generator)(?:a2b|b2a)))(?![A-Za-z])", stem)
    directions = {match[0][-3:].lower() for match in found}
    if kind == "generator" and len(directions) == 1:
        return directions.pop()
    return re.sub(r"[^\w.-]+", "-", stem).strip("-.") or "model"


def _network(weights: Mapping[str, Weights]) -> nn.Module:
    """Of what `_held` returned, by what its names begin with."""
    (at, first), *_ = weights.items()
    return generator(first, at) if at.startswith("gen") else discriminator(weights)


def _held(net: str, held: Any) -> Weights:
    """The state_dict of one of the six."""
    if not isinstance(held, Mapping):
        raise ModelError(f"{net} is no state_dict, but {type(held).__name__}; save {net}.state_dict()")
    try:
        weights = weights_of(held)
        kind = _kind(weights)
    except I2IError as error:
        raise ModelError(f"{net}: {error}") from error
    if (kind == "generator") != net.startswith("gen"):
        raise ModelError(f"{net}: holds a {kind}; {inventory(weights)}")
    return weights


def _check_rest(found: Mapping[str, Any]) -> None:
    """Optimisers, counters and the like may be there too, which hold no tensors by name; networks may not."""
    for key, value in found.items():
        if key not in _NETS and isinstance(value, Mapping) and any(isinstance(each, Tensor) for each in value.values()):
            raise ModelError(
                f"holds a network {key!r}, which the U-GAT-IT authors do not have; save it again with some of "
                f"{', '.join(_NETS)} only"
            )


def _kind(weights: Weights) -> Kind:
    for pattern, title in _OTHERS:
        if any(re.search(pattern, key) for key in weights):
            raise ModelError(f"looks like {title}, not a network of the U-GAT-IT authors; {inventory(weights)}")
    if is_generator(weights):
        return "generator"
    if is_discriminator(weights):
        return "discriminator"
    raise ModelError(
        "holds no network of the U-GAT-IT authors (expected their checkpoint, or the state_dict of a generator or "
        f"discriminator); found {inventory(weights)}"
    )
