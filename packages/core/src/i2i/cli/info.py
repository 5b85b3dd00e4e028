"""``i2i info``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from i2i.pixels import TAKEN, from_json
from i2i.runs import models_in, run_models
from i2i.toml import Document, changed, read_settings


def info(model: str, /) -> None:
    """Say what a model or a run is.

    Args:
        model: a run, a model folder, or a Hub id such as owner/name.
    """
    folder = Path(model)
    is_run = (folder / "settings.toml").is_file() or (folder / "checkpoints").is_dir()
    models = models_in(folder).values() or (model,)
    rows = _run(folder) if is_run else [row for found in models for row in _model(str(found))]
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"{name:<{width}}  {value}".rstrip() for name, value in rows))


def _model(model: str) -> list[tuple[str, str]]:
    from i2i.models import describe

    found = describe(model)
    spec: Mapping[str, Any] | None = found["spec"]
    rows = [("model", str(found["folder"])), ("part", spec["part"] if spec else "none: weights only")]
    rows += [(f"  {name}", str(value)) for name, value in (spec["arguments"] if spec else {}).items()]
    taken, made = found["channels"]
    rows += [
        ("parameters", f"{found['parameters']:,} ({', '.join(map(str, found['dtypes']))}, {found['bytes']:,} bytes)"),
        ("channels", f"{taken if taken is not None else '?'} -> {made if made is not None else '?'}"),
        *_taken(found),
        ("writes", str(from_json(found["writes"]))),
        ("versions", ", ".join(f"{name} {version}" for name, version in found["versions"].items())),
    ]
    return rows


def _taken(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    if "takes" in found:
        from i2i.registry import help_for

        part = found["spec"]["part"] if found["spec"] else None
        made = f"images of {TAKEN[found['takes']]}, translates none"
        return [("makes", f"{made}; {help_for(part)} lists what it can make")]
    sizes = f"any; padded inside to multiples of {found['multiple']}" if found["multiple"] > 1 else "any"
    if "size" in found:
        height, width = found["size"]
        sizes = f"{width}x{height} only; others with i2i translate --fit"
    return [("sizes", sizes), ("reads", str(from_json(found["reads"])))]


def _run(folder: Path) -> list[tuple[str, str]]:
    from i2i.checkpoint import latest

    path = folder / "settings.toml"  # a run of the library's `fit` has none
    document = read_settings(path) if path.is_file() else None
    newest = latest(folder)
    checkpoints = sorted(path.name for path in folder.glob("checkpoints/step-*"))
    models = [*run_models(folder).values(), *models_in(folder / "best").values()]
    rows = [
        ("run", str(folder)),
        ("recipe", (document.recipe or "unknown") if document else "none: trained from Python"),
        ("batches", f"{newest[0] if newest else 0}" + (f" of {_length(document)}" if document else "")),
        ("checkpoints", ", ".join(sorted(checkpoints, key=len)) or "none yet"),
        ("models", ", ".join(str(path) for path in models) or "none yet"),
    ]
    last = _last_row(folder / "metrics.jsonl")
    rows.append(("metrics", f"at batch {last.pop('batch')}" if last else "none yet"))
    rows += [(f"  {name}", f"{value:.6g}") for name, value in last.items()]
    best = _last_row(folder / "validation.jsonl", "best")
    if best:
        rows.append(("best validation", f"at batch {best.pop('batch')}: {folder / 'best'}"))
    rows += [(f"  {name}", f"{value:.6g}") for name, value in best.items() if name != "best"]
    given = {**document.run, **document.settings} if document else {}
    rows += [("settings", "")] if given else []
    return rows + [(f"  {name}", str(value)) for name, value in given.items()]


def _length(document: Document) -> str:
    """Return how many batches the run is to have; its data may be needed to say so, and may be gone."""
    from i2i.registry import recipe
    from i2i.settings import RunSettings

    try:
        entry = recipe(document.recipe or "")
        run = changed(RunSettings(), document.run, "[run]")
        return str(entry.build(changed(entry.settings()(), document.settings, "[settings]"), run).length)
    except Exception as error:  # any code of a plugin; the rest of what is known is still worth showing
        return f"unknown ({' '.join(str(error).split())})"


def _last_row(path: Path, mark: str = "batch") -> dict[str, Any]:
    """Return the last row with a mark, {} where there is none: a killed run may have left half a one."""
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    for line in reversed(lines):
        try:
            found: dict[str, Any] = json.loads(line)
        except ValueError:
            continue
        if found.get(mark):
            return found
    return {}
