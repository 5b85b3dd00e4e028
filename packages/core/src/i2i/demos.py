"""What demos on photographs have in common: held-out crops, training, a table of likenesses, a picture of results."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from i2i import photographs
from i2i.errors import RunError
from i2i.grids import grid
from i2i.models import load
from i2i.observers import evaluating
from i2i.photographs import Colours, Likeness, likeness
from i2i.settings import RunSettings
from i2i.training import train

BEFORE, AFTER = "model before training", "model after training"
#: The shorter side of the photographs, and the side of what is cut from them, in pixels.
SHORT_SIDE, CROP = 288, 64
_HELD_OUT, _SPLIT_SEED = 48, 0  # the crops are the same for every seed of the training


class HeldOut(NamedTuple):
    """Crops that no training sees, ``(h, w, 3)``, and what they should become."""

    inputs: list[Colours]
    truths: list[Colours]


class Demo(NamedTuple):
    """A demo: what is trained on what, and what it is held against.

    Attributes:
        title: the first line of what is printed.
        about: further lines: what the data are.
        recipe: its registered name.
        settings: of the recipe; ``steps`` is set.
        write_data: writes the data set into a folder and returns what is held out.
        baselines: ``baselines(folder, held_out)``: how close other ways come to the truth.
        best: which of them the model is compared with.
        untrained: makes the generator, newly initialised, of settings.
        model: where the model that is evaluated lies below ``model/`` of the run; ``""`` for one alone.
        columns: ``columns(model folder, inputs, truths) -> {"column": images}``: the picture.
        average: decay per batch of the average of the weights, of the number of batches; None for no average.
    """

    title: str
    about: Sequence[str]
    recipe: str
    settings: Any
    write_data: Callable[[Path], HeldOut]
    baselines: Callable[[Path, HeldOut], dict[str, Likeness]]
    best: str
    untrained: Callable[[Any], nn.Module]
    model: str
    columns: Callable[[Path, Tensor, Tensor], Mapping[str, Tensor]]
    average: Callable[[int], float] | None = None


def write_held_out(folder: Path, inputs: Mapping[str, Colours], truths: Mapping[str, Colours]) -> HeldOut:
    """Cut 48 crops of 64 pixels into ``testA`` and ``testB`` (PNG).

    Args:
        folder: of the data set.
        inputs: images ``(h, w, 3)`` by name.
        truths: what they should become, of the same sizes.
    """
    names = list(inputs)
    held_out = HeldOut([], [])
    drawn = photographs.crops(list(inputs.values()), CROP, _HELD_OUT, _SPLIT_SEED)
    for index, (which, rows, columns) in enumerate(drawn):
        for domain, whole, kept in (("testA", inputs, held_out.inputs), ("testB", truths, held_out.truths)):
            crop = whole[names[which]][rows, columns]
            write_colours(folder / domain / f"{index:02d}-{names[which]}.png", crop)
            kept.append(crop)
    return held_out


def play(demo: Demo, out: Path, seed: int, steps: int | None, resume: bool) -> None:
    """Train on photographs, print how close the translations of held-out crops come to the truth, and draw them.

    Args:
        demo: which one.
        out: ``data/``, ``run/``, ``result.json`` and ``demo.png`` are made in it.
        seed: of the training; the data are always the same.
        steps: batches; those of the demo's settings when left out.
        resume: go on with the run in ``out``.

    Raises:
        RunError: ``out`` is not empty and is not to be resumed, or the extra ``demo`` is not installed.
    """
    if not resume and out.exists() and any(out.iterdir()):
        raise RunError(f"{out} is not empty; choose another --out, or go on with the demo in it: --resume")
    settings = attrs.evolve(demo.settings, steps=steps or demo.settings.steps)
    held_out = demo.write_data(out / "data")
    _introduce(demo, out, seed, settings)
    rows = demo.baselines(out / "data", held_out)
    torch.manual_seed(seed)
    rows[BEFORE] = evaluate(demo.untrained(settings), held_out)
    with one_thread():
        train(demo.recipe, settings, _run_settings(demo, out, seed, settings.steps, resume))
    models = out / "run" / "model"
    rows[AFTER] = evaluate(load(models / demo.model), held_out)
    _report(demo, out, rows)
    chosen = slice(0, 12, 2)
    shown = (to_tensor(column[chosen]) for column in held_out)
    grid(demo.columns(models, *shown)).save(out / "demo.png")


def evaluate(net: nn.Module, held_out: HeldOut) -> Likeness:
    """Return how close ``net`` comes to the truth."""
    return likeness(to_colours(translated(net, to_tensor(held_out.inputs))), held_out.truths)


def translated(net: nn.Module, images: Tensor) -> Tensor:
    """Return what ``net`` makes of images ``(b, c, h, w)``: on the host, in float32, cut to ``[-1, 1]``."""
    device = next(net.parameters()).device
    with evaluating((net,)):
        made: Tensor = net(images.to(device)).image
    return made.float().cpu().clamp(-1, 1)


def to_tensor(crops: Sequence[Colours]) -> Tensor:
    """Stack crops ``(h, w, 3)`` in 0 ... 1 into ``(b, 3, h, w)`` in ``[-1, 1]``."""
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() * 2 - 1


def to_colours(images: Tensor) -> list[Colours]:
    """Take images ``(b, 3, h, w)`` in ``[-1, 1]`` apart into crops ``(h, w, 3)`` in 0 ... 1."""
    return list(((images + 1) / 2).permute(0, 2, 3, 1).double().numpy())


def write_colours(path: Path, colours: Colours) -> None:
    """Write colours ``(h, w, 3)`` in 0 ... 1 as an 8-bit file, and the folder it lies in."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.clip(colours, 0, 1) * 255).round().astype(np.uint8)).save(path)


