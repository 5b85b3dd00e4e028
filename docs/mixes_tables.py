"""The tables of docs/recipes, from what ``benchmarks/evidence/mixes.py`` wrote."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Rows = Sequence[Sequence[object]]
Found = Mapping[str, Any]

NOT_MEASURED = "not measured"
_TRANSLATIONS = ("", "PSNR", "SSIM", "time of one core")
_DISCS = ("", "taken for marked", "peak in the red disc", "AUC of the heat", "PSNR beside the disc", "time of one core")
_PYRAMIDS = ("", "fixed noise", "scale below", "gain", "diversity", "time of one core")

#: what the overview tells: its name, where it stands, how it is written
_FIGURES = (
    ("PSNR", "psnr", ".2f"),
    ("peak in the red disc", "peak_in_red", ".0%"),
    ("error of the fixed noise", "reconstruction", ".1%"),
)
#: by page: what is mixed, and what it shows
ABOUT: Mapping[str, tuple[str, str]] = {
    "attention-and-scales": (
        "U-GAT-IT's generator and attention loss, pix2pixHD's discriminator and feature matching, hinge",
        "one direction without a cycle, and where it looks",
    ),
    "averaged-cyclegan": (
        "CycleGAN with hinge, a lazy R1 penalty and an average of the weights",
        "a third player on an optimiser of its own",
    ),
    "coarse-to-fine": (
        "CycleGAN's generators, pix2pixHD's discriminator that gets a finer scale",
        "stages that hand nets on",
    ),
    "pyramid-norm": ("SinGAN's pyramid, U-GAT-IT's norm", "a norm of another method inside a network"),
    "matched-unet": (
        "CycleGAN's U-Net, pix2pixHD's discriminator and feature matching",
        "pairs without any distance between pixels",
    ),
    "few-pairs": ("CycleGAN, and a few pairs with an L1 term", "two sources of data in one batch"),
}


def translation_rows(mix: Found) -> Rows:
    """Return a row for each baseline and each training: how close held-out translations come to the truth."""
    rows: list[Sequence[object]] = [(name, *_likeness(row), "") for name, row in mix["baselines"].items()]
    for row in mix["rows"]:
        rows.append((row["row"], *_likeness(row), _seconds(row)))
        others = {name: value for name, value in row.items() if isinstance(value, Mapping)}
        rows += [(f"{row['row']}, {name} weights", *_likeness(value), "") for name, value in others.items()]
    return rows


def disc_rows(mix: Found) -> Rows:
    """Return a row for each training: is the red disc gone, was it looked at, is the rest as it was."""
    rows: list[Sequence[object]] = [
        ("input itself", f"{mix['baselines']['input itself']['called_marked']:.0%}", *[""] * 4)
    ]
    for row in mix["rows"]:
        shares = [f"{row[name]:.0%}" for name in ("called_marked", "peak_in_red")]
        rows.append((row["row"], *shares, f"{row['auc']:.2f}", f"{row['kept']:.1f} dB", _seconds(row)))
    return rows


def pyramid_rows(mix: Found) -> Rows:
    """Return a row for each training, with the columns of the settings of SinGAN."""
    rows = []
    for row in mix["rows"]:
        errors = [f"{row[name]:.1%}" for name in ("reconstruction", "coarser")]
        gain = f"{1 - row['reconstruction'] / row['coarser']:.0%}"
        rows.append((row["row"], *errors, gain, f"{row['diversity']:.2f}", _seconds(row)))
    return rows


def of_page(name: str, columns: int, rows: Callable[[Found], Rows], found: Found) -> Rows:
    """Return the rows of a page, or one that says that it was not measured."""
    mixes = found["mixes"]
    return rows(mixes[name]) if name in mixes else [[NOT_MEASURED] * columns]


def overview(found: Found) -> Rows:
    """Return a row for each mix: what it is made of, what it shows, one figure of each training, how long it takes."""
    rows = []
    for name, (parts, shows) in ABOUT.items():
        mix = found["mixes"].get(name)
        told = (NOT_MEASURED, NOT_MEASURED) if mix is None else (figure(mix["rows"]), _seconds(mix["rows"][0]))
        rows.append((f"[{name.replace('-', ' ')}]({name}.md)", parts, shows, *told))
    return rows


def figure(rows: Sequence[Found]) -> str:
    """Return the first figure of the trainings of a mix, that of the page first.

    Example:
        >>> figure([{"row": "the mix", "psnr": 17.0}, {"row": "no pairs", "psnr": 15.174}])
        'PSNR 17.00 dB; no pairs 15.17 dB'
    """
    label, key, form = next(kind for kind in _FIGURES if kind[1] in rows[0])
    first, *others = (format(row[key], form) for row in rows)
    unit = " dB" if key == "psnr" else ""
    told = [f"{row['row']} {other}{unit}" for row, other in zip(rows[1:], others, strict=True)]
    return "; ".join([f"{label} {first}{unit}", *told])


def _likeness(row: Found) -> tuple[str, str]:
    return f"{row['psnr']:.2f} dB", f"{row['ssim']:.3f}"


def _seconds(row: Found) -> str:
    return f"{row['seconds']:.0f} s"


_PAGES: Mapping[str, tuple[Sequence[str], Callable[[Found], Rows]]] = {
    "attention-and-scales": (_DISCS, disc_rows),
    "averaged-cyclegan": (_TRANSLATIONS, translation_rows),
    "coarse-to-fine": (_TRANSLATIONS, translation_rows),
    "pyramid-norm": (_PYRAMIDS, pyramid_rows),
    "matched-unet": (_TRANSLATIONS, translation_rows),
    "few-pairs": (_TRANSLATIONS, translation_rows),
}
TABLES: Mapping[str, tuple[Sequence[str], Callable[[Found], Rows]]] = {
    "mixes": (("mix", "made of", "what it shows", "measured", "time of one core"), overview),
    **{
        f"mix-{name}": (head, functools.partial(of_page, name, len(head), rows))
        for name, (head, rows) in _PAGES.items()
    },
}
"""By the name that a page has for it: the head of a table, and what makes its rows."""
