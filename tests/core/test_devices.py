from __future__ import annotations

import pytest

from i2i.devices import usable_device
from i2i.errors import SettingsError


def test_auto_is_the_best_there_is_and_others_are_said_to_be_unusable():
    assert usable_device("cpu").type == "cpu"
    assert usable_device("auto").type in ("cpu", "cuda")
    with pytest.raises(SettingsError, match=r"device \(=cuda:77\) cannot be used here"):
        usable_device("cuda:77")
    with pytest.raises(SettingsError, match=r"device \(=gpu\) cannot be used here: .*; use cpu or auto"):
        usable_device("gpu")
