"""``i2i demo cyclegan``: photographs into thermal pictures, learnt from crops that do not belong together.

Domain A are the left columns of six photographs, domain B the right columns, coloured by luminance: no pixel is in
both, and what is held out (the middle columns) is in neither. They are other regions of the same photographs, not
other photographs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from i2i import photographs
from i2i.demos import (
    CROP,
    SHORT_SIDE,
    Demo,
    HeldOut,
    evaluate,
    play,
    read_colours,
    translated,
    write_colours,
    write_held_out,
)
from i2i.models import load
from i2i.photographs import Colours, Likeness, likeness
from i2i_cyclegan.recipe import make_nets
from i2i_cyclegan.settings import Settings

__all__ = ["SETTINGS", "HeldOut", "baselines", "demo", "evaluate", "thermal", "write_data"]

_BEST = "best colour map (unpaired)"
_PALETTE = np.array(
    [[0.02, 0.03, 0.20], [0.35, 0.05, 0.50], [0.85, 0.25, 0.30], [0.98, 0.65, 0.15], [1.00, 0.97, 0.80]]
)
_LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601

SETTINGS = Settings(
    steps=1200,
    batch_size=4,
    preprocess="crop",
    crop_size=CROP,
    load_size=CROP,
    generator="unet",
    base_width=32,
    downs=4,
    norm="batch",
    discriminator_width=32,
    discriminator_layers=2,
    lr=1e-3,
)
"""What learns on small crops in a few minutes: a U-Net, whose skips bring brightness and detail back."""


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
    regions = {name: photographs.columns(whole) for name, whole in photographs.load(SHORT_SIDE).items()}
    for name, region in regions.items():
        write_colours(folder / "trainA" / f"{name}.png", region.left)
        write_colours(folder / "trainB" / f"{name}.png", thermal(region.right))
    middles = {name: region.middle for name, region in regions.items()}
    return write_held_out(folder, middles, {name: thermal(middle) for name, middle in middles.items()})


def baselines(folder: Path, held_out: HeldOut) -> dict[str, Likeness]:
    """Return how close the input itself and the best unpaired colour map come to the truth."""
    a, b = (
        np.concatenate([image.reshape(-1, 3) for image in read_colours(folder / domain)])
        for domain in ("trainA", "trainB")
    )
    matrix, offset = photographs.colour_map(a, b)
    mapped = [crop @ matrix + offset for crop in held_out.inputs]
    return {
        "input itself": likeness(held_out.inputs, held_out.truths),
        _BEST: likeness(mapped, held_out.truths),
    }


def demo(out: Path, seed: int = 0, steps: int | None = None, resume: bool = False) -> None:
    """Run the demo; see `i2i.demos.play`."""
    play(_DEMO, out, seed, steps, resume)


def _columns(models: Path, a: Tensor, b: Tensor) -> dict[str, Tensor]:
    """Both directions, there and back."""
    a2b, b2a = (load(models / key) for key in ("a2b", "b2a"))
    fake_b, fake_a = translated(a2b, a), translated(b2a, b)
    return {
        "input": a,
        "translation": fake_b,
        "truth": b,
        "and back": translated(b2a, fake_b),
        "other way": fake_a,
        "and back ": translated(a2b, fake_a),
    }


_DEMO = Demo(
    title="CycleGAN",
    about=(
        "A: left columns. B: right columns, coloured by luminance. Held out: 48 crops of the middle columns,",
        "that is unseen regions of the same photographs.",
    ),
    recipe="cyclegan",
    settings=SETTINGS,
    write_data=write_data,
    baselines=baselines,
    best=_BEST,
    untrained=lambda settings: make_nets(settings).G,
    model="a2b",
    columns=_columns,
    average=lambda length: max(0.5, 1 - 6 / length),
)
