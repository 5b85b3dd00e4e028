"""Write the tables of the documentation: settings from the code, figures from ``benchmarks/results``.

``python docs/tables.py`` rewrites what lies between ``<!-- table: NAME -->`` and ``<!-- end -->`` in the pages. What
was not measured is said to be so.
"""

from __future__ import annotations

import ast
import functools
import inspect
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import authors
import cpu_table
import gpu_table
import mixes_tables
import pix2pixhd_tables
import profile_table
import scaling_tables
import speed_tables
import ugatit_tables

from i2i.settings import RunSettings, flag
from i2i_cyclegan.pix2pix.settings import Settings as Pix2PixSettings
from i2i_cyclegan.settings import Settings
from i2i_pix2pixhd.settings import Settings as Pix2PixHDSettings
from i2i_singan.settings import Settings as SinGanSettings
from i2i_ugatit.settings import Settings as UgatitSettings

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = (
    "command-line.md",
    "cyclegan.md",
    "pix2pix.md",
    "pix2pixhd.md",
    "singan.md",
    "ugatit.md",
    "performance.md",
    "evidence.md",
    "when-it-fails.md",
    "recipes/index.md",
    *(f"recipes/{name}.md" for name in mixes_tables.ABOUT),
)
NOT_MEASURED = "not measured"
#: what the steps across the borders of tiles are compared with
SEAMS = {"seam": "seam", "elsewhere": "the same away from borders", "same_statistics": "seam, same statistics"}

#: what the tables of demos show, and what it is called in their results
DEMO_COLUMNS = {
    "cyclegan": {
        "input itself": "input itself",
        "best colour map": "best colour map (unpaired)",
        "before training": "model before training",
        "after training": "model after training",
    },
    "pix2pix": {
        "input itself": "input itself",
        "best colour map": "best colour map",
        "mean image": "mean image",
        "before training": "model before training",
        "after training": "model after training",
    },
}

