"""The first layers of Inception-v3, in whose features SIFID is measured, with weights from a file."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from i2i.convert import filled, weights_of
from i2i.errors import DataError, ModelError, SettingsError
from i2i.extractors import load_extractor
from i2i.layers import one_of
from i2i.pickles import read_checkpoint
from i2i.tensorfile import TensorFile

Layer = Literal["first-pool", "second-pool"]

#: How the sha256 of the files begins in which torchvision hands out the weights; it is part of their names.
STANDARD = ("0cc3c7bd", "1a9a5a14")
_SMALLEST = {"first-pool": 9, "second-pool": 23}  # pixels of a side that give more than one position
_COUNTER = ".num_batches_tracked"  # which early files do not have, and nothing reads


class Extractor(NamedTuple):
    """A network that makes feature maps.

    Attributes:
        net: from images ``(1, 3, h, w)`` in ``[-1, 1]`` to features ``(1, d, h', w')``; in eval mode, without
            gradients.
        measure: what a distance in its features is called.
    """

    net: nn.Module
    measure: str


class Inception(nn.Sequential):
    """Inception-v3 of torchvision up to one of its first two pools; names of weights as there.

    Attributes:
        smallest: side of the smallest image, in pixels.
    """

    def __init__(self, layer: Layer = "first-pool") -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            Conv2d_1a_3x3=_block(3, 32, 3, stride=2),
            Conv2d_2a_3x3=_block(32, 32, 3),
            Conv2d_2b_3x3=_block(32, 64, 3, padding=1),
        )
        if layer == "second-pool":
            layers["maxpool1"] = nn.MaxPool2d(3, 2)
            layers["Conv2d_3b_1x1"] = _block(64, 80, 1)
            layers["Conv2d_4a_3x3"] = _block(80, 192, 3)
        super().__init__(layers)
        self.smallest = _SMALLEST[layer]

    def forward(self, image: Tensor) -> Tensor:
        """Return features of ``image (b, 3, h, w)`` in ``[-1, 1]``, which is what Inception was trained on.

        Raises:
            SettingsError: an image of other channels.
            DataError: an image that is too small.
        """
        _, channels, height, width = image.shape
        if channels != 3:
            raise SettingsError(
                f"Inception sees grey or colour images, not {channels} channels; "
                "name an extractor of your own: --extractor package.module:function"
            )
        if min(height, width) < self.smallest:
            raise DataError(f"an image of {width} x {height} pixels is too small for Inception: {self.smallest} a side")
        made: Tensor = super().forward(image)  # type: ignore[no-untyped-call]
        return made


def _block(channels: int, width: int, kernel: int, *, stride: int = 1, padding: int = 0) -> nn.Sequential:
    conv = nn.Conv2d(channels, width, kernel, stride, padding, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(width, eps=0.001), relu=nn.ReLU()))


def inception(weights: str | Path, layer: Layer = "first-pool") -> Extractor:
    """Return Inception-v3 with the weights of a file.

    A distance in its features is SIFID only where the file is one that torchvision hands out: the same names and
    shapes with other weights (such as those of FID, which come from TensorFlow) give figures of another size.

    Args:
        weights: a file of ``torch.save`` or safetensors with the ``state_dict`` of ``torchvision.models.inception_v3``;
            nothing in it is run. Layers that are not needed may be missing.
        layer: ``"first-pool"``: the 64 features before the first pool, as the authors measured; ``"second-pool"``: the
            192 before the second, as their paper says.

    Raises:
        ModelError: the file cannot be read, or holds something else.
        SettingsError: there is no such layer.
    """
    one_of("layer", layer, get_args(Layer))
    path = Path(weights)
    found = _read(path)
    with torch.device("meta"):
        wanted = Inception(layer).state_dict()
    needed = {key: value for key, value in found.items() if key in wanted}
    needed |= {key: torch.tensor(0) for key in wanted if key.endswith(_COUNTER) and key not in needed}
    try:
        net = filled(lambda: Inception(layer), needed)
    except ModelError as error:
        raise ModelError(f"{path}: {error}; take the weights of torchvision's inception_v3") from error
    measure = "SIFID" if layer == "first-pool" else "SIFID before the second pool"
    if not _is_standard(path):
        measure = f"Frechet distance in Inception with {path.name}, {layer.replace('-', ' ')}"
    return Extractor(net.requires_grad_(False), measure)


def _read(path: Path) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors":
        with TensorFile(path) as file:
            return weights_of(file.read())
    found = read_checkpoint(path)
    try:
        return weights_of(found)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def _is_standard(path: Path) -> bool:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().startswith(STANDARD)


def own_extractor(name: str) -> Extractor:
    """Return the extractor that a user named; a distance in its features has its name.

    Args:
        name: ``"package.module:function"``, a function without arguments that returns a module from images
            ``(b, 3, h, w)`` in ``[-1, 1]`` to feature maps ``(b, d, h', w')``.

    Raises:
        SettingsError: another name, no such function, or it returns no module.
    """
    if ":" not in name:
        raise SettingsError(
            f"extractor (={name}) must be a function of yours that returns feature maps, package.module:function; "
            "for Inception name its file: --weights FILE"
        )
    return Extractor(load_extractor(name), f"Frechet distance in {name}")
