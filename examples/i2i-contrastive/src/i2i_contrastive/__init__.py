"""Contrastive unpaired translation for i2i: CUT and FastCUT (Park, Efros, Zhang, Zhu, ECCV 2020).

Names are imported when they are first used, so that ``i2i --help`` does not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from i2i_contrastive.features import FeaturedGenerator
    from i2i_contrastive.heads import heads_for, projection_head
    from i2i_contrastive.terms import patch_nce

__all__ = ["FeaturedGenerator", "heads_for", "patch_nce", "projection_head"]

_MODULES = {"FeaturedGenerator": "features", "heads_for": "heads", "projection_head": "heads", "patch_nce": "terms"}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
