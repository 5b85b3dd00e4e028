"""How an instance map numbers what is in it, found from the map itself."""

from __future__ import annotations

from itertools import chain
from typing import Literal, TypeAlias

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor

from i2i.errors import DataError

Kind: TypeAlias = Literal["cityscapes", "objects", "segments"]

_THOUSAND = 1000
_MOST = 65535  # what a PNG of ids holds
# Cityscapes has no number for an object of class 0, nor for more than a thousand of a class: they get some of our own,
# above those of all classes that there can be (65536). The last five digits are the class, which keeps it readable.
_OURS = 100_000_000
_STEP = 100_000
_HIGHEST = 2**31 - 1


@attrs.frozen
class Numbering:
    """The rule that ids follow.

    Attributes:
        kind: ``"cityscapes"``: an object has the id ``class * 1000 + n``, everything else the id of its class;
            ``"objects"``: objects have any ids, and everything else has 0; ``"segments"``: everything is numbered.

    Differs:
        From Cityscapes, where its numbers do not suffice (objects of class 0, the 1001st object of a class): such an
        object has the id ``100000000 + n * 100000 + class``, n from 1 on. With n = 0 it is the id of pixels that belong
        to no object, for classes from 1000 on.
    """

    kind: Kind

    def is_object(self, id: int) -> bool:
        """Tell whether an id is that of an object."""
        if self.kind == "cityscapes":
            return id >= _THOUSAND and not _OURS <= id < _OURS + _STEP
        return self.kind == "segments" or id > 0

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
        if self.kind == "cityscapes":
            return label if label < _THOUSAND else _OURS + label
        if self.kind == "objects":
            return 0
        alike = (labels == label) & ~mask
        for there in (alike & around(mask), alike):
            if bool(there.any()):
                ids, counts = torch.unique(instances[there], return_counts=True)
                return int(ids[counts.argmax()])
        return self.new(instances, label)

    def new(self, instances: Tensor, label: int) -> int:
        """Return an id for a new object of class ``label``; none that is there, nor that of a class.

        Outside of Cityscapes it is one that a PNG of ids holds, if there is one.

        Raises:
            DataError: there is no number left.

        Example:
            >>> ids = torch.tensor([[7, 26000], [26001, 7]])
            >>> Numbering("cityscapes").new(ids, 24), Numbering("objects").new(ids, 24)
            (24000, 26002)
        """
        there = set(torch.unique(instances).tolist())
        if self.kind == "cityscapes":
            first = label * _THOUSAND
            usual = range(first, first + _THOUSAND) if label else range(0)  # ids below 1000 are those of classes
            after = max((id + 1 for id in usual if id in there), default=first)
            known = chain(usual[after - first :], usual, range(_OURS + _STEP + label, _HIGHEST + 1, _STEP))
        else:
            after = max(0, *there) + 1
            known = chain(range(after, _MOST + 1), range(1, len(there) + 2))
        for id in known:
            if id not in there:
                return id
        raise DataError(f"too many objects of class {label}: there is no number left for another one")


def numbering_of(labels: Tensor, instances: Tensor) -> Numbering:
    """Find the rule that an instance map follows; both maps are ``(h, w)``.

    Example:
        >>> labels = torch.tensor([[7, 7, 26, 8]])
        >>> [numbering_of(labels, torch.tensor([ids])).kind for ids in ([7, 7, 26000, 8], [0, 0, 1, 0], [1, 1, 2, 3])]
        ['cityscapes', 'objects', 'segments']
    """
    objects = torch.where(instances < _OURS, instances // _THOUSAND, instances % _STEP)
    if bool((labels == torch.where(instances < _THOUSAND, instances, objects)).all()):
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
