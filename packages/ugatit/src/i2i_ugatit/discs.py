"""Two domains that differ by one thing at a known place: crops of real photographs with striped discs; for the demo.

Each crop has a blue disc in its lower half, those of B also a red one in their upper half. What tells the domains apart
is the red disc alone: an attention that merely follows what is salient points at the blue one as well. The photographs
lie inside the packages of scikit-image and scikit-learn.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from i2i import photographs
from i2i.demos import CROP, SHORT_SIDE, write_colours
from i2i.photographs import Colours

HELD_OUT, TRAINING = 48, 900  # crops of each domain
PLACES = "discs.json"
"""Where the discs of the held-out crops are, beside the folders."""
_HALF = CROP // 2
_RADII = (7, 12)  # pixels
_STRIPE = 3  # pixels
_WHITE = np.array([0.95, 0.95, 0.95])
_COLOUR = {"red": np.array([0.85, 0.05, 0.10]), "blue": np.array([0.10, 0.15, 0.85])}


class Disc(NamedTuple):
    """Where a disc is: its centre and its radius, in pixels."""

    row: int
    column: int
    radius: int

    def mask(self) -> NDArray[np.bool_]:
        """Return which pixels of a crop ``(h, w)`` it covers."""
        rows, columns = np.indices((CROP, CROP))
        covered: NDArray[np.bool_] = np.hypot(rows - self.row, columns - self.column) <= self.radius
        return covered


class Sample(NamedTuple):
    """A crop ``(h, w, 3)`` in 0 ... 1 with its discs; those of domain A have no red one."""

    image: Colours
    blue: Disc
    red: Disc | None


class HeldOut(NamedTuple):
    """Crops that no training sees, by the names of their files."""

    a: dict[str, Sample]
    b: dict[str, Sample]


def write_data(folder: Path) -> HeldOut:
    """Write ``trainA``, ``trainB``, ``testA`` and ``testB`` (PNG) and where the discs of the held-out crops are.

    A is cut from the left columns of the photographs, B from the right ones, what is held out from the middle.
    """
    regions = {name: photographs.columns(whole) for name, whole in photographs.load(SHORT_SIDE).items()}
    left, middle, right = ({name: region[k] for name, region in regions.items()} for k in range(3))
    _write(folder / "trainA", _samples(left, TRAINING, 1, red=False))
    _write(folder / "trainB", _samples(right, TRAINING, 2, red=True))
    held_out = HeldOut(_samples(middle, HELD_OUT, 3, red=False), _samples(middle, HELD_OUT, 4, red=True))
    places: dict[str, object] = {}
    for name, samples in (("testA", held_out.a), ("testB", held_out.b)):
        _write(folder / name, samples)
        places[name] = {file: _places(sample) for file, sample in samples.items()}
    (folder / PLACES).write_text(json.dumps(places, indent=1) + "\n", encoding="utf-8")
    return held_out


def place(half: Literal["upper", "lower"], draws: np.random.Generator) -> Disc:
    """Draw a disc that lies wholly in one half of a crop."""
    radius = int(draws.integers(_RADII[0], _RADII[1] + 1))
    row = int(draws.integers(radius, _HALF - radius)) + (_HALF if half == "lower" else 0)
    return Disc(row, int(draws.integers(radius, CROP - radius)), radius)


def painted(image: Colours, disc: Disc, colour: Literal["red", "blue"]) -> Colours:
    """Return ``image (h, w, 3)`` with a disc of vertical stripes, coloured and white, the first of them coloured."""
    stripes = (np.arange(CROP) - disc.column + disc.radius) // _STRIPE % 2
    pattern = np.where(stripes[:, None] == 0, _COLOUR[colour], _WHITE)
    return np.where(disc.mask()[..., None], pattern, image)


def _samples(regions: Mapping[str, Colours], count: int, seed: int, *, red: bool) -> dict[str, Sample]:
    """Cut crops, always the same ones, and paint their discs."""
    names, draws = list(regions), np.random.default_rng(seed)
    found = {}
    for index, (which, rows, columns) in enumerate(photographs.crops(list(regions.values()), CROP, count, seed)):
        lower, upper = place("lower", draws), place("upper", draws) if red else None
        image = painted(regions[names[which]][rows, columns], lower, "blue")
        image = image if upper is None else painted(image, upper, "red")
        found[f"{index:03d}-{names[which]}.png"] = Sample(image, lower, upper)
    return found


def _write(folder: Path, samples: Mapping[str, Sample]) -> None:
    for file, sample in samples.items():
        write_colours(folder / file, sample.image)


def _places(sample: Sample) -> dict[str, dict[str, int]]:
    discs = {"blue": sample.blue, "red": sample.red}
    return {colour: disc._asdict() for colour, disc in discs.items() if disc is not None}


def masks(discs: Sequence[Disc | None]) -> NDArray[np.bool_]:
    """Return which pixels the discs cover, ``(b, h, w)``."""
    return np.stack([np.zeros((CROP, CROP), dtype=bool) if disc is None else disc.mask() for disc in discs])
