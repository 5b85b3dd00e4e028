"""An image that is given, seen through a trained model: painted, edited, harmonised.

It is made so small that only its layout is left, put in between two scales of the model, and the scales above make it
look like the training image.

References:
    Shaham, Dekel and Michaeli, SinGAN: Learning a Generative Model from a Single Natural Image (arXiv 1905.01164),
    section 4.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from i2i.errors import DataError, SettingsError
from i2i_singan.apps.masks import blended, difference_mask, feathered, fitted
from i2i_singan.model import PyramidGenerator
from i2i_singan.palette import quantised
from i2i_singan.pyramid import scale_between
from i2i_singan.resize import resize
from i2i_singan.sampling import TILE, generate

EDITED_DILATION, HARMONIZED_DILATION = 20, 7  # pixels, as in the authors' code


class Composition(NamedTuple):
    """What `edit` and `harmonize` make.

    Attributes:
        image: ``(1, c, h, w)`` in ``[-1, 1]``: what is made within the mask, and the given image without.
        made: the same before the given image is put around it, not clamped.
        weight: ``(1, 1, h, w)``, float64: of what is made, from 0 to 1.
    """

    image: Tensor
    made: Tensor
    weight: Tensor


def paint(
    model: PyramidGenerator,
    image: Tensor,
    start_scale: int,
    *,
    palette: Tensor | None = None,
    seed: int = 0,
    tile: int = TILE,
) -> Tensor:
    """Turn a painting into an image of the kind that the model was trained on.

    Args:
        model: a trained model; with ``palette`` best one whose scale ``start_scale`` was trained on quantised images,
            see `i2i_singan.apps.derived.quantised_model`.
        image: the painting, ``(1, c, h, w)`` in ``[-1, 1]``; of another size than the finest scale it is resized.
        start_scale: where it is put in; 1 keeps its layout only, the finest scale nearly all of it.
        palette: ``(colours, c)``: give each pixel of the painting one of these, see `i2i_singan.palette.palette`.
        seed: of the noise.
        tile: see `i2i_singan.sampling.generate`.

    Returns:
        ``(1, c, h, w)`` of the finest scale, not clamped.

    Raises:
        DataError: other channels than those of the model.
        SettingsError: ``start_scale`` is no scale of the model above the coarsest.

    Differs:
        From the authors' code: an image of another height is resized, too. With a palette, what is put in is of its
        colours only, as in training; theirs is resized after that, and so has colours in between.
    """
    check_injection_scale(model, start_scale)
    given = at_finest(model, image)
    if palette is None:
        prior = prior_of(model, given, start_scale)
    else:
        few, exponent = quantised(given, palette, reference=model.reference), len(model) - 1 - start_scale
        prior = _resized(model, few, start_scale, exponent)
        prior = prior if model.reference else quantised(prior, palette)
    return generate(model, 1, seed=seed, start_scale=start_scale, image=prior, tile=tile)


def edit(
    model: PyramidGenerator,
    image: Tensor,
    start_scale: int,
    *,
    mask: Tensor | None = None,
    tolerance: float = 0.05,
    dilation: int = EDITED_DILATION,
    feather: float = 5.0,
    seed: int = 0,
    tile: int = TILE,
) -> Composition:
    """Make a collage look as if it had never been cut: parts of the training image that were moved or copied.

    Args:
        model: a trained model.
        image: the edited image, ``(1, c, h, w)`` in ``[-1, 1]``; of another size than the finest scale it is resized.
        start_scale: where it is put in; see `paint`.
        mask: ``(1, 1, h, w)`` bool of the size of ``image``: where it was edited; None: where it differs from the
            training image.
        tolerance: without ``mask``: difference that is none yet, as a share of the range; see
            `i2i_singan.apps.masks.difference_mask`.
        dilation: pixels that the mask is grown by.
        feather: standard deviation of its soft edge, in pixels.
        seed: of the noise.
        tile: see `i2i_singan.sampling.generate`.

    Returns:
        The result, which outside the mask is ``image`` to the bit, and what it is made of.

    Raises:
        DataError: other channels than those of the model, or a mask that is of another size, empty or full.
        SettingsError: ``start_scale`` is no scale of the model above the coarsest.

    Differs:
        From the authors' code: ``image`` surrounds the result, not the training image.
    """
    check_injection_scale(model, start_scale)
    given = at_finest(model, image)
    if mask is None:
        changed = difference_mask(given, model[-1].image.to(given), tolerance=tolerance)
    else:
        changed = fitted(_checked(mask, image), model.sizes[-1])
    weight = feathered(changed.cpu(), radius=dilation, sigma=feather)
    made = generate(model, 1, seed=seed, start_scale=start_scale, image=prior_of(model, given, start_scale), tile=tile)
    return Composition(blended(given, made.to(given), weight), made, weight)


def harmonize(
    model: PyramidGenerator,
    image: Tensor,
    start_scale: int,
    *,
    mask: Tensor | None = None,
    tolerance: float = 0.05,
    dilation: int = HARMONIZED_DILATION,
    feather: float = 5.0,
    seed: int = 0,
    tile: int = TILE,
) -> Composition:
    """Give an object that was pasted in the colours and the texture of the training image.

    As `edit`, whose arguments and errors it has, but with a mask that is grown less.
    """
    return edit(
        model,
        image,
        start_scale,
        mask=mask,
        tolerance=tolerance,
        dilation=dilation,
        feather=feather,
        seed=seed,
        tile=tile,
    )


def at_finest(model: PyramidGenerator, image: Tensor) -> Tensor:
    """Bring an image ``(1, c, h, w)`` to the size of the finest scale and the device of the model.

    An image of the aspect of the training image is resized exactly as that was, so that equal pixels stay equal.

    Raises:
        DataError: it has other channels than the model.
    """
    if image.ndim != 4 or len(image) != 1 or image.shape[1] != model.in_channels:
        raise DataError(
            f"an image of shape {tuple(image.shape)}; this model needs one of (1, {model.in_channels}, h, w)"
        )
    image, size = image.to(model[-1].image), model.sizes[-1]
    given = tuple(image.shape[2:])
    if given == size:
        return image
    return resize(image, size, scale_between(given, size), reference=model.reference)


def prior_of(model: PyramidGenerator, image: Tensor, scale: int) -> Tensor:
    """Return what ``scale`` would see of an image of the finest size: it goes down to the scale below, and up again."""
    small = _resized(model, image, scale - 1, len(model) - scale)
    return model.upsampled(small, model.sizes[scale])


def _resized(model: PyramidGenerator, image: Tensor, scale: int, exponent: int) -> Tensor:
    return resize(image, model.sizes[scale], model.factor**exponent, reference=model.reference)


def check_injection_scale(model: PyramidGenerator, start_scale: int) -> None:
    """Check that an image can be put in between a scale and the one below.

    Raises:
        SettingsError: it cannot.
    """
    if not 1 <= start_scale < len(model):
        raise SettingsError(
            f"start_scale (={start_scale}) must lie between 1 and {len(model) - 1}; the coarsest scale of a model, 0, "
            "sees noise only"
        )


def _checked(mask: Tensor, image: Tensor) -> Tensor:
    height, width = image.shape[2:]
    if mask.shape != (1, 1, height, width):
        raise DataError(f"a mask of shape {tuple(mask.shape)}; this image needs one of (1, 1, {height}, {width})")
    for full, told in ((False, "empty: nothing would change"), (True, "full: nothing would be kept")):
        if bool((mask == full).all()):
            raise DataError(f"the mask is {told}")
    return mask
