"""What was measured, written after each row, and what is left to be measured. Needs nothing but Python."""

from __future__ import annotations

import faulthandler
import json
import os
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

#: seconds, or twice what a row is thought to take, after which it is given up, and the process with it
LIMIT = 150.0
#: how the process ends when the device is of no use any more; it is begun anew for the rows that are left
BROKEN = 75


class Row(NamedTuple):
    """A measurement.

    Attributes:
        group: kind of figure.
        name: of what.
        variant: computed how.
        seconds: that it is thought to take.
        measure: returns the figures.
    """

    group: str
    name: str
    variant: str
    seconds: float
    measure: Callable[[], Mapping[str, Any]]

    @property
    def key(self) -> tuple[str, str, str]:
        return self.group, self.name, self.variant


class Report:
    """The file.

    Args:
        path: of the JSON file.
        until: time of the epoch at which no row is begun any more.
    """

    def __init__(self, path: Path, until: float) -> None:
        self.path, self.until = path, until
        self.data: dict[str, Any] = {"machine": {}, "rows": []}
        if path.is_file():
            try:
                self.data = json.loads(path.read_text("utf-8"))
            except ValueError:
                raise SystemExit(f"{path} is not a file of results; choose another --out") from None

    def write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        half = self.path.with_suffix(".part")
        half.write_text(json.dumps(self.data, indent=1) + "\n", encoding="utf-8")
        os.replace(half, self.path)

    def done(self) -> set[tuple[str, str, str]]:
        return {(row["group"], row["name"], row["variant"]) for row in self.data["rows"]}

    def find(self, group: str, name: str) -> list[dict[str, Any]]:
        """Return rows that were measured."""
        rows = self.data["rows"]
        return [row for row in rows if (row["group"], row["name"], row["status"]) == (group, name, "ok")]

    def note(self, row: Row, status: str, **figures: Any) -> None:
        """Add a row, which is not written to the file yet."""
        named = {"group": row.group, "name": row.name, "variant": row.variant}
        self.data["rows"].append({**named, "status": status, **figures})

    def add(self, row: Row, status: str, **figures: Any) -> None:
        """Add a row, and write and tell it."""
        self.data.pop("running", None)
        self.note(row, status, **figures)
        self.write()
        print(f"{status:8} {' | '.join(row.key)}  {told(figures)}", flush=True)

    def run(self, rows: Iterable[Row], healthy: Callable[[], bool]) -> int:
        """Measure what was not measured yet; returns 0, or `BROKEN` when the device is of no use any more."""
        done = self.done()
        for row in rows:
            if row.key in done:
                continue
            left = self.until - time.time()
            if left < row.seconds:
                self.add(row, "no time")
                continue
            self.data["running"] = row.key
            self.write()
            begun = time.perf_counter()
            faulthandler.dump_traceback_later(min(max(LIMIT, 2 * row.seconds), left + 20), exit=True)
            try:
                status, figures = "ok", dict(row.measure())
            except Exception as error:  # whatever it is, the other rows count
                traceback.print_exc()
                status, figures = "error", {"error": f"{type(error).__name__}: {error}"[:2000]}
            usable = status == "ok" or healthy()
            faulthandler.cancel_dump_traceback_later()
            self.add(row, status, **figures, seconds=round(time.perf_counter() - begun, 1))
            if not usable:
                return BROKEN
        return 0

    def crashed(self, code: int) -> None:
        """Note that the process ended within a row."""
        group, name, variant = self.data["running"]
        self.add(Row(group, name, variant, 0, dict), "crashed", error=f"exit code {code}, or took too long")


def told(figures: Mapping[str, Any]) -> str:
    """Return the figures of a row in a line."""
    shown = {k: v for k, v in figures.items() if isinstance(v, int | float | str) and "_q" not in k}
    return "  ".join(f"{name} {value}" for name, value in shown.items())[:240]
