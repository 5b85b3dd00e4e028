"""``i2i ugatit faces``: from a folder of pictures to the faces of one domain."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from i2i.errors import DataError, SettingsError

if TYPE_CHECKING:
    from i2i_ugatit.faces.detectors import FaceDetector
    from i2i_ugatit.faces.gather import Cutting, Gathered
    from i2i_ugatit.faces.report import Outcome

_WIDEST = 4


def faces(
    inputs: tuple[Path, ...],
    /,
    *,
    out: Path,
    cascade: Path | None = None,
    detector: str | None = None,
    neighbours: int | None = None,
    rotate: float = 0.0,
    margin: float = 0.25,
    size: int = 256,
    smallest: int = 64,
    duplicates: int = 6,
    domain: Literal["A", "B"] = "A",
    test_share: float = 0.1,
    seed: int = 0,
    alpha: Literal["drop", "white", "black"] = "drop",
    skip_bad: bool = False,
) -> None:
    """Cut the faces out of pictures, turned if wanted, into the folders of one domain of a data set.

    Args:
        inputs: image files and folders of them.
        out: folder of the data set; gets trainA and testA (or trainB and testB), a contact sheet and a report.
        cascade: XML file of OpenCV's cascade classifier, or the name of one that comes with OpenCV.
        detector: instead of a cascade: your function from an image (h, w, 3) to boxes (x, y, width, height), as
            package.module:function.
        neighbours: how many overlapping hits of the cascade make a face, 5 when left out; fewer: more faces are found,
            and more that are none.
        rotate: degrees by which faces are turned counter-clockwise; what is around them in the picture turns with them.
        margin: what is cut out around the box of a face on each side, as a share of the box.
        size: side of the results in pixels.
        smallest: least side in pixels of the box of a face; of a cascade, faces below half of it are not looked for.
        duplicates: a face is dropped whose hash differs in at most so many of 64 bits from that of a larger one; 0:
            equal hashes only, -1: keep all.
        domain: A or B.
        test_share: share of the faces that is held out in testA or testB.
        seed: of the choice of those; the same faces and seed give the same choice.
        alpha: transparency of pictures: drop it, or put them on white or black.
        skip_bad: pass over files that are no images or cannot be read, instead of stopping.
    """
    from i2i_ugatit.faces import Cutting, check_free, gather, publish, workplace, write_picture
    from i2i_ugatit.faces.report import as_json, summary

    cutting = Cutting(rotate, margin, size, smallest)
    _check(cutting, duplicates, test_share)
    pictures = _pictures(inputs)
    check_free(out, domain, pictures)
    finder = _finder(cascade, detector, neighbours, smallest)
    with workplace(out, domain) as work:
        found = gather(
            pictures, finder, lambda name, face: write_picture(face, work / f"{name}.png"), cutting,
            alpha=alpha, skip_bad=skip_bad,
        )  # fmt: skip
        _check_found(found, finder, smallest)
        outcome = _parted(found, duplicates, test_share, seed)
        settings = cutting._asdict() | {"detector": finder.title, "neighbours": neighbours, "duplicates": duplicates}
        settings |= {"test_share": test_share, "seed": seed, "alpha": alpha}
        publish(work, out, domain, outcome.training, sorted(outcome.testing), as_json(outcome, domain, settings))
    for line in found.skipped:
        print(f"i2i: skipped: {line}", file=sys.stderr)
    print(summary(outcome, finder.name, smallest, out, domain))


def _check(cutting: Cutting, duplicates: int, test_share: float) -> None:
    from i2i.layers import at_least

    at_least("--size", cutting.size, 16)
    at_least("--smallest", cutting.smallest, 1)
    at_least("--duplicates", duplicates, -1, 64)
    if not math.isfinite(cutting.rotate):
        raise SettingsError(f"--rotate (={cutting.rotate}) must be a number of degrees, for example 45")
    if not 0 <= cutting.margin <= _WIDEST:
        raise SettingsError(f"--margin (={cutting.margin}) must be 0 to {_WIDEST}, a share of the box")
    if not 0 <= test_share < 1:
        raise SettingsError(f"--test-share (={test_share}) must be at least 0 and below 1")


def _pictures(inputs: Sequence[Path]) -> list[Path]:
    """Return the image files, each once, also where a file and its folder are named."""
    from i2i.data import find_images

    if not inputs:
        raise SettingsError("which images? i2i ugatit faces IMAGE_OR_FOLDER... --cascade FILE.xml --out DIR")
    found: dict[Path, Path] = {}
    for path in find_images(inputs):
        found.setdefault(path.resolve(), path)
    return list(found.values())


def _finder(cascade: Path | None, detector: str | None, neighbours: int | None, smallest: int) -> FaceDetector:
    from i2i.layers import at_least
    from i2i_ugatit.faces.detectors import NEIGHBOURS, cascade_detector, own_detector

    if (cascade is None) == (detector is None):
        raise SettingsError(
            "what finds the faces? name one of --cascade FILE.xml (haarcascade_frontalface_alt2.xml comes with "
            "OpenCV) and --detector package.module:function"
        )
    if neighbours is not None:
        at_least("--neighbours", neighbours, 1)
    if cascade is not None:
        # Half: so that the report can say how many are too small.
        return cascade_detector(cascade, neighbours=neighbours or NEIGHBOURS, smallest=smallest // 2)
    if neighbours is not None:
        raise SettingsError(f"--neighbours (={neighbours}) is for --cascade; leave it out")
    return own_detector(str(detector))


def _check_found(found: Gathered, finder: FaceDetector, smallest: int) -> None:
    if not found.read:
        raise DataError(f"none of the {len(found.skipped)} files can be read; the first: {found.skipped[0]}")
    if found.faces:
        return
    where = f"in {len(found.read)} image{'s' * (len(found.read) != 1)}"
    if found.too_small:
        largest = max(box.side for _, box in found.too_small)
        raise DataError(
            f"all faces {where} are smaller than --smallest (={smallest}) pixels; the largest has {largest:g}, lower it"
        )
    raise DataError(
        f"{finder.title} finds no face {where}; take a cascade for such pictures (lbpcascade_animeface.xml for drawn "
        "faces, haarcascade_frontalface_alt2.xml for photographs), lower --neighbours or --smallest, or name a "
        "--detector of your own"
    )


def _parted(found: Gathered, duplicates: int, test_share: float, seed: int) -> Outcome:
    from i2i_ugatit.faces import find_duplicates, held_out
    from i2i_ugatit.faces.report import Outcome

    kept, dropped = find_duplicates(found.faces, duplicates)
    return Outcome(found, kept, dropped, held_out([face.name for face in kept], test_share, seed))
