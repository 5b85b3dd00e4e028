from __future__ import annotations

from pathlib import Path

import i2i_contrastive
import pytest

from i2i.testing import check_plugin


def test_it_keeps_what_plugins_promise(data: Path) -> None:
    report = check_plugin("contrastive", data=data)
    assert report.of("broken") == []


def test_its_names_are_there() -> None:
    assert {name: callable(getattr(i2i_contrastive, name)) for name in i2i_contrastive.__all__} == {
        "FeaturedGenerator": True,
        "heads_for": True,
        "patch_nce": True,
        "projection_head": True,
    }
    with pytest.raises(AttributeError, match="'i2i_contrastive' has no attribute 'patch_nse'"):
        i2i_contrastive.patch_nse  # noqa: B018
