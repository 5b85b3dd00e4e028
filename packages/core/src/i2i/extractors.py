"""Extractors: networks in whose features the distance between two sets of images is measured."""

from __future__ import annotations

import importlib
import pickle
import re
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2i.errors import RunError, SettingsError
from i2i.nearest import nearest

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def load_extractor(name: str) -> nn.Module:
    """Return the extractor that a user named, in eval mode and without gradients.

    Args:
        name: a classifier of ``torchvision.models`` (``"resnet50"``), which is fetched with its default weights; or
            ``"package.module:function"``, a function without arguments that returns a module from images
            ``(b, 3, h, w)`` in ``[-1, 1]`` to features ``(b, d)``.

    Raises:
        SettingsError: torchvision has no such classifier, or there is no such function, or it returns no module.
        RunError: torchvision is not installed, or the weights cannot be fetched.
    """
    net = _own(name) if _FUNCTION.fullmatch(name) else _of_torchvision(name)
    return net.requires_grad_(False).eval()


def features(extractor: nn.Module, images: Tensor) -> Tensor:
    """Return the features ``(b, d)`` of images ``(b, c, h, w)`` in ``[-1, 1]``; grey ones are shown as colour.

    Raises:
        SettingsError: the extractor returns something else.
    """
    images = images.float().clamp(-1, 1)
    found = extractor(images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images)
    if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(images):
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise SettingsError(
            f"the extractor returns {shape} for {len(images)} images; it must return ({len(images)}, d)"
        )
    return found


class _Classifier(nn.Module):
    """A classifier of ImageNet without its last layer, which sees images as it was trained to."""

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, side: int, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.net, self.side = net, side
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1] != 3:
            raise SettingsError(
                f"a network of torchvision sees grey or colour images, not {images.shape[1]} channels; "
                "name an extractor of your own: package.module:function"
            )
        # All of an image is seen; the crop that classifiers are tested with leaves its borders out.
        sized = F.interpolate(images, (self.side, self.side), mode="bilinear", antialias=True, align_corners=False)
        found: Tensor = self.net(((sized + 1) / 2 - self.mean) / self.std)
        return found


def _of_torchvision(name: str) -> nn.Module:
    try:
        from torchvision import models
    except ImportError as error:
        raise RunError(f"extractor (={name}) needs torchvision ({error}): pip install 'i2i-core[metrics]'") from error
    known = models.list_models(module=models)
    if name not in known:
        raise SettingsError(
            f"extractor (={name}) is no classifier of torchvision ({nearest(name, known)}); "
            "name one, or a function of yours, package.module:function"
        )
    weights = models.get_model_weights(name).DEFAULT
    try:
        # Fetches and reads the file as plain tensors; only then may torchvision, which does not insist, read it.
        weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
        net = models.get_model(name, weights=weights, progress=False)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        no_weights = isinstance(error, pickle.UnpicklingError)
        reason = "the file holds more than weights" if no_weights else " ".join(str(error).split())[:200]
        folder = f"{torch.hub.get_dir()}/checkpoints"
        raise RunError(f"the weights of {name} cannot be read ({reason}); put {weights.url} into {folder}") from error
    _drop_last_layer(net)
    wanted = weights.transforms()
    return _Classifier(net, wanted.crop_size[0], list(wanted.mean), list(wanted.std))


def _drop_last_layer(net: nn.Module) -> None:
    """Put an identity in the place of the layer that makes class scores; what it was given is then the result."""
    last = [path for path, module in net.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
    parent, _, attribute = last.rpartition(".")
    setattr(net.get_submodule(parent), attribute, nn.Identity())


def _own(name: str) -> nn.Module:
    module, _, attribute = name.partition(":")
    try:
        function: Callable[[], Any] = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # importing runs code of the user's
        raise SettingsError(
            f"extractor (={name}) cannot be imported ({_said(error)}); install it, or name its folder in PYTHONPATH"
        ) from error
    try:
        net = function()
    except Exception as error:
        raise SettingsError(
            f"extractor (={name}) fails ({_said(error)}); it must be a function without arguments that returns a "
            "torch.nn.Module"
        ) from error
    if not isinstance(net, nn.Module):
        raise SettingsError(f"extractor (={name}) returns a {type(net).__name__}; it must return a torch.nn.Module")
    return net


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
