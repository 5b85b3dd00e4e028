"""VGG19 as a fixed network that knows photographs, with weights from a file whose checksum is known."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from i2i.convert import filled, inventory, weights_of
from i2i.errors import ModelError, RunError, SettingsError
from i2i.pickles import read_checkpoint
from i2i.tensorfile import TensorFile

#: The file in which torchvision hands out the weights; its sha256 begins as its name says.
FILE = "vgg19-dcbb9e9d.pth"
CHECKSUM = "dcbb9e9d"
#: Instead of a file: weights drawn at random, which know nothing; for tests of speed and of the wiring.
UNTRAINED = "untrained"
#: Side of the smallest image that gives all maps, in pixels.
SMALLEST = 16
_WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512)  # 0: halved
_ENDS = (2, 7, 12, 21, 30)  # behind the first ReLU of each resolution


class Vgg19(nn.Module):
    """VGG19 of torchvision up to ``relu5_1``, with its names of weights; never trained."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in _WIDTHS:
            if width:
                layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
                before = width
            else:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.requires_grad_(False).eval()

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the maps behind relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1.

        Args:
            image: ``(b, 3, h, w)`` or grey ``(b, 1, h, w)``, in ``[-1, 1]`` as it is: not brought to the mean and
                deviation of ImageNet, as in the authors' code.
        """
        x = image.expand(-1, 3, -1, -1)
        found = []
        for place, layer in enumerate(self.features, 1):
            x = layer(x)
            if place in _ENDS:
                found.append(x)
        return tuple(found)


class Located(nn.Module):
    """A fixed network that follows the images from device to device."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return what the network finds in ``image``."""
        weight = next(self.net.parameters())
        if weight.device != image.device and "meta" not in (weight.device.type, image.device.type):
            self.net.to(image.device)
        found: tuple[Tensor, ...] = self.net(image)
        return found


def vgg19(weights: str | Path | None = None, *, checksum: str = CHECKSUM) -> nn.Module:
    """Return VGG19 for `i2i_pix2pixhd.terms.perceptual`; says which file it reads.

    Args:
        weights: a file of ``torch.save`` or safetensors with the ``state_dict`` of ``torchvision.models.vgg19`` (the
            layers of the classifier may be missing); None: the file in torchvision's cache, fetched where it is not
            there; ``"untrained"``: weights drawn at random, which know nothing.
        checksum: how the sha256 of the file begins; another one than torchvision's only for weights of another origin.

    Returns:
        A module from images ``(b, 3, h, w)`` to five maps; in eval mode, without gradients for its weights.

    Raises:
        ModelError: the file is missing or damaged, or holds something else or another version of it.
        RunError: there is no such file in the cache, and it cannot be fetched.
    """
    if weights == UNTRAINED:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return Located(Vgg19())
    path = _cached() if weights is None else Path(weights)
    return _read(path, checksum)


@functools.lru_cache(maxsize=1)  # recipes are built several times for one run
def _read(path: Path, checksum: str) -> nn.Module:
    if not path.is_file():
        raise ModelError(f"{path}: no such file; name the weights of VGG19 with --vgg, or use --no-perceptual")
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(checksum):
        raise ModelError(
            f"{path} has the sha256 {found[:16]}..., not {checksum}...; fetch {FILE} again, or name the checksum of "
            f"weights of another origin with --vgg-checksum {found[:8]}"
        )
    try:
        held, names = weights_of(_state(path)), _names()
        needed = {key: value for key, value in held.items() if key in names}
        if not needed:
            raise ModelError(f"holds no layer of VGG19: {inventory(held)}")
        net = filled(Vgg19, needed)
    except ModelError as error:
        said = str(error).removeprefix(f"{path}: ")
        raise ModelError(f"{path}: {said}; take the weights of torchvision's vgg19") from error
    print(f"VGG19: {path}, sha256 {found[:16]}...", flush=True)
    return Located(net.requires_grad_(False))


def _names() -> Mapping[str, Tensor]:
    with torch.device("meta"):
        return Vgg19().state_dict()


def _state(path: Path) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors":
        with TensorFile(path) as file:
            return file.read()
    return read_checkpoint(path)


def _cached() -> Path:
    """Return the file in torchvision's cache; where it is not there, torchvision fetches it.

    Raises:
        RunError: it cannot be fetched.
    """
    path = Path(torch.hub.get_dir(), "checkpoints", FILE)
    if path.is_file():
        return path
    remedy = f"put {FILE} into {path.parent}, name it with --vgg FILE, or use --no-perceptual"
    try:
        from torchvision.models import VGG19_Weights
    except ImportError as error:
        raise RunError(f"the perceptual loss needs the weights of VGG19, and torchvision, which fetches them, is not "
                       f"installed; {remedy}") from error  # fmt: skip
    try:
        VGG19_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise RunError(f"the weights of VGG19 cannot be fetched ({reason}); {remedy}") from error
    return path


def check_channels(channels: int) -> None:
    """Check that VGG19 can see images of so many channels.

    Raises:
        SettingsError: neither grey nor colour.
    """
    if channels not in (1, 3):
        raise SettingsError(f"VGG19 sees grey or colour images, not {channels} channels; use --no-perceptual")
