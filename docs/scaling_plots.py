"""Draw how the time of a step grows: ``python docs/scaling_plots.py``.

For each file that ``benchmarks/scaling.py`` wrote and each method a figure in ``docs/images``; the same results make
the same files.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator
from scaling_tables import UNITS, image, results, sweeps, told

ROOT = Path(__file__).resolve().parents[1]
matplotlib.rcParams |= {"svg.hashsalt": "i2i", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}


def lines(found: Mapping[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return what is drawn: its name, the figure in the results, and how."""
    return {
        f"plain PyTorch, {found['plain']}": ("ref_ms_median", {"color": "#d55e00", "marker": "s", "linestyle": "--"}),
        f"i2i, {found['ours']}": ("ms_median", {"color": "#0072b2", "marker": "o"}),
        "floor": ("floor_ms", {"color": "#555555", "linestyle": ":"}),
    }


def panel(axes: Axes, method: str, sweep: str, points: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> None:
    """Draw one sweep; both axes are logarithmic, but for numbers of scales."""
    x = [point[sweep] for point in points]
    for name, (key, style) in lines(found).items():
        axes.plot(x, [point[key] for point in points], label=name, markersize=4, **style)
    axes.set_yscale("log")
    if sweep != "scale":
        axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(x))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.yaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
    axes.set_xlabel(told(method, sweep) + (" (pixels)" if UNITS[sweep] else ""))
    others = [name for name in UNITS if name in points[0] and name != sweep]
    fixed = [f"{told(method, name)} {points[0][name]}{UNITS[name]}" for name in others]
    axes.set_title(", ".join(fixed) or "of 186 x 250 px, usual widths", fontsize=8, color="#555555")


def figure(method: str, of: Mapping[str, Sequence[Mapping[str, Any]]], found: Mapping[str, Any]) -> Figure:
    """Return the figure of a method, a panel for each sweep."""
    drawn = Figure(figsize=(8.4, 3.2), layout="constrained")
    every = drawn.subplots(1, len(of), sharey=True, squeeze=False)[0]
    for axes, (sweep, points) in zip(every, of.items(), strict=True):
        panel(axes, method, sweep, points, found)
    every[0].set_ylabel("milliseconds per step")
    drawn.suptitle(f"{method} on {found['machine']['device']}", fontsize=10)
    drawn.legend(*every[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return drawn


def draw(folder: Path, images: Path) -> list[Path]:
    """Draw everything that was measured.

    Args:
        folder: of the results.
        images: folder of the figures.

    Returns:
        The files.
    """
    made = []
    for slug, found in results(folder):
        for method, of in sweeps(found).items():
            made.append(images / image(method, slug))
            figure(method, of, found).savefig(made[-1], metadata={"Date": None})
    return made


def main() -> int:
    for path in draw(ROOT / "benchmarks" / "results", ROOT / "docs" / "images"):
        print(f"drawn: {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
