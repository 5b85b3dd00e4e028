from __future__ import annotations

import subprocess
import sys

import pytest

import i2i.data


def test_import_loads_neither_pillow_nor_datasets() -> None:
    code = "import sys, i2i.data; print(sorted({'PIL', 'datasets', 'pyarrow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_public_name_is_there() -> None:
    for name in i2i.data.__all__:
        assert getattr(i2i.data, name).__class__
    assert dir(i2i.data) == sorted(i2i.data.__all__)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'pared'"):
        _ = i2i.data.pared
