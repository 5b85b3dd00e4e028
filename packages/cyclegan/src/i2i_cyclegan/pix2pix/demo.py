"""``i2i demo pix2pix``: pencil sketches into photographs, learnt from pairs.

Pairs are the left and the right columns of six photographs and sketches of them; what is held out are the middle
columns: other regions of the same photographs, not other photographs.
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
from i2i_cyclegan.pix2pix.recipe import make_nets
from i2i_cyclegan.pix2pix.settings import Settings

__all__ = ["SETTINGS", "baselines", "demo", "evaluate", "sketch", "write_data"]

_BEST = "best colour map"
_LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_STROKE, _SHADE = 6.0, 0.1  # standard deviation of the blur in pixels; how much of the shading is left
_MEAN_OF, _MEAN_SEED = 300, 1  # training crops that the mean image is taken of

SETTINGS = Settings(
    steps=1200,
    batch_size=8,
    preprocess="crop",
    crop_size=CROP,
    load_size=CROP,
    base_width=24,
    downs=5,
    dropout=0.0,
    discriminator_width=24,
    discriminator_layers=2,
    criterion="lsgan",
    lr=1e-3,
    discriminator_lr=5e-4,
)
"""What learns on small crops in a minute."""


def sketch(colours: Colours) -> Colours:
    """Draw with a pencil: luminance over blurred luminance (colour dodge); ``(h, w, 3)`` in 0 ... 1, grey.

    Lines are drawn where it gets darker; what is dark all over keeps some shading.

    Example:
        >>> [round(float(sketch(np.full((8, 8, 3), level)).max()), 3) for level in (0.1, 0.9)]
        [0.5, 0.9]
    """
    from skimage.filters import gaussian

    luminance = colours @ _LUMINANCE
    drawn = np.clip(luminance / (gaussian(luminance, _STROKE, mode="nearest") + _SHADE), 0, 1)
    return np.repeat(drawn[..., None], 3, axis=-1)


def write_data(folder: Path) -> HeldOut:
    """Write ``trainA`` (sketches), ``trainB`` (photographs), ``testA`` and ``testB``; return the held-out crops."""
    regions = {name: photographs.columns(whole) for name, whole in photographs.load(SHORT_SIDE).items()}
    for name, region in regions.items():
        for side in ("left", "right"):
            photograph = getattr(region, side)
            write_colours(folder / "trainA" / f"{name}-{side}.png", sketch(photograph))
            write_colours(folder / "trainB" / f"{name}-{side}.png", photograph)
    middles = {name: region.middle for name, region in regions.items()}
    return write_held_out(folder, {name: sketch(middle) for name, middle in middles.items()}, middles)


def baselines(folder: Path, held_out: HeldOut) -> dict[str, Likeness]:
    """Return how close simpler answers come to the truth; what they need is fitted on the training pairs."""
    a, b = (read_colours(folder / domain) for domain in ("trainA", "trainB"))
    with_one = [np.pad(image.reshape(-1, 3), ((0, 0), (0, 1)), constant_values=1) for image in (*a, *held_out.inputs)]
    wanted = np.concatenate([image.reshape(-1, 3) for image in b])
    colour_map, *_ = np.linalg.lstsq(np.concatenate(with_one[: len(a)]), wanted, rcond=None)
    mapped = [(pixels @ colour_map).reshape(CROP, CROP, 3) for pixels in with_one[len(a) :]]
    drawn = photographs.crops(b, CROP, _MEAN_OF, _MEAN_SEED)
    mean = np.mean([b[which][rows, columns] for which, rows, columns in drawn], axis=0)
    return {
        "input itself": likeness(held_out.inputs, held_out.truths),
        _BEST: likeness(mapped, held_out.truths),
        "mean image": likeness([mean] * len(held_out.truths), held_out.truths),
    }


def demo(out: Path, seed: int = 0, steps: int | None = None, resume: bool = False) -> None:
    """Run the demo; see `i2i.demos.play`."""
    play(_DEMO, out, seed, steps, resume)


def _columns(model: Path, a: Tensor, b: Tensor) -> dict[str, Tensor]:
    return {"sketch": a, "translation": translated(load(model), a), "truth": b}


_DEMO = Demo(
    title="pix2pix",
    about=(
        "A: pencil sketches. B: what they were drawn from, left and right columns. Held out: 48 crops of the middle",
        "columns, that is unseen regions of the same photographs.",
    ),
    recipe="pix2pix",
    settings=SETTINGS,
    write_data=write_data,
    baselines=baselines,
    best=_BEST,
    untrained=lambda settings: make_nets(settings).G,
    model="",
    columns=_columns,
)