#: Zhu et al., tables 4 and 5: accuracy by pixel / accuracy by class / IoU of labels to photo, and of photo to labels
PAPER_ABLATION = {
    "cycle alone": (".22 / .07 / .02", ".10 / .05 / .02"),
    "GAN alone": (".51 / .11 / .08", ".53 / .11 / .07"),
    "GAN + forward cycle": (".55 / .18 / .12", ".49 / .11 / .07"),
    "GAN + backward cycle": (".39 / .14 / .06", ".01 / .06 / .01"),
    "full": (".52 / .17 / .11", ".58 / .22 / .16"),
}


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Return a Markdown table.

    Example:
        >>> table(["a"], [["x|y"]])
        ['| a |', '|---|', '| x\\\\|y |']
    """
    lines = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(line)} |" for line in lines)]


def settings_rows(record: type[Any]) -> list[tuple[str, str, str, str]]:
    """Return name, flag, default and docstring of each field of an attrs class, inherited ones first."""
    words: dict[str, str] = {}
    for owner in reversed([one for one in record.__mro__ if attrs.has(one)]):
        words |= docstrings(owner)
    return [(f.name, flag(f.name), shown(f.default), " ".join(words[f.name].split())) for f in attrs.fields(record)]


def docstrings(record: type[Any]) -> dict[str, str]:
    """Return what is written below each field of a class itself."""
    body: list[ast.stmt] = ast.parse(inspect.getsource(record)).body[0].body  # type: ignore[attr-defined]
    return {
        field.target.id: str(text.value.value)
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    }


def shown(default: Any) -> str:
    """Return a default as the tables show it."""
    if default is None or default == ():
        return "none"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def run_settings() -> list[str]:
    """Return the table of `RunSettings`."""
    rows = [(f"`{name}`", default, words) for _, name, default, words in settings_rows(RunSettings)]
    return table(["setting", "default", "meaning"], rows)


def recipe_settings(record: type[Any] = Settings, authors: Mapping[str, str] = authors.CYCLEGAN) -> list[str]:
    """Return the table of a recipe's settings, with the authors' options."""
    rows = [(f"`{name}`", default, words, authors[field]) for field, name, default, words in settings_rows(record)]
    return table(["setting", "default", "meaning", "authors' option"], rows)


def read(name: str) -> Any:
    """Return what was measured, or None."""
    path = RESULTS / name
    return json.loads(path.read_text("utf-8")) if path.is_file() else None


def benchmarks_gpu(name: str) -> list[str]:
    """Return a table of what was measured on GPUs."""
    return gpu_table.lines(name, RESULTS, table)


def evidence_demo(name: str = "cyclegan") -> list[str]:
    """Return what a demo reached, seed by seed."""
    columns = DEMO_COLUMNS[name]
    head = ["seed", *columns, "above the map", "time"]
    found = read(f"evidence-demo-{name}.json")
    if found is None:
        return table(head, [[NOT_MEASURED] * len(head)])
    return table(head, [demo_row(run, columns) for run in found["seeds"]])


def demo_row(run: Mapping[str, Any], columns: Mapping[str, str]) -> Sequence[object]:
    """Return the row of one seed."""
    rows = {name: run["result"][long] for name, long in columns.items()}
    gain = rows["after training"]["psnr"] - rows["best colour map"]["psnr"]
    cells = [f"{row['psnr']:.2f} dB, SSIM {row['ssim']:.3f}" for row in rows.values()]
    used = f" ({run['processor_seconds']:.0f} s of one core)" if "processor_seconds" in run else ""
    return [run["seed"], *cells, f"{gain:+.2f} dB", f"{run['seconds']:.0f} s{used}"]


def evidence_kills() -> list[str]:
    """Return how many kills runs survived, kind by kind."""
    head = ["runs", "kills", "while a file was half written", "batches", "weights equal", "metrics file equal"]
    kinds = {"in one piece": "evidence-kills.json", "with stages": "evidence-kills-singan.json"}
    return table(head, [[name, *kills_cells(read(file))] for name, file in kinds.items()])


def kills_cells(found: Any) -> Sequence[object]:
    """Return the cells of one kind of runs."""
    if found is None:
        return [NOT_MEASURED] * 5
    half = sum(kill["half_written"] for kill in found["moments"])
    equal = ["yes" if found[name] else "NO" for name in ("weights_equal", "metrics_equal")]
    return [found["kills"], half, found["batches"], *equal]


def evidence_ablation() -> list[str]:
    """Return how close each row of the ablation comes to the truth, with what needs no network."""
    found = read("evidence-ablation.json")
    baselines = {} if found is None else found["baselines"]
    rows: list[Sequence[object]] = []
    for name in baselines.get("a2b", ()):
        likeness = [baselines[way][name] for way in ("a2b", "b2a")]
        rows.append([name, *(cell for one in likeness for cell in spread([one])), "", "", ""])
    return losses_table([*rows, *loss_rows(found)])


def evidence_remedies() -> list[str]:
    """Return the same for what may help where colours come out inverted."""
    return losses_table(loss_rows(read("evidence-remedies.json")))


def losses_table(rows: Sequence[Sequence[object]]) -> list[str]:
    """Return a table of losses."""
    ways = [cell for way in ("A to B", "B to A") for cell in (f"{way}: PSNR", f"{way}: SSIM")]
    head = ["loss", *ways, "A to B to A: PSNR", "SSIM below 0", "seeds"]
    return table(head, rows or [[NOT_MEASURED] * len(head)])


def loss_rows(found: Any) -> list[Sequence[object]]:
    """Return a row for each loss; counted are runs with bright and dark exchanged (SSIM < 0) in a direction."""
    if found is None:
        return []
    rows: list[Sequence[object]] = []
    for name in dict.fromkeys(run["row"] for run in found["runs"]):
        runs = [run for run in found["runs"] if run["row"] == name]
        cells = [cell for way in ("a2b", "b2a") for cell in spread([run[way] for run in runs])]
        exchanged = sum(min(run[way]["ssim"] for way in ("a2b", "b2a")) < 0 for run in runs)
        rows.append([name, *cells, spread([run["cycle_a"] for run in runs])[0], exchanged, len(runs)])
    return rows


def spread(likeness: Sequence[Mapping[str, float]]) -> tuple[str, str]:
    """Return mean PSNR in decibels and mean SSIM, with the lowest and the highest where there are several.

    Example:
        >>> spread([{"psnr": 18.0, "ssim": 0.5}, {"psnr": 20.0, "ssim": 0.6}])
        ('19.0 (18.0 to 20.0)', '.55 (.50 to .60)')
    """

    def told(values: Sequence[float], form: str) -> str:
        figures = (min(values), sum(values) / len(values), max(values))
        low, middle, high = (re.sub(r"^(-?)0\.", r"\1.", format(figure, form)) for figure in figures)
        return middle if len(values) == 1 else f"{middle} ({low} to {high})"

    return told([one["psnr"] for one in likeness], "z.1f"), told([one["ssim"] for one in likeness], "z.2f")


def paper_ablation() -> list[str]:
    """Return the paper's tables 4 and 5."""
    rows = [(name, *cells) for name, cells in PAPER_ABLATION.items()]
    return table(["loss", "labels to photo", "photo to labels"], rows)


def evidence_tiles() -> list[str]:
    """Return what tiles take, and whether seams show, image by image."""
    head = ["image", "how", "memory", "time", *SEAMS.values(), "mean difference"]
    found = read("evidence-tiles.json")
    if found is None:
        return table(head, [[NOT_MEASURED] * len(head)])
    names = {"whole": "one pass", "tiles": "tiles", "alone": "files"}
    return table(
        head,
        [
            tiles_row(f"{name}, {'x'.join(map(str, image['size']))}", names[how], figures)
            for name, image in found["images"].items()
            for how, figures in image["passes"].items()
        ],
    )


