"""How an instance map numbers what is in it, found from the map itself."""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor

Kind: TypeAlias = Literal["cityscapes", "objects", "segments"]

_THOUSAND = 1000
_MOST = 65535  # what a PNG of ids holds


@attrs.frozen
class Numbering:
    """The rule that ids follow.

    Attributes:
        kind: ``"cityscapes"``: an object has the id ``class * 1000 + n``, everything else the id of its class;
            ``"objects"``: objects have any ids, and everything else has 0; ``"segments"``: everything is numbered.
    """

    kind: Kind

    def is_object(self, id: int) -> bool:
        """Tell whether an id is that of an object."""
        return self.kind == "segments" or id >= (_THOUSAND if self.kind == "cityscapes" else 1)

    def background(self, labels: Tensor, instances: Tensor, label: int, mask: Tensor) -> int:
        """Return the id of pixels that belong to no object.

        Where everything is numbered, it is the most frequent id of that label just around them, or else anywhere
        outside; where there is none, a new one.

        Args:
            labels: ``(h, w)``, like the others.
            instances: of the scene.
            label: that the pixels will have.
            mask: the pixels, bool.
        """
        if self.kind != "segments":
            return label if self.kind == "cityscapes" else 0
        alike = (labels == label) & ~mask
        for there in (alike & around(mask), alike):
            if bool(there.any()):
                ids, counts = torch.unique(instances[there], return_counts=True)
                return int(ids[counts.argmax()])
        return self.new(instances, label)

    def new(self, instances: Tensor, label: int) -> int:
        """Return an id for a new object of class ``label``; none that is there.

        Where the rule gives no number that a PNG of ids holds, it is the lowest one free.

        Example:
            >>> ids = torch.tensor([[7, 26000], [26001, 7]])
            >>> Numbering("cityscapes").new(ids, 24), Numbering("objects").new(ids, 24)
            (24000, 26002)
        """
        there = torch.unique(instances).tolist()
        if self.kind == "cityscapes" and label:  # ids below 1000 are those of classes
            own = [id for id in there if id // _THOUSAND == label]
            id, most = max(own, default=label * _THOUSAND - 1) + 1, label * _THOUSAND + _THOUSAND - 1
        else:
            id, most = max(there[-1], 0) + 1, _MOST
        if id <= min(most, _MOST):
            return id
        taken = set(there)
        return next(id for id in range(1, len(there) + 2) if id not in taken)


def numbering_of(labels: Tensor, instances: Tensor) -> Numbering:
    """Find the rule that an instance map follows; both maps are ``(h, w)``.

    Example:
        >>> labels = torch.tensor([[7, 7, 26, 8]])
        >>> [numbering_of(labels, torch.tensor([ids])).kind for ids in ([7, 7, 26000, 8], [0, 0, 1, 0], [1, 1, 2, 3])]
        ['cityscapes', 'objects', 'segments']
    """
    if bool((labels == torch.where(instances < _THOUSAND, instances, instances // _THOUSAND)).all()):
        return Numbering("cityscapes")
    unnumbered = labels[instances == 0]
    return Numbering("objects" if len(torch.unique(unnumbered)) > 1 else "segments")


def around(mask: Tensor) -> Tensor:
    """Return the pixels ``(h, w)`` bool that touch those of ``mask`` and are not among them; corners count.

    Example:
        >>> around(torch.tensor([[True, False, False]])).tolist()
        [[False, True, False]]
    """
    wider = F.max_pool2d(mask[None, None].float(), 3, stride=1, padding=1)[0, 0] > 0
    return wider & ~mask
