"""``i2i demo singan``: one small photograph, and what can be made of it.

The photograph is 64 pixels wide and each scale is trained for 250 batches instead of 2000, so that it takes minutes.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor

from i2i import photographs
from i2i.data import read_image, to_tensor
from i2i.demos import one_thread, write_colours
from i2i.errors import RunError
from i2i.grids import grid
from i2i.photographs import Colours
from i2i.settings import RunSettings
from i2i.training import train
from i2i_singan.apps.super_resolve import bicubic, figures
from i2i_singan.commands.compose import harmonize
from i2i_singan.commands.sample import animate, reconstruct, sample
from i2i_singan.commands.super_resolve import super_resolve
from i2i_singan.files import load_model
from i2i_singan.model import PyramidGenerator
from i2i_singan.sampling import generate
from i2i_singan.sampling import reconstruct as reconstructed
from i2i_singan.scores import diversity
from i2i_singan.settings import Settings

PHOTOGRAPH, SHORT_SIDE = "china", 43
SETTINGS = Settings(steps=250, min_size=19, scale_factor=0.66, max_width=32)
FACTOR = 2
_PATCH = 17  # pixels of the cat that is pasted into the photograph
_FILM = 40  # frames


def demo(out: Path, seed: int, steps: int | None, resume: bool) -> None:
    """Train on one photograph, and make samples, a film, an enlarged and a harmonised picture of it.

    Args:
        out: pictures, ``run/``, ``result.json`` and ``demo.png`` are made in it.
        seed: of the training and of all noise.
        steps: batches of each scale; 250 when left out.
        resume: go on with the demo in ``out``.

    Raises:
        RunError: ``out`` is not empty and is not to be resumed, or the extra ``demo`` is not installed.
    """
    if not resume and out.exists() and any(out.iterdir()):
        raise RunError(f"{out} is not empty; choose another --out, or go on with the demo in it: --resume")
    length = SETTINGS.steps if steps is None else steps
    write_pictures(out)
    _introduce(out, seed, length)
    run = out / "run"
    here = Path.cwd()
    short = out.relative_to(here) if out.is_relative_to(here) else out  # so that the commands can be read
    with one_thread():
        _train(out, run, seed, length, resume)
        apply(short, short / "run", seed)
    _report(short, load_model(run, "cpu"))


def write_pictures(out: Path) -> None:
    """Write the photograph in two sizes, and with a piece of a cat pasted into it."""
    small, large = (photographs.load(side)[PHOTOGRAPH] for side in (SHORT_SIDE, FACTOR * SHORT_SIDE))
    write_colours(out / "photograph.png", small)
    write_colours(out / "truth.png", large[: FACTOR * small.shape[0], : FACTOR * small.shape[1]])
    write_colours(out / "pasted.png", pasted(small, photographs.load(24)["chelsea"]))


def pasted(photograph: Colours, other: Colours) -> Colours:
    """Paste a disc out of the middle of ``other (h, w, 3)`` into the lower right of ``photograph (h, w, 3)``."""
    row, column = (other.shape[0] - _PATCH) // 2, (other.shape[1] - _PATCH) // 2
    patch = other[row : row + _PATCH, column : column + _PATCH]
    distance = np.hypot(*(np.indices((_PATCH, _PATCH)) - (_PATCH - 1) / 2))
    made = photograph.copy()
    place = made[-_PATCH - 4 : -4, -_PATCH - 7 : -7]
    place[distance <= _PATCH / 2] = patch[distance <= _PATCH / 2]
    return made


def apply(out: Path, run: Path, seed: int) -> None:
    """Run the commands, and say them as they would be typed."""
    _run(sample, "sample", str(run), out=out / "samples", count=6, seed=seed)
    _run(sample, "sample", str(run), out=out / "wide", count=1, scale_h=2.0, seed=seed)
    _run(reconstruct, "reconstruct", str(run), out=out / "reconstruction", all_scales=True)
    _run(
        harmonize, "harmonize", str(run), out / "pasted.png", out=out / "harmonized", start_scale=(1,), dilation=2,
        feather=1.0, seed=seed,
    )  # fmt: skip
    _run(animate, "animate", str(run), out=out / "film", start_scale=(0,), beta=(0.9,), frames=_FILM, seed=seed)
    _run(
        super_resolve, "super-resolve", str(run), out=out / "enlarged", factor=float(FACTOR), truth=out / "truth.png",
        seed=seed,
    )  # fmt: skip


def _run(command: Callable[..., None], name: str, *given: Any, **flags: Any) -> None:
    words = [_program(), "singan", name, *map(str, given)]
    for flag, value in flags.items():
        said = "" if value is True else " ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in _listed(value))
        words += [f"--{flag.replace('_', '-')}", *said.split()]
    print(f"\n$ {shlex.join(words)}", flush=True)
    command(*given, **flags)


def _listed(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _program() -> str:
    return sys.argv[0] if Path(sys.argv[0]).name == "i2i" else "i2i"


def _train(out: Path, run: Path, seed: int, length: int, resume: bool) -> None:
    begun = resume and (run / "settings.toml").is_file()
    settings = RunSettings(data=out / "photograph.png", out=run, seed=seed, resume=begun, checkpoint_every=200)
    train("singan", attrs.evolve(SETTINGS, steps=length), settings)


def _introduce(out: Path, seed: int, length: int) -> None:
    print(f"SinGAN on one photograph, {PHOTOGRAPH} ({photographs.LICENCES[PHOTOGRAPH]}), {SHORT_SIDE} pixels high,")
    print(f"{length} batches for each scale instead of 2000, seed {seed}, into {out}", flush=True)


def measured(model: PyramidGenerator) -> dict[str, float]:
    """Return how well the model knows the photograph, and how much its samples differ.

    Returns:
        ``reconstruction``: root of the mean squared error of the image of the fixed noise, as a share of the range;
        ``coarser``: that of the same image at the scale below, enlarged; ``diversity``: see `i2i_singan.scores`.
    """
    made = reconstructed(model)
    wanted = model[-1].image
    below = model.upsampled(made[-2], model.sizes[-1])
    return {
        "reconstruction": _error(made[-1], wanted),
        "coarser": _error(below, wanted),
        "diversity": diversity(generate(model, 20), wanted),
    }


def _error(made: Tensor, wanted: Tensor) -> float:
    return float((made.clamp(-1, 1) - wanted).square().mean().sqrt() / 2)


def _report(out: Path, model: PyramidGenerator) -> None:
    found = measured(model)
    enlarged, truth = (_picture(out / name) for name in (f"enlarged/super-resolution-{FACTOR}.png", "truth.png"))
    made, plain = figures(enlarged, truth), figures(bicubic(model[-1].image, FACTOR), truth)
    found |= {"psnr": made.psnr or 0.0, "psnr_bicubic": plain.psnr or 0.0}
    found |= {"sharpness": made.sharpness, "sharpness_bicubic": plain.sharpness}
    print(f"\nThe image of the fixed noise is {found['reconstruction']:.1%} of the range off the photograph;")
    print(
        f"the scale below, enlarged, {found['coarser']:.1%}. Samples vary by {found['diversity']:.2f} of its contrast."
    )
    (out / "result.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    _sheet(out).save(out / "demo.png")
    print(f"See {out / 'demo.png'} and {out / 'film'}.")


def _sheet(out: Path) -> Any:
    last = max((out / "reconstruction").glob("*.png"))
    names = {
        "photograph": ["photograph", "pasted"],
        "noise / harmonized": [f"reconstruction/{last.stem}", "harmonized/pasted-harmonized-1"],
        "samples": ["samples/sample-000", "samples/sample-001"],
        "samples ": ["samples/sample-002", "samples/sample-003"],
        "bicubic / enlarged": [f"enlarged/{name}-{FACTOR}" for name in ("bicubic", "super-resolution")],
    }
    columns = {title: torch.cat([_picture(out / f"{name}.png") for name in pair]) for title, pair in names.items()}
    return grid(columns, smallest=130)


def _picture(path: Path) -> Tensor:
    return to_tensor(read_image(path))[None]