def tiles_row(image: str, how: str, figures: Mapping[str, Any]) -> Sequence[object]:
    """Return the row of one way to translate an image."""
    found = [figures.get(name) for name in SEAMS]
    seams = [f"{seam['largest']:+.0f} / {seam['mean']:+.2f}" if seam else "" for seam in found]
    difference = f"{found[0]['difference']:.2f}" if found[0] else ""
    return [image, how, f"{figures['memory'] / 2**30:.2f} GiB", f"{figures['seconds']:.0f} s", *seams, difference]


def evidence_singan() -> list[str]:
    """Return what settings of SinGAN do, setting by setting."""
    head = ["settings", "scales", "fixed noise", "scale below", "gain", "diversity", "time"]
    found = read("evidence-singan.json")
    if found is None:
        return table(head, [[NOT_MEASURED] * len(head)])
    return table(head, [singan_row(row) for group in found["groups"].values() for row in group])


def singan_row(row: Mapping[str, Any]) -> Sequence[object]:
    """Return the row of one training."""
    errors = [f"{row[name]:.1%}" for name in ("reconstruction", "coarser")]
    gain = f"{1 - row['reconstruction'] / row['coarser']:.0%}"
    return [row["name"], row["scales"], *errors, gain, f"{row['diversity']:.2f}", f"{row['seconds']:.0f} s"]


def evidence(
    name: str, head: Sequence[str], rows: Callable[[Mapping[str, Any]], Sequence[Sequence[object]]]
) -> list[str]:
    """Return a table of what one script found, by functions of a file of its own."""
    found = read(f"evidence-{name}.json")
    return table(head, [[NOT_MEASURED] * len(head)] if found is None else rows(found))


TABLES: Mapping[str, Callable[[], list[str]]] = {
    "run-settings": run_settings,
    "cyclegan-settings": recipe_settings,
    "pix2pix-settings": functools.partial(recipe_settings, Pix2PixSettings),
    "pix2pixhd-settings": functools.partial(recipe_settings, Pix2PixHDSettings, authors.PIX2PIXHD),
    "singan-settings": functools.partial(recipe_settings, SinGanSettings, authors.SINGAN),
    "ugatit-settings": functools.partial(recipe_settings, UgatitSettings, authors.UGATIT),
    "benchmarks-cpu": lambda: cpu_table.lines(RESULTS, table),
    "benchmarks-gpu-machine": lambda: gpu_table.machines(RESULTS),
    **{name: functools.partial(benchmarks_gpu, name) for name in gpu_table.TABLES},
    "scaling": lambda: scaling_tables.lines(RESULTS, table),
    "evidence-demo": evidence_demo,
    "evidence-demo-pix2pix": functools.partial(evidence_demo, "pix2pix"),
    "evidence-demo-pix2pixhd": functools.partial(
        evidence, "demo-pix2pixhd", pix2pixhd_tables.DEMO, pix2pixhd_tables.demo_rows
    ),
    "evidence-pix2pixhd": functools.partial(
        evidence, "pix2pixhd", pix2pixhd_tables.ABLATION, pix2pixhd_tables.ablation_rows
    ),
    "evidence-demo-ugatit": functools.partial(evidence, "demo-ugatit", ugatit_tables.DEMO, ugatit_tables.demo_rows),
    "evidence-ugatit": functools.partial(evidence, "ugatit", ugatit_tables.ABLATION, ugatit_tables.ablation_rows),
    "evidence-kills": evidence_kills,
    "evidence-tiles": evidence_tiles,
    "evidence-singan": evidence_singan,
    "evidence-ablation": evidence_ablation,
    "evidence-profile": functools.partial(evidence, "profile", profile_table.HEAD, profile_table.rows),
    "evidence-precision": functools.partial(evidence, "precision", speed_tables.PRECISION, speed_tables.precision_rows),
    "evidence-remedies": evidence_remedies,
    "paper-ablation": paper_ablation,
    **{name: functools.partial(evidence, "mixes", head, rows) for name, (head, rows) in mixes_tables.TABLES.items()},
}


def rendered(page: str) -> str:
    """Return a page with its tables written anew."""

    def write(match: re.Match[str]) -> str:
        return "\n".join([f"<!-- table: {match[1]} -->", *TABLES[match[1]](), "<!-- end -->"])

    return re.sub(r"<!-- table: ([\w-]+) -->.*?<!-- end -->", write, page, flags=re.DOTALL)


def main() -> int:
    """Rewrite the pages; say which ones changed."""
    for name in PAGES:
        path = ROOT / "docs" / name
        before = path.read_text("utf-8")
        after = rendered(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"rewrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