def read_colours(folder: Path) -> list[Colours]:
    """Read the images of a folder, in the order of their names: ``(h, w, 3)`` in 0 ... 1."""
    from PIL import Image

    return [np.asarray(Image.open(path)) / 255.0 for path in sorted(folder.iterdir())]


@contextmanager
def one_thread() -> Iterator[None]:
    """Nets this small gain little from a second thread; on a busy machine, two that wait for each other lose much."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _run_settings(demo: Demo, out: Path, seed: int, length: int, resume: bool) -> RunSettings:
    every = max(1, length // 4)
    return RunSettings(
        data=out / "data", out=out / "run", seed=seed, resume=resume and (out / "run" / "settings.toml").is_file(),
        average=None if demo.average is None else demo.average(length), log_every=20, sample_every=every,
        checkpoint_every=min(every, 200),
    )  # fmt: skip


def _introduce(demo: Demo, out: Path, seed: int, settings: Any) -> None:
    print(f"{demo.title} on six photographs (from scikit-image and scikit-learn):")
    print("  " + "; ".join(f"{name}: {licence}" for name, licence in photographs.LICENCES.items()))
    print("\n".join(demo.about))
    print(f"{settings.steps} batches of {settings.batch_size}, seed {seed}, into {out}", flush=True)


def _report(demo: Demo, out: Path, rows: dict[str, Likeness]) -> None:
    print(f"\n{'48 held-out crops':28}{'PSNR':>8}   {'SSIM':>6}")
    for name, row in rows.items():
        print(f"{name:28}{row}")
    margin = rows[AFTER].psnr - rows[demo.best].psnr
    told = "better" if margin > 0 else "worse"
    print(f"\nThe model is {abs(margin):.2f} dB {told} than the {demo.best}. See {out / 'demo.png'}.")
    command = sys.argv[0] if Path(sys.argv[0]).name == "i2i" else "i2i"
    inputs = out / "data" / "testA"
    print(f"Translate a folder:  {command} translate {out / 'run'} {inputs} --out {out / 'translated'}")
    text = json.dumps({name: row._asdict() for name, row in rows.items()}, indent=2)
    (out / "result.json").write_text(text + "\n", encoding="utf-8")
