"""What was found, what was left out, and why: for the terminal and as JSON."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from i2i_ugatit.faces.boxes import Box, Face
from i2i_ugatit.faces.duplicates import Duplicate
from i2i_ugatit.faces.gather import Gathered

_SHOWN = 10  # duplicates on the terminal; the report has all


class Outcome(NamedTuple):
    """All that is known at the end.

    Attributes:
        found: what `i2i_ugatit.faces.gather` returned.
        kept: the faces of the data set.
        duplicates: those that are left out.
        testing: the names of the kept ones that are for testing.
    """

    found: Gathered
    kept: Sequence[Face]
    duplicates: Sequence[Duplicate]
    testing: Collection[str]

    @property
    def training(self) -> list[str]:
        """The names of the others."""
        return [face.name for face in self.kept if face.name not in self.testing]

    @property
    def counts(self) -> dict[str, int]:
        """The figures of the summary."""
        found = self.found
        return {
            "images_read": len(found.read),
            "faces_found": len(found.faces) + len(found.too_small),
            "too_small": len(found.too_small),
            "duplicates": len(self.duplicates),
            "images_without_faces": len(found.without),
            "files_skipped": len(found.skipped),
            "train": len(self.training),
            "test": len(self.testing),
        }


def as_json(outcome: Outcome, domain: str, settings: Mapping[str, Any]) -> bytes:
    """Return the report; its boxes are ``[x, y, width, height]`` in the upright picture."""

    def file(face: Face) -> str:
        return f"{'test' if face.name in outcome.testing else 'train'}{domain}/{face.name}.png"

    found = outcome.found
    report = {
        "domain": domain,
        "settings": settings,
        "counts": outcome.counts,
        "faces": [{"file": file(face), **_origin(face.source, face.box)} for face in outcome.kept],
        "duplicates": [
            {**_origin(each.face.source, each.face.box), "of": file(each.of), "bits": each.distance}
            for each in outcome.duplicates
        ],
        "too_small": [_origin(path, box) for path, box in found.too_small],
        "images_without_faces": [path.as_posix() for path in found.without],
        "skipped": found.skipped,
    }
    return _in_lines(report).encode()


def _in_lines(report: Mapping[str, Any]) -> str:
    """Write each entry of each list on a line of its own, which ``indent`` would tear to pieces."""

    def written(value: Any) -> str:
        if not isinstance(value, list):
            return json.dumps(value, ensure_ascii=False)
        return "[" + ",".join(f"\n  {json.dumps(entry, ensure_ascii=False)}" for entry in value) + "\n ]"

    return "{" + ",".join(f"\n {json.dumps(name)}: {written(value)}" for name, value in report.items()) + "\n}\n"


def _origin(source: Path, box: Box) -> dict[str, Any]:
    return {"source": source.as_posix(), "box": list(box)}


def summary(outcome: Outcome, detector: str, smallest: int, out: Path, domain: str) -> str:
    """Return what the terminal shows."""
    counts = outcome.counts
    lines = [
        f"{_many(counts['images_read'], 'image')} read, {_many(counts['faces_found'], 'face')} found by {detector}, "
        f"{_many(counts['images_without_faces'], 'image')} without a face",
        f"dropped: {counts['too_small']} too small (below {smallest} pixels), "
        f"{_many(counts['duplicates'], 'duplicate')}",
    ]
    for each in outcome.duplicates[:_SHOWN]:
        lines.append(
            f"  {each.face.name} repeats {each.of.name} ({each.distance} of 64 bits differ): {each.face.source}"
        )
    if len(outcome.duplicates) > _SHOWN:
        lines.append(f"  and {len(outcome.duplicates) - _SHOWN} more, see the report")
    lines.append(f"written: {counts['train']} to {out / f'train{domain}'}, {counts['test']} to {out / f'test{domain}'}")
    lines.append(f"look at {out / f'faces-{domain}.png'}; {out / f'faces-{domain}.json'} says what came from where")
    return "\n".join(lines)


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'s' * (count != 1)}"
