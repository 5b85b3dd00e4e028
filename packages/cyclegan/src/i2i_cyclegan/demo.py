"""``i2i demo cyclegan``: photographs into thermal pictures, learnt from crops that do not belong together.

Domain A are the left columns of six photographs, domain B the right columns, coloured by luminance: no pixel is in
both, and what is held out (the middle columns) is in neither. They are other regions of the same photographs, not
other photographs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import attrs
import numpy as np
import torch
from torch import Tensor

from i2i import photographs
from i2i.errors import RunError
from i2i.grids import grid
from i2i.models import load
from i2i.observers import evaluating
from i2i.photographs import Colours, Likeness, likeness
from i2i.settings import RunSettings
from i2i.training import train
from i2i_cyclegan.recipe import make_nets
from i2i_cyclegan.settings import Settings

_SHORT_SIDE, _CROP, _HELD_OUT = 288, 64, 48
_SPLIT_SEED = 0  # of the held-out crops: the same for every seed of the training
_PALETTE = np.array(
    [[0.02, 0.03, 0.20], [0.35, 0.05, 0.50], [0.85, 0.25, 0.30], [0.98, 0.65, 0.15], [1.00, 0.97, 0.80]]
)
_LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601

SETTINGS = Settings(
    steps=1200,
    batch_size=4,
    preprocess="crop",
    crop_size=_CROP,
    load_size=_CROP,
    generator="unet",
    base_width=32,
    downs=4,
    norm="batch",
    discriminator_width=32,
    discriminator_layers=2,
    lr=1e-3,
)
"""What learns on small crops in two minutes: a U-Net, whose skips bring brightness and detail back."""


class HeldOut(NamedTuple):
    """Crops of the middle columns ``(64, 64, 3)`` and what they should become."""

    inputs: list[Colours]
    truths: list[Colours]


def thermal(colours: Colours) -> Colours:
    """Colour by luminance: dark blue, purple, red, orange, cream; ``(..., 3)`` in 0 ... 1.

    Example:
        >>> thermal(np.zeros((1, 3))).round(2).tolist()
        [[0.02, 0.03, 0.2]]
    """
    stops = np.linspace(0, 1, len(_PALETTE))
    luminance = colours @ _LUMINANCE
    return np.stack([np.interp(luminance, stops, channel) for channel in _PALETTE.T], axis=-1)


def write_data(folder: Path) -> HeldOut:
    """Write ``trainA``, ``trainB``, ``testA`` and ``testB`` (PNG) and return the held-out crops."""
    regions = {name: photographs.columns(whole) for name, whole in photographs.load(_SHORT_SIDE).items()}
    for name, region in regions.items():
        _write(folder / "trainA" / f"{name}.png", region.left)
        _write(folder / "trainB" / f"{name}.png", thermal(region.right))
    names, middles = list(regions), [region.middle for region in regions.values()]
    held_out = HeldOut([], [])
    for index, (which, rows, columns) in enumerate(photographs.crops(middles, _CROP, _HELD_OUT, _SPLIT_SEED)):
        crop = middles[which][rows, columns]
        for domain, pixels, kept in (("testA", crop, held_out.inputs), ("testB", thermal(crop), held_out.truths)):
            _write(folder / domain / f"{index:02d}-{names[which]}.png", pixels)
            kept.append(pixels)
    return held_out


def baselines(folder: Path, held_out: HeldOut) -> dict[str, Likeness]:
    """Return how close the input itself and the best unpaired colour map come to the truth."""
    a, b = (_pixels(folder / domain) for domain in ("trainA", "trainB"))
    matrix, offset = photographs.colour_map(a, b)
    mapped = [crop @ matrix + offset for crop in held_out.inputs]
    return {
        "input itself": likeness(held_out.inputs, held_out.truths),
        "best colour map (unpaired)": likeness(mapped, held_out.truths),
    }


def evaluate(net: torch.nn.Module, held_out: HeldOut) -> Likeness:
    """Return how close ``net`` comes to the truth."""
    return likeness(_to_colours(_run(net, _to_tensor(held_out.inputs))), held_out.truths)


def demo(out: Path, seed: int = 0, steps: int | None = None, resume: bool = False) -> None:
    """Train on photographs, print how close the translations of held-out crops come to the truth, and draw them.

    Args:
        out: ``data/``, ``run/``, ``result.json`` and ``demo.png`` are made in it.
        seed: of the training; the data are always the same.
        steps: batches; 1200 when left out.
        resume: go on with the run in ``out``.

    Raises:
        RunError: ``out`` is not empty and is not to be resumed, or the extra ``demo`` is not installed.
    """
    if not resume and out.exists() and any(out.iterdir()):
        raise RunError(f"{out} is not empty; choose another --out, or go on with the demo in it: --resume")
    settings = attrs.evolve(SETTINGS, steps=steps or SETTINGS.steps)
    held_out = write_data(out / "data")
    _introduce(out, seed, settings)
    rows = baselines(out / "data", held_out)
    torch.manual_seed(seed)
    rows["model before training"] = evaluate(make_nets(settings).G, held_out)
    length = settings.steps or 1
    every = max(1, length // 4)
    run = RunSettings(
        data=out / "data", out=out / "run", seed=seed, resume=resume and (out / "run" / "settings.toml").is_file(),
        average=max(0.5, 1 - 6 / length), log_every=20, sample_every=every, checkpoint_every=min(every, 200),
    )  # fmt: skip
    with _one_thread():
        train("cyclegan", settings, run)
    a2b, b2a = (load(out / "run" / "model" / key) for key in ("a2b", "b2a"))
    rows["model after training"] = evaluate(a2b, held_out)
    _report(out, rows)
    _draw(out / "demo.png", a2b, b2a, held_out)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Nets this small gain little from a second thread; on a busy machine, two that wait for each other lose much."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _introduce(out: Path, seed: int, settings: Settings) -> None:
    print("CycleGAN on six photographs (from scikit-image and scikit-learn):")
    print("  " + "; ".join(f"{name}: {licence}" for name, licence in photographs.LICENCES.items()))
    print("A: left columns. B: right columns, coloured by luminance. Held out: 48 crops of the middle columns,")
    print("that is unseen regions of the same photographs.")
    print(f"{settings.steps} batches of {settings.batch_size}, seed {seed}, into {out}", flush=True)


def _report(out: Path, rows: dict[str, Likeness]) -> None:
    print(f"\n{'48 held-out crops':28}{'PSNR':>8}   {'SSIM':>6}")
    for name, row in rows.items():
        print(f"{name:28}{row}")
    model, best = rows["model after training"], rows["best colour map (unpaired)"]
    margin = model.psnr - best.psnr
    told = "better" if margin > 0 else "worse"
    print(f"\nThe model is {abs(margin):.2f} dB {told} than the best colour map. See {out / 'demo.png'}.")
    command = sys.argv[0] if Path(sys.argv[0]).name == "i2i" else "i2i"
    print(f"Translate a folder:  {command} translate {out / 'run'} {out / 'data' / 'testA'} --out {out / 'translated'}")
    text = json.dumps({name: row._asdict() for name, row in rows.items()}, indent=2)
    (out / "result.json").write_text(text + "\n", encoding="utf-8")


def _draw(path: Path, a2b: torch.nn.Module, b2a: torch.nn.Module, held_out: HeldOut) -> None:
    chosen = range(0, 12, 2)
    a, b = (_to_tensor([column[index] for index in chosen]) for column in held_out)
    fake_b, fake_a = _run(a2b, a), _run(b2a, b)
    columns = {
        "input": a,
        "translation": fake_b,
        "truth": b,
        "and back": _run(b2a, fake_b),
        "other way": fake_a,
        "and back ": _run(a2b, fake_a),
    }
    grid(columns).save(path)


def _run(net: torch.nn.Module, images: Tensor) -> Tensor:
    device = next(net.parameters()).device
    with evaluating((net,)):
        made: Tensor = net(images.to(device)).image
    return made.float().cpu().clamp(-1, 1)


def _to_tensor(crops: list[Colours]) -> Tensor:
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() * 2 - 1


def _to_colours(images: Tensor) -> list[Colours]:
    return list(((images + 1) / 2).permute(0, 2, 3, 1).double().numpy())


def _pixels(folder: Path) -> Colours:
    from PIL import Image

    return np.concatenate([np.asarray(Image.open(path)).reshape(-1, 3) / 255.0 for path in sorted(folder.iterdir())])


def _write(path: Path, colours: Colours) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.clip(colours, 0, 1) * 255).round().astype(np.uint8)).save(path)
