"""``i2i singan paint``, ``edit`` and ``harmonize``: an image that is given, seen through a trained model."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from i2i.errors import DataError, SettingsError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from i2i.pixels import PixelFormat
    from i2i_singan.apps.paint import Composition
    from i2i_singan.model import PyramidGenerator

_TOLERANCE = 0.05  # a share of the range
_WIDEST = 1000  # pixels


def paint(
    model: str,
    image: Path,
    /,
    *,
    out: Path,
    start_scale: tuple[int, ...],
    quantise: bool = False,
    colours: int | None = None,
    steps: int | None = None,
    seed: int = 0,
    device: str = "auto",
    tile: int = 512,
) -> None:
    """Turn a painting into an image of the kind that the model was trained on.

    Args:
        model: a run or model of SinGAN.
        image: the painting.
        out: folder for the results.
        start_scale: where the painting is put in, 1 (only its layout is kept) and up; several give several results.
        quantise: reduce the painting to the colours of the training image, with a scale trained for that beforehand.
        colours: how many with --quantise; 5 when left out.
        steps: batches of that training; as many as the run of the model had for each scale when left out.
        seed: of the noise.
        device: auto, cpu, cuda, cuda:N, xpu or mps.
        tile: make large images in tiles of this side, to save memory; the result is the same.
    """
    from i2i_singan.apps.derived import quantised_model
    from i2i_singan.apps.paint import paint as make
    from i2i_singan.palette import palette

    for flag, value in (("--colours", colours), ("--steps", steps)):
        if value is not None and not quantise:
            raise SettingsError(f"{flag} (={value}) is for --quantise; add that, or leave it out")
    given = _begin(model, image, start_scale, device, seed, tile)
    for scale in start_scale:
        if not quantise:
            made = make(given.model, given.tensor, scale, seed=seed, tile=tile)
        else:
            count = 5 if colours is None else colours
            retrained = quantised_model(model, scale, count, steps=steps, device=device)
            few = palette(retrained[scale].image, count, reference=retrained.reference)
            made = make(retrained, given.tensor, scale, palette=few, seed=seed, tile=tile)
        _write(_levels(made, given), given, out, f"painted-{scale}" + "-quantised" * quantise)


def edit(
    model: str,
    image: Path,
    /,
    *,
    out: Path,
    start_scale: tuple[int, ...],
    mask: Path | None = None,
    tolerance: float | None = None,
    dilation: int = 20,
    feather: float = 5.0,
    seed: int = 0,
    device: str = "auto",
    tile: int = 512,
) -> None:
    """Make an edited training image, in which parts were moved or copied, look as if nobody had touched it.

    Args:
        model: a run or model of SinGAN.
        image: the edited image.
        out: folder for the results: within the mask, without it (raw), and the mask.
        start_scale: where the image is put in, 1 (only its layout is kept) and up; several give several results.
        mask: image of the same size, white where the result may differ; found by comparison when left out.
        tolerance: of a mask that is found: difference, as a share of the range, that is no change yet; 0.05 when left
            out.
        dilation: pixels that the mask is grown by.
        feather: width of its soft edge, a standard deviation in pixels.
        seed: of the noise.
        device: auto, cpu, cuda, cuda:N, xpu or mps.
        tile: make large images in tiles of this side, to save memory; the result is the same.
    """
    edge = _Edge(mask, tolerance, dilation, feather)
    given = _begin(model, image, start_scale, device, seed, tile)
    _compose(given, start_scale, out, "edited", edge, seed=seed, tile=tile, raw=True)


def harmonize(
    model: str,
    image: Path,
    /,
    *,
    out: Path,
    start_scale: tuple[int, ...],
    mask: Path | None = None,
    tolerance: float | None = None,
    dilation: int = 7,
    feather: float = 5.0,
    seed: int = 0,
    device: str = "auto",
    tile: int = 512,
) -> None:
    """Give an object that was pasted into the training image the look of what is around it.

    Args:
        model: a run or model of SinGAN.
        image: the training image with the object in it.
        out: folder for the result and the mask.
        start_scale: where the image is put in, 1 (only its layout is kept) and up; several give several results.
        mask: image of the same size, white where the object is; found by comparison when left out.
        tolerance: of a mask that is found: difference, as a share of the range, that is no change yet; 0.05 when left
            out.
        dilation: pixels that the mask is grown by.
        feather: width of its soft edge, a standard deviation in pixels.
        seed: of the noise.
        device: auto, cpu, cuda, cuda:N, xpu or mps.
        tile: make large images in tiles of this side, to save memory; the result is the same.
    """
    edge = _Edge(mask, tolerance, dilation, feather)
    given = _begin(model, image, start_scale, device, seed, tile)
    _compose(given, start_scale, out, "harmonized", edge, seed=seed, tile=tile, raw=False)


class _Given(NamedTuple):
    """A model and an image: its file, as it was read ``(h, w, c)``, and ``(1, c, h, w)`` in [-1, 1]."""

    model: PyramidGenerator
    path: Path
    array: NDArray[Any]
    tensor: Tensor
    writes: PixelFormat


class _Edge(NamedTuple):
    """What the flags say about where the result may differ."""

    mask: Path | None
    tolerance: float | None
    dilation: int
    feather: float


def _begin(model: str, path: Path, scales: Sequence[int], device: str, seed: int, tile: int) -> _Given:
    """Load the model and read the image; what is wrong is found before anything is made."""
    from i2i.layers import at_least
    from i2i_singan.apps.paint import check_injection_scale
    from i2i_singan.files import load_model

    loaded = load_model(model, device)
    if not scales:
        raise SettingsError("where is it put in? --start-scale 1 and up; several give several results")
    at_least("seed", seed, 0)
    at_least("tile", tile, 1)
    for scale in scales:
        check_injection_scale(loaded, scale)
    given = _read(path, loaded)
    height, width = given.array.shape[:2]
    if (height, width) != loaded.sizes[-1]:
        finest = "x".join(map(str, reversed(loaded.sizes[-1])))
        print(f"i2i: {path} is {width}x{height}; resized to {finest}, the finest scale of the model", file=sys.stderr)
    return given


def _read(path: Path, model: PyramidGenerator) -> _Given:
    import attrs

    from i2i.data import MisfitError, depth_of, read_image, to_tensor
    from i2i.pixels import formats_of

    reads, writes = formats_of(model)
    try:
        array = read_image(path, reads)
    except DataError as error:
        if isinstance(misfit := error.__cause__, MisfitError):
            raise DataError(f"{path} {misfit.by_model}") from error
        raise
    return _Given(model, path, array, to_tensor(array, reads)[None], attrs.evolve(writes, depth=depth_of(array)))


def _compose(
    given: _Given, scales: Sequence[int], out: Path, name: str, edge: _Edge, *, seed: int, tile: int, raw: bool
) -> None:
    """Write what `i2i_singan.apps.paint.edit` makes at each scale; ``raw``: the result without the mask, too."""
    from i2i_singan.apps.paint import edit as make

    _check_edge(edge)
    tolerance = _TOLERANCE if edge.tolerance is None else edge.tolerance
    mask = _mask(edge.mask, given, out / f"{given.path.stem}-{name}-mask.png")
    for scale in scales:
        made = make(
            given.model, given.tensor, scale, mask=mask, tolerance=tolerance, dilation=edge.dilation,
            feather=edge.feather, seed=seed, tile=tile,
        )  # fmt: skip
        _write(_kept_outside(made, given), given, out, f"{name}-{scale}")
        if raw:
            _write(_levels(made.made, given), given, out, f"{name}-{scale}-raw")
    _write(_shown(made.weight), given, out, f"{name}-mask")


def _check_edge(edge: _Edge) -> None:
    if edge.tolerance is not None and edge.mask is not None:
        raise SettingsError(f"--tolerance (={edge.tolerance:g}) is for a mask that is found; leave it out with --mask")
    if edge.tolerance is not None and not 0 <= edge.tolerance <= 1:
        raise SettingsError(f"--tolerance (={edge.tolerance:g}) must lie between 0 and 1")
    for flag, value in (("--dilation", edge.dilation), ("--feather", edge.feather)):
        if not 0 <= value <= _WIDEST:
            raise SettingsError(f"{flag} (={value:g}) must lie between 0 and {_WIDEST} pixels")


def _mask(path: Path | None, given: _Given, target: Path) -> Tensor | None:
    """Read the mask, if there is one; as it is used, it will be written to ``target``."""
    from i2i_singan.apps.masks import read_mask

    if path is None:
        return None
    if path.resolve() == target.resolve():
        raise DataError(f"{path} would be overwritten by the mask as it was used; choose another --out")
    height, width = given.array.shape[:2]
    return read_mask(path, (height, width), reference=given.model.reference)


def _levels(made: Tensor, given: _Given) -> NDArray[Any]:
    """Return ``(h, w, c)`` at the depth of the given image."""
    from i2i.data import to_array

    return to_array(made[0], given.writes)


def _shown(weight: Tensor) -> NDArray[Any]:
    """Return a mask as an image ``(h, w, 1)``: black exactly where the given image stays as it is."""
    levels: NDArray[Any] = (weight[0, 0, :, :, None] * 255).ceil().byte().numpy()
    return levels


def _kept_outside(made: Composition, given: _Given) -> NDArray[Any]:
    """Return ``(h, w, c)`` at the depth of the given image; where nothing was made, its pixels to the bit."""
    import numpy as np

    levels = _levels(made.image, given)
    if levels.shape != given.array.shape:  # it was resized
        return levels
    # Floats would not come back from -1 to 1 unchanged.
    return np.where(made.weight[0, 0, :, :, None].numpy() > 0, levels, given.array)


def _write(levels: NDArray[Any], given: _Given, out: Path, name: str) -> None:
    from i2i.data import can_hold, depth_of, write_array
    from i2i.files import writing

    suffix = ".png" if can_hold(".png", levels.shape[2], depth_of(levels)) else ".tif"
    path = out / f"{given.path.stem}-{name}{suffix}"
    with writing(path, "what was written before is intact"):
        out.mkdir(parents=True, exist_ok=True)
        write_array(levels, path)
    print(path)
