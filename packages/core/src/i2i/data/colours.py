"""Colours of classes: tables of them in files, from colours to classes, and back for pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from i2i.errors import DataError

_TABLE = 2**16  # ids that are painted without a look at which of them there are

#: The colour of each class, 0 to 255 for red, green and blue; the place is the class.
Colours: TypeAlias = tuple[tuple[int, int, int], ...]


def read_colours(path: str | Path) -> Colours:
    """Read a table of colours: the colour of class 0, of class 1, and so on.

    Either lines ``red green blue``, each 0 to 255, with spaces or commas, perhaps with a name behind them; empty lines
    and those that begin with ``#`` are passed over. Or a list of such triples in JSON.

    Raises:
        DataError: it cannot be read; a line that is no colour is named.
    """
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise DataError(f"the table of colours {path} cannot be read: {reason}") from error
    rows = _json_rows(text, path) if text.lstrip().startswith("[") else _text_rows(text)
    colours = tuple(_colour(row, f"{path}: {place}") for place, row in rows)
    if not colours:
        raise DataError(f"the table of colours {path} is empty; write a line 'red green blue' for each class")
    return colours


def _text_rows(text: str) -> Iterator[tuple[str, Sequence[object]]]:
    for number, line in enumerate(text.splitlines(), 1):
        words = re.split(r"[\s,;]+", line.strip())
        if words != [""] and not words[0].startswith("#"):
            yield f"line {number}", [int(word) if word.isascii() and word.isdigit() else word for word in words[:3]]


def _json_rows(text: str, path: str | Path) -> Iterator[tuple[str, Sequence[object]]]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no valid JSON: {error}") from error
    for number, row in enumerate(found):
        yield f"entry {number}", row if isinstance(row, list) else [row]


def _colour(row: Sequence[object], place: str) -> tuple[int, int, int]:
    match row:
        case [int(red), int(green), int(blue)] if all(0 <= level <= 255 for level in (red, green, blue)):
            return red, green, blue
    raise DataError(f"{place} is no colour ({' '.join(map(str, row))[:40]}); write red green blue, each from 0 to 255")


def classes_of(array: NDArray[Any], colours: Colours) -> NDArray[np.int32]:
    """Return the class ``(h, w)`` of each colour ``(h, w, 3 or 4)``; transparency is left out.

    Of classes with the same colour the first one is taken.

    Raises:
        DataError: a colour is no class; the message says which, and where, without the name of the file.
    """
    # A place for each colour there is, of which only the pages that are touched take memory; 0: no class.
    table = np.zeros(2**24, np.int32)
    for k, colour in reversed([*enumerate(colours, 1)]):
        table[_code(*colour)] = k
    classes: NDArray[np.int32] = table[_code(*(array[..., k].astype(np.int32) for k in range(3)))] - 1
    strange = classes < 0
    if strange.any():
        y, x = (int(places[0]) for places in strange.nonzero())
        red, green, blue = array[y, x, :3].tolist()
        raise DataError(
            f"has the colour {red} {green} {blue} in column {x} of row {y}, which the table of --colours does not have"
            f" ({strange.sum()} of {strange.size} pixels); add it there, or correct the map"
        )
    return classes


def _code(red: Any, green: Any, blue: Any) -> Any:
    return red << 16 | green << 8 | blue


def coloured(ids: Tensor, colours: Colours | None = None) -> Tensor:
    """Paint ids for pictures.

    Args:
        ids: ``(b, 1, h, w)``, whole numbers from 0.
        colours: of the first ids; the others, or all, get colours of their own, which differ below 2**24.

    Returns:
        ``(b, 3, h, w)``, float32 in ``[-1, 1]``.

    Example:
        >>> coloured(torch.tensor([[[[0, 1]]]]), ((255, 0, 0),))[0, :, 0, 0]
        tensor([ 1., -1., -1.])
    """
    places = ids[:, 0].long()
    known = torch.arange(int(places.max()) + 1, device=ids.device)
    if len(known) > _TABLE:
        known, places = torch.unique(places, return_inverse=True)
    # The bits of an id go to red, green and blue in turn, the lowest where they are seen best.
    bits = [[((known >> (3 * k + colour)) & 1) << (7 - k) for k in range(8)] for colour in range(3)]
    levels = torch.stack([torch.stack(column).sum(0) for column in bits], dim=1)
    if colours is not None:
        listed = known < len(colours)
        levels[listed] = torch.tensor(colours, device=ids.device)[known[listed]]
    return (levels / 127.5 - 1)[places].permute(0, 3, 1, 2).contiguous()
