"""Write the tables of the documentation: settings from the code, figures from ``benchmarks/results``.

``python docs/tables.py`` rewrites what lies between ``<!-- table: NAME -->`` and ``<!-- end -->`` in the pages. What
was not measured is said to be so.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs

from i2i.settings import RunSettings, flag
from i2i_cyclegan.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = ("command-line.md", "cyclegan.md", "benchmarks.md", "evidence.md")
NOT_MEASURED = "not measured"

#: the authors' options with the same meaning
AUTHORS = {
    "steps": "none",
    "epochs": "`n_epochs` + `n_epochs_decay`",
    "batch_size": "`batch_size`",
    "load_size": "`load_size`",
    "crop_size": "`crop_size`",
    "preprocess": "`preprocess`",
    "flip": "`no_flip`",
    "serial": "`serial_batches`",
    "max_images": "`max_dataset_size`",
    "channels_a": "`input_nc`",
    "channels_b": "`output_nc`",
    "generator": "`netG`",
    "base_width": "`ngf`",
    "blocks": "in `netG`: `resnet_6blocks`, `resnet_9blocks`",
    "downs": "in `netG`: `unet_128` has 7, `unet_256` has 8",
    "norm": "`norm`",
    "padding": "none; always reflect",
    "dropout": "`no_dropout`; 0.5 where it is on",
    "discriminator_width": "`ndf`",
    "discriminator_layers": "`n_layers_D`",
    "discriminator_norm": "`norm`",
    "init": "`init_type`",
    "init_gain": "`init_gain`",
    "criterion": "`gan_mode`; `wgan` is `wgangp`",
    "gradient_penalty": "none; never applied",
    "cycle_weight_a": "`lambda_A`",
    "cycle_weight_b": "`lambda_B`",
    "identity_weight": "`lambda_identity`",
    "pool_size": "`pool_size`",
    "lr": "`lr`",
    "beta1": "`beta1`",
    "schedule": "`lr_policy`",
    "decay_start": "`n_epochs` / (`n_epochs` + `n_epochs_decay`)",
    "decay_epochs": "`lr_decay_iters`",
    "reference": "none",
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
    """Return name, flag, default and docstring of each field of an attrs class."""
    body: list[ast.stmt] = ast.parse(inspect.getsource(record)).body[0].body  # type: ignore[attr-defined]
    words = {
        field.target.id: text.value.value
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    }
    return [
        (f.name, flag(f.name), shown(f.default), " ".join(str(words[f.name]).split())) for f in attrs.fields(record)
    ]


def shown(default: Any) -> str:
    """Return a default as the tables show it."""
    if default is None or default == ():
        return "none"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def run_settings() -> list[str]:
    """Return the table of `RunSettings`."""
    rows = [(f"`{name}`", default, words) for _, name, default, words in settings_rows(RunSettings)]
    return table(["setting", "default", "meaning"], rows)


def cyclegan_settings() -> list[str]:
    """Return the table of the recipe's settings, with the authors' options."""
    rows = [(f"`{name}`", default, words, AUTHORS[field]) for field, name, default, words in settings_rows(Settings)]
    return table(["setting", "default", "meaning", "authors' option"], rows)


def read(name: str) -> Any:
    """Return what was measured, or None."""
    path = RESULTS / name
    return json.loads(path.read_text("utf-8")) if path.is_file() else None


def benchmarks_cpu() -> list[str]:
    """Return a row for each measurement, and one for each benchmark that was not run."""
    found = read("cpu.json") or {"benchmarks": []}
    rows: list[Sequence[object]] = []
    for path in sorted((ROOT / "benchmarks").glob("bench_*.py")):
        functions = [node.name for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)]
        for function in (name for name in functions if name.startswith("test_")):
            measured = [b for b in found["benchmarks"] if b["name"].partition("[")[0] == function]
            rows += [row for b in measured for row in benchmark_rows(b)] or [(label(function), *[NOT_MEASURED] * 5)]
    lines = table(["what", "lower quartile", "median", "upper quartile", "target", "noise"], rows)
    return [*lines, "", *machine(found["benchmarks"])]


def benchmark_rows(benchmark: Mapping[str, Any]) -> list[Sequence[object]]:
    """Return the rows of one benchmark: a row for each kind of figure that it took quartiles of."""
    info = benchmark["extra_info"]
    kinds = [key.removesuffix("_median") for key in info if key.endswith("_median")]
    noise = f"{info['aa_q1']} to {info['aa_q3']}" if "aa_q1" in info else ""
    rows: list[Sequence[object]] = []
    for kind in (kind for kind in kinds if kind not in ("aa", "wall")):
        name = label(benchmark["name"]) + ("" if kind == "ratio" else f": {kind.replace('_', ' ')}")
        rows.append((name, *(info[f"{kind}_{q}"] for q in ("q1", "median", "q3")), info.get("target", ""), noise))
    return rows


def label(name: str) -> str:
    """Return the name of a benchmark in words.

    Example:
        >>> label("test_unpaired[8]")
        'unpaired, 8'
    """
    words, _, choice = name.removeprefix("test_").replace("_", " ").partition("[")
    return f"{words}, {choice.rstrip(']')}" if choice else words


def machine(benchmarks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say on what the benchmarks ran."""
    if not benchmarks:
        return ["Nothing was measured yet."]
    info = benchmarks[0]["extra_info"]
    flags = ", ".join(info.get("flags", [])) or "no special instructions"
    return [
        f"Measured on {info.get('cores', '?')} cores ({flags}) with torch {info.get('torch', '?')}. Ratios are of CPU "
        "time; noise is the same ratio of the plain code against itself."
    ]


def evidence_demo() -> list[str]:
    """Return what the demo reached, seed by seed."""
    head = ["seed", "input itself", "best colour map", "before training", "after training", "above the map", "time"]
    found = read("evidence-demo-cyclegan.json")
    if found is None:
        return table(head, [[NOT_MEASURED] * len(head)])
    return table(head, [demo_row(run) for run in found["seeds"]])


def demo_row(run: Mapping[str, Any]) -> Sequence[object]:
    """Return the row of one seed."""
    names = ("input itself", "best colour map (unpaired)", "model before training", "model after training")
    rows = [run["result"][name] for name in names]
    gain = rows[3]["psnr"] - rows[1]["psnr"]
    cells = [f"{row['psnr']:.2f} dB, SSIM {row['ssim']:.3f}" for row in rows]
    return [run["seed"], *cells, f"{gain:+.2f} dB", f"{run['seconds']:.0f} s"]


def evidence_kills() -> list[str]:
    """Return how many kills a run survived."""
    head = ["kills", "batches", "weights equal", "metrics file equal"]
    found = read("evidence-kills.json")
    if found is None:
        return table(head, [[NOT_MEASURED] * len(head)])
    equal = ["yes" if found[name] else "NO" for name in ("weights_equal", "metrics_equal")]
    return table(head, [[found["kills"], found["batches"], *equal]])


TABLES: Mapping[str, Callable[[], list[str]]] = {
    "run-settings": run_settings,
    "cyclegan-settings": cyclegan_settings,
    "benchmarks-cpu": benchmarks_cpu,
    "evidence-demo": evidence_demo,
    "evidence-kills": evidence_kills,
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
