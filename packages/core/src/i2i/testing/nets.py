"""Checks of networks and layers: what each kind returns, and then what all of them promise."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from i2i.observers import evaluating
from i2i.pixels import TAKEN
from i2i.testing.built import Built, Factory
from i2i.testing.contract import Checks, ContractError, Report, name_of, require
from i2i.testing.modules import check_module
from i2i.tree import leaves
from i2i.values import Translation, Verdict

_VALID = (
    "its example must be a valid use: arguments of the factory, and the shapes of what the module reads, which are "
    "numbers from -1 to 1"
)


def check_generator(factory: Factory) -> Report:
    """Check a generator at its ``@part(example=...)``.

    It returns a `Translation` of the right shape, for images of any size where it says so. It is built alike from one
    seed and on the meta device, computes the same from one seed, and treats the samples of a batch apart. Finite
    gradients reach every parameter. It runs in bf16, and comes back as it was from a file and from a deep copy. Its
    example takes less than two seconds of CPU time.

    Returns:
        What was checked, and what was not and why.

    Raises:
        ContractError: it breaks a promise of `i2i.protocols.Generator`; all that it breaks are listed.
    """
    return _alone(examine_generator, factory)


def check_discriminator(factory: Factory) -> Report:
    """Check a discriminator at its ``@part(example=...)``: as `check_generator`, but it returns a `Verdict`.

    Returns:
        What was checked, and what was not and why.

    Raises:
        ContractError: it breaks a promise of `i2i.protocols.Discriminator`; all that it breaks are listed.
    """
    return _alone(examine_discriminator, factory)


def check_layer(factory: Factory) -> Report:
    """Check a layer at its ``@part(example=...)``: as `check_generator`, but it returns tensors.

    They are a tensor or a NamedTuple of tensors, all with a leading batch dimension.

    Returns:
        What was checked, and what was not and why.

    Raises:
        ContractError: it breaks one of these promises; all that it breaks are listed.
    """
    return _alone(examine_layer, factory)


def _alone(examine: Callable[[Checks, Factory], None], factory: Factory) -> Report:
    checks = Checks(name_of(factory))
    with checks.item(name_of(factory)):
        examine(checks, factory)
    return checks.report()


def examine_generator(checks: Checks, factory: Factory, *, registered: bool = False) -> None:
    """Check a generator, promise by promise; ``registered`` ones must be found by their name once they are saved."""
    built = _built(checks, factory, _check_translation)
    with checks.promise("attributes", needed=True):
        _check_attributes(built.net, built.inputs[0])
    refused = _refused(built)
    if refused:
        checks.skip("any size", f"{refused}, so i2i translate refuses it")
    else:
        _check_any_size(checks, built)
    check_module(checks, built, registered=registered)


def examine_discriminator(checks: Checks, factory: Factory, *, registered: bool = False) -> None:
    """Check a discriminator, promise by promise."""
    check_module(checks, _built(checks, factory, _check_verdict), registered=registered)


def examine_layer(checks: Checks, factory: Factory, *, registered: bool = False) -> None:
    """Check a layer, promise by promise."""
    check_module(checks, _built(checks, factory, _check_tensors), registered=registered)


def _built(checks: Checks, factory: Factory, check: Callable[[Built, Any], None]) -> Built:
    """Build a net and run it; the other promises make no sense without that."""
    with checks.promise("example", needed=True, mend=_VALID):
        built = Built(factory)
    with checks.promise("values", needed=True, mend=_VALID):
        before = [tensor.clone() for tensor in built.inputs]
        value = built.run()
        check(built, value)
        wild = any(not leaf.isfinite().all() for leaf in leaves(value) if isinstance(leaf, Tensor))
        require(not wild, "makes values that are not finite of inputs in -1 ... 1: is something divided by 0?")
        kept = all((one == two).all() for one, two in zip(before, built.inputs, strict=True))
        require(kept, "changes its input in place: use x = x * 2 instead of x.mul_(2) or x *= 2")
    return built


def _check_call(net: nn.Module) -> None:
    """Check that a net takes a condition, as those do that call it without knowing which one it is."""
    advice = "write forward(self, image, condition=None); i2i.layers.check_no_condition refuses one that has no use"
    signature = inspect.signature(net.forward)
    try:
        signature.bind("image", None)
    except TypeError as error:
        raise ContractError(f"forward{signature} takes no condition: {advice}") from error


def _check_translation(built: Built, value: Any) -> None:
    advice = "return i2i.Translation(image)"
    require(isinstance(value, Translation), f"returns a {type(value).__name__}, not a Translation: {advice}")
    _check_call(built.net)
    image, net, batch, fed = value.image, built.net, *built.inputs[0].shape[:2]
    right = isinstance(image, Tensor) and image.ndim == 4 and len(image) == batch
    require(right, f"makes an image {_shape(image)}, not (b, c, h, w) with b = {batch} as its input")
    reads, makes = getattr(net, "in_channels", None), getattr(net, "out_channels", None)
    unknown = reads is None or getattr(net, "takes", None) is not None
    require(unknown or reads == fed, f"says in_channels = {reads}, but its example feeds it {fed}: make them agree")
    made = image.shape[1]
    require(makes in (None, made), f"says out_channels = {makes}, but makes {made} channels: make them agree")
    _check_batch("extras", value.extras, batch)


def _check_verdict(built: Built, value: Any) -> None:
    advice, batch = "return i2i.Verdict((logits,))", len(built.inputs[0])
    require(isinstance(value, Verdict), f"returns a {type(value).__name__}, not a Verdict: {advice}")
    _check_call(built.net)
    scales = len(value.logits) if isinstance(value.logits, tuple) else 0
    require(scales > 0, "returns no logits: they must be a tuple, with a map for each scale")
    for logits in value.logits:
        right = isinstance(logits, Tensor) and logits.ndim == 4 and len(logits) == batch
        require(right, f"logits are {_shape(logits)}, not (b, c, h, w) with b = {batch} as its input")
    counts = {"features": len(value.features)} | {name: len(maps) for name, maps in value.extras.items()}
    wrong = [f"{name} of {count}" for name, count in counts.items() if count not in (0, scales)]
    require(not wrong, f"features and extras must be () or one per scale ({scales} here), not {', '.join(wrong)}")
    flat = [layers for layers in value.features if not isinstance(layers, tuple | list)]
    require(not flat, "features hold a tensor for a scale: return a tuple of the layers for each, ((first, second),)")
    _check_batch("features and extras", (value.features, value.extras), batch)


def _check_tensors(built: Built, value: Any) -> None:
    right = isinstance(value, Tensor | tuple)
    require(right, f"returns a {type(value).__name__}, not a tensor: return a tensor or a NamedTuple of tensors")
    _check_batch("it", value, len(built.inputs[0]))


def _check_batch(what: str, value: Any, batch: int) -> None:
    for leaf in leaves(value):
        right = isinstance(leaf, Tensor) and leaf.ndim > 0 and len(leaf) == batch
        require(right, f"{what} must hold tensors (b, ...) with b = {batch} as its input, not {_shape(leaf)}")


def _shape(value: object) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else f"a {type(value).__name__}"


def _check_attributes(net: nn.Module, read: Tensor) -> None:
    """Check what a generator says of itself, see `i2i.protocols.Generator`."""
    for name in ("multiple", "smallest"):
        value = getattr(net, name, 1)
        right = isinstance(value, int) and value >= 1
        require(right, f"has {name} {value!r}; it must be a whole number, 1 or more: sides are made to fit it")
    takes, size = getattr(net, "takes", None), getattr(net, "size", None)
    allowed = " or ".join(map(repr, TAKEN))
    require(takes is None or takes in TAKEN, f"takes (={takes!r}) must be {allowed}, or None where it reads images")
    sides = size if isinstance(size, tuple) else ()
    right = size is None or (len(sides) == 2 and all(isinstance(side, int) for side in sides))
    require(right, f"has size {size!r}; it must be (height, width) where it accepts one size only, else None")
    right = size is None or takes == "noise" or tuple(read.shape[2:]) == size
    require(right, f"says size = {size}, but its example feeds it {_shape(read)}: make them agree")


def _refused(built: Built) -> str:
    """Say why images of any size cannot be translated; "" where they can."""
    takes = getattr(built.net, "takes", None)
    if takes is not None:
        return f"it takes {takes}"
    if getattr(built.net, "size", None) is not None:
        return "it accepts one size only"
    if len(built.inputs) > 1:
        return "its example gives it more than an image"
    if built.run().image.shape[2:] != built.inputs[0].shape[2:]:
        return "its images are of another size than what it reads"
    return ""


def _check_any_size(checks: Checks, built: Built) -> None:
    """Check what ``i2i translate`` relies on: an image of any size is brought to one that the net accepts."""
    from i2i.translate import translate

    read = built.inputs[0]
    advice = "say multiple = N where sides must be multiples of N, smallest = N where they must be at least N"
    images = F.pad(read, (0, 3, 0, 1), "replicate"), read[..., :1, :1]
    height, width = images[0].shape[2:]
    sizes = f"images of {height}x{width} and 1x1"
    with checks.promise("any size", mend=f"{sizes} must pass: {advice}"), evaluating(built.net):
        finite = all(bool(translate(built.net, image).isfinite().all()) for image in images)
        require(finite, f"makes values that are not finite of {sizes}: {advice}")
