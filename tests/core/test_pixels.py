from __future__ import annotations

import json
import math
from typing import Any

import pytest

from i2i.errors import SettingsError
from i2i.pixels import PixelFormat, formats_of, from_json, to_json


def test_levels_are_all_that_the_depth_holds_unless_a_range_is_named() -> None:
    assert [PixelFormat(depth=depth).levels for depth in (8, 16, 32)] == [(0, 255), (0, 65535), (0, 1)]
    assert PixelFormat(depth=16, range=(100, 4095)).levels == (100, 4095)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"channels": 0}, "channels (=0) must be at least 1"),
        ({"channels": "3"}, "channels (=3) must be at least 1"),
        ({"depth": 12}, "depth (=12) must be 8, 16, 32"),
        ({"range": (3.0, 3.0)}, "range (=3.0 3.0) must rise; name the lower level first"),
        ({"range": (0.0, math.inf)}, "range (=0.0 inf) must rise; name the lower level first"),
        ({"range": (math.nan, 1.0)}, "range (=nan 1.0) must rise; name the lower level first"),
        ({"colours": "hue"}, "colours (=hue) must be stored, lightness, chroma"),
        ({"alpha": "red"}, "alpha (=red) must be drop, white, black"),
        ({"colours": "chroma"}, "chroma has 2 channels, not 3"),
        ({"colours": "lightness", "channels": 2}, "lightness has 1 channels, not 2"),
    ],
)
def test_values_that_make_no_sense_are_named(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        PixelFormat(**arguments)
    assert str(caught.value) == said


def test_what_a_net_reads_and_writes() -> None:
    class Net:
        in_channels, out_channels = 1, None

    net = Net()
    assert formats_of(net) == (PixelFormat(channels=1), PixelFormat(channels=1))
    net.writes = PixelFormat(depth=16)  # type: ignore[attr-defined]
    assert formats_of(net) == (PixelFormat(channels=1), PixelFormat(depth=16))
    net.out_channels = 5  # type: ignore[assignment]
    del net.writes  # type: ignore[attr-defined]
    assert formats_of(net)[1] == PixelFormat(channels=5)


@pytest.mark.parametrize(
    "pixels",
    [
        PixelFormat(),
        PixelFormat(channels=7, depth=32, range=(-1.5, 2.0), alpha="white"),
        PixelFormat(channels=2, colours="chroma"),
    ],
)
def test_formats_survive_json(pixels: PixelFormat) -> None:
    assert from_json(json.loads(json.dumps(to_json(pixels)))) == pixels


@pytest.mark.parametrize(
    "stored",
    [
        None,
        [1],
        {},
        {"channels": 3},
        {**to_json(PixelFormat()), "more": 1},
        {**to_json(PixelFormat()), "depth": "8"},
        {**to_json(PixelFormat()), "range": [1]},
        {**to_json(PixelFormat()), "range": ["a", "b"]},
        {**to_json(PixelFormat()), "channels": 0},
    ],
)
def test_other_json_is_refused(stored: object) -> None:
    with pytest.raises(SettingsError, match="is no format of pixels"):
        from_json(stored)


def test_it_is_said_in_one_line() -> None:
    assert str(PixelFormat(channels=1, depth=16, range=(0, 4095))) == "1 x 16 bits, 0 to 4095"
    assert str(PixelFormat(channels=2, colours="chroma")) == "2 x 8 bits (chroma), 0 to 255"
