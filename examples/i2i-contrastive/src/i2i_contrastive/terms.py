"""PatchNCE: each patch of a translation is to be more like the patch it came from than like the others around it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

import i2i
from i2i import Translation
from i2i.errors import CompositionError
from i2i.losses import at_least_float32

Features = Callable[[Tensor], Sequence[Tensor]]
Head = Callable[[Tensor], Tensor]


def _itself(image: Tensor) -> list[Tensor]:
    return [image]


@i2i.part(example=i2i.Example({"features": _itself}, ((2, 3, 6, 6), (2, 3, 6, 6))))
def patch_nce(
    source: Tensor,
    fake: Translation,
    *,
    features: Features,
    heads: Iterable[Head] | None = None,
    keys: Sequence[Tensor] | None = None,
    flipped: Tensor | None = None,
    patches: int = 256,
    temperature: float = 0.07,
) -> Tensor:
    """Cross-entropy of telling, for each patch of a translation, which patch of its source it came from.

    In each layer of features some places are drawn. The features of the fake at a place (the query) are compared with
    those of the source at all places drawn (the keys): at the same place they should be most alike. So all negatives
    are of the same image. The mean over places, images and layers; nothing learns through the keys.

    Args:
        source: the images that were translated, ``(b, c, h, w)``.
        fake: what they became.
        features: ``features(images) -> maps (b, c, h, w)``, a map per layer, such as
            `i2i_contrastive.FeaturedGenerator.features`.
        heads: for each layer what is called with ``(b, n, c)`` and returns ``(b, n, d)`` of length 1, see
            `i2i_contrastive.heads_for`; None: the features themselves, brought to length 1.
        keys: the features of ``source``, where they are known already; spares a pass.
        flipped: ``(b,)``, true for the images that were mirrored before they were translated: the features of those
            fakes are mirrored back.
        patches: places drawn in each layer; all, where it has fewer.
        temperature: what similarities, which lie in ``[-1, 1]``, are divided by.

    Returns:
        A scalar; about the logarithm of the number of places where nothing is told apart.

    Raises:
        CompositionError: there are not as many heads, or keys, as layers.

    Example:
        >>> image = torch.rand(1, 3, 4, 4)
        >>> same = patch_nce(image, Translation(image), features=lambda image: [image])
        >>> bool(same < patch_nce(image, Translation(image.flip(3)), features=lambda image: [image]))
        True

    References:
        Park et al., Contrastive Learning for Unpaired Image-to-Image Translation, eq. 2 to 4.

    Differs:
        Eq. 4 sums over places and layers; this is their mean, as in the authors' code, to which the weights belong.
    """
    queries = [mirrored(maps, flipped) for maps in features(fake.image)]
    project = [_to_length_1] * len(queries) if heads is None else list(heads)
    with torch.no_grad():
        keys = features(source) if keys is None else [maps.detach() for maps in keys]
    if not len(queries) == len(keys) == len(project):
        raise CompositionError(f"{len(queries)} layers of features, {len(project)} heads, {len(keys)} layers of keys")
    return torch.stack(
        [
            _layer(query, key, head, patches, temperature)
            for query, key, head in zip(queries, keys, project, strict=True)
        ]
    ).mean()


def _layer(query: Tensor, key: Tensor, head: Head, patches: int, temperature: float) -> Tensor:
    places = torch.randperm(query.shape[2] * query.shape[3], device=query.device)[:patches]
    queries = head(_at(query, places))
    with torch.no_grad():
        keys = head(_at(key, places))
    # Similarities lie close together, and are divided by a small number: bf16 would round the differences off.
    with torch.autocast(query.device.type, enabled=False):
        logits = queries @ keys.transpose(1, 2) / temperature
    truth = torch.arange(len(places), device=query.device).expand(len(logits), -1)
    return functional.cross_entropy(logits.flatten(0, 1), truth.flatten())


def _at(maps: Tensor, places: Tensor) -> Tensor:
    """Take ``(b, n, c)`` out of ``(b, c, h, w)``."""
    return maps.flatten(2)[:, :, places].transpose(1, 2)


def _to_length_1(features: Tensor) -> Tensor:
    return functional.normalize(at_least_float32(features), dim=-1)


def mirrored(maps: Tensor, flipped: Tensor | None) -> Tensor:
    """Mirror those of ``maps (b, c, h, w)`` for which ``flipped (b,)`` is true."""
    return maps if flipped is None else torch.where(flipped[:, None, None, None], maps.flip(3), maps)
