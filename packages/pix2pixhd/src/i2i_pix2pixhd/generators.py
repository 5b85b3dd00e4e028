"""The coarse-to-fine generator: a global network, and enhancers around it, layer for layer as the authors'."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from i2i.errors import CompositionError, SettingsError
from i2i.layers import Norm, at_least, sequence
from i2i.parts import Example, Spec, part
from i2i.values import Translation
from i2i_pix2pixhd.conditions import Inputs, compute_dtype, halved, joined
from i2i_pix2pixhd.initialise import initialise
from i2i_pix2pixhd.layers import Padding, Upsampling, layers_of


class SceneNetwork(nn.Module):
    """What all networks of this module know of what they read.

    Attributes:
        in_channels: float channels, those of the image (where there are no classes) and of the condition.
        out_channels: channels of the image it makes.
        labels: number of classes whose ids it reads as its image; 0: its image is float channels.
        multiple: height and width must be multiples of it.
        smallest: the least height and width.
    """

    def __init__(self, in_channels: int, out_channels: int, labels: int, *, multiple: int, smallest: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.labels = labels
        self.multiple = multiple
        self.smallest = smallest

    def inputs(self, image: Tensor, condition: Tensor | None) -> Inputs:
        """Check image and condition and join them: classes, channels of the image, those of the condition."""
        return joined(
            image if self.labels else None,
            [condition] if self.labels else [image, condition],
            classes=self.labels,
            count=self.in_channels,
            multiple=self.multiple,
            smallest=self.smallest,
        )


class GlobalGenerator(SceneNetwork):
    """One network at one resolution."""

    def __init__(self, model: nn.Module, in_channels: int, out_channels: int, labels: int, *, multiple: int) -> None:
        # Residual blocks reflect one pixel at the bottom, the 7x7 convolutions three.
        smallest = max(2 * multiple, 4)
        super().__init__(in_channels, out_channels, labels, multiple=multiple, smallest=smallest)
        self.model = model

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Translation:
        """Make an image.

        Args:
            image: class ids ``(b, 1, h, w)``, integers, where the network reads classes; else channels
                ``(b, c, h, w)`` in ``[-1, 1]``. An id outside ``0 ... labels - 1`` stands for no class.
            condition: further channels ``(b, k, h, w)``: boundaries, features. Their number and that of the image add
                up to ``in_channels``.

        Returns:
            ``(b, out_channels, h, w)`` in ``[-1, 1]``.

        Raises:
            DataError: other channels, or a size that the network cannot make again.
        """
        return Translation(self.model(self.inputs(image, condition)))


class LocalEnhancer(SceneNetwork):
    """A global network at a fraction of the resolution, and enhancers that double it.

    ``model`` is the global network without what makes its image. Enhancer ``n`` (from 1, the coarsest) has two parts:
    ``model{n}_1`` reads the input at its resolution, and ``model{n}_2`` doubles the size of the sum of that and of what
    is below.
    """

    def __init__(
        self,
        model: nn.Module,
        parts: Sequence[tuple[nn.Module, nn.Module]],
        in_channels: int,
        out_channels: int,
        labels: int,
        *,
        multiple: int,
    ) -> None:
        smallest = max(2 * multiple, 4)
        super().__init__(in_channels, out_channels, labels, multiple=multiple, smallest=smallest)
        self.enhancers = len(parts)
        self.model = model
        for level, (reading, doubling) in enumerate(parts, 1):
            self.add_module(f"model{level}_1", reading)
            self.add_module(f"model{level}_2", doubling)

    def local_parts(self) -> tuple[nn.Module, ...]:
        """Return the parts of all enhancers, the coarsest first: what is trained while the global part is fixed."""
        levels = range(1, self.enhancers + 1)
        return tuple(self.get_submodule(f"model{level}_{part}") for level in levels for part in (1, 2))

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Translation:
        """Make an image; arguments and result as of `GlobalGenerator`."""
        sizes: list[Inputs | Tensor] = [self.inputs(image, condition)]
        dtype = compute_dtype(next(self.parameters()))
        for _ in range(self.enhancers):
            sizes.append(halved(sizes[-1], self.labels, dtype))
        x: Tensor = self.model(sizes.pop())
        parts = iter(self.local_parts())
        for reading, doubling in zip(parts, parts, strict=True):
            x = doubling(reading(sizes.pop()) + x)
        return Translation(x)


@part(example=Example({"base_width": 2, "downs": 2, "blocks": 1}, ((1, 3, 16, 16),)))
def global_generator(
    in_channels: int = 3,
    out_channels: int = 3,
    *,
    labels: int = 0,
    base_width: int = 64,
    downs: int = 4,
    blocks: int = 9,
    norm: Norm = "instance",
    upsampling: Upsampling = "transposed",
    padding: Padding = "zero",
    recompute: bool = False,
) -> GlobalGenerator:
    """Make the global generator: a 7x7 convolution, ``downs`` halvings, ``blocks`` residual blocks, and back up.

    Args:
        in_channels: float channels that it reads: those of the image where there are no ``labels``, and those of the
            condition.
        out_channels: channels of the image it makes.
        labels: number of classes; the image is then their ids, and the first convolution looks its weights up. 0: the
            image is float channels.
        base_width: channels after the first convolution; each halving doubles them.
        downs: halvings, 1 and up. Height and width must be multiples of ``2 ** downs``, at least twice that.
        blocks: residual blocks at the lowest resolution; 0 and up.
        norm: ``"instance"``, ``"batch"`` or ``"none"``.
        upsampling: ``"transposed"`` convolutions, or ``"resize"``: nearest neighbours and a convolution padded by
            reflection, which leaves no checkerboard.
        padding: of the halving convolutions: ``"zero"``, or ``"reflect"``, against bright blobs at the edges.
        recompute: while training, keep only what goes into each block or change of resolution and compute the rest
            again for the backward pass: less memory, about a third more time, equal gradients.

    Returns:
        A `GlobalGenerator`, newly initialised.

    Raises:
        SettingsError: an argument is out of range or unknown.

    Example:
        >>> import torch
        >>> net = global_generator(1, labels=35, base_width=4, downs=2, blocks=1)
        >>> ids, edges = torch.zeros(1, 1, 16, 24, dtype=torch.int32), torch.zeros(1, 1, 16, 24)
        >>> net(ids, edges).image.shape
        torch.Size([1, 3, 16, 24])

    References:
        Wang et al., High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs, 2018 (arXiv
        1711.11585), section 3.2 and appendix.
        Odena et al., Deconvolution and Checkerboard Artifacts, Distill, 2016.
    """
    _check(in_channels, out_channels, labels, base_width, downs, blocks)
    layers = layers_of(norm, upsampling, padding)
    groups = layers.whole(labels, in_channels, base_width, downs, blocks)
    model = sequence(*groups, layers.last(base_width, out_channels), recompute=recompute)
    return initialise(GlobalGenerator(model, in_channels, out_channels, labels, multiple=2**downs))


@part(example=Example({"base_width": 2, "downs": 1, "blocks": 1, "local_blocks": 1}, ((1, 3, 16, 16),)))
def local_enhancer(
    in_channels: int = 3,
    out_channels: int = 3,
    *,
    labels: int = 0,
    base_width: int = 32,
    downs: int = 4,
    blocks: int = 9,
    enhancers: int = 1,
    local_blocks: int = 3,
    norm: Norm = "instance",
    upsampling: Upsampling = "transposed",
    padding: Padding = "zero",
    recompute: bool = False,
) -> LocalEnhancer:
    """Make a global network with enhancers around it, each of which doubles its resolution.

    Args:
        in_channels: as of `global_generator`.
        out_channels: as there.
        labels: as there. Only the finest level reads ids; the others read means over pixels, which are fractions.
        base_width: channels after the first convolution of the finest enhancer; the global network has
            ``base_width * 2 ** enhancers``.
        downs: halvings of the global network. Height and width must be multiples of ``2 ** (downs + enhancers)``, at
            least twice that.
        blocks: residual blocks of the global network.
        enhancers: how many, 1 and up.
        local_blocks: residual blocks of each enhancer, 0 and up.
        norm: as of `global_generator`.
        upsampling: as there.
        padding: as there.
        recompute: as there.

    Returns:
        A `LocalEnhancer`, newly initialised.

    Raises:
        SettingsError: an argument is out of range or unknown.

    Example:
        >>> import torch
        >>> net = local_enhancer(base_width=2, downs=2, blocks=1, local_blocks=1)
        >>> net(torch.zeros(1, 3, 16, 24)).image.shape
        torch.Size([1, 3, 16, 24])
        >>> sorted({name.partition(".")[0] for name in net.state_dict()})
        ['model', 'model1_1', 'model1_2']

    References:
        Wang et al., 2018 (arXiv 1711.11585), section 3.2, figure 3.
    """
    _check(in_channels, out_channels, labels, base_width, downs, blocks)
    at_least("enhancers", enhancers, 1, 8)
    at_least("local_blocks", local_blocks, 0)
    layers = layers_of(norm, upsampling, padding)
    whole = layers.whole(labels, in_channels, base_width * 2**enhancers, downs, blocks)
    parts = []
    for level in range(1, enhancers + 1):
        width = base_width * 2 ** (enhancers - level)
        reading = [layers.first(labels, in_channels, width), layers.down(width)]
        doubling = [*layers.blocks(2 * width, local_blocks), layers.up(2 * width)]
        if level == enhancers:
            doubling.append(layers.last(width, out_channels))
        parts.append((sequence(*reading, recompute=recompute), sequence(*doubling, recompute=recompute)))
    model = sequence(*whole, recompute=recompute)
    multiple = 2 ** (downs + enhancers)
    return initialise(LocalEnhancer(model, parts, in_channels, out_channels, labels, multiple=multiple))


def enhanced(
    generator: GlobalGenerator, *, local_blocks: int = 3, enhancers: int = 1, recompute: bool | None = None
) -> LocalEnhancer:
    """Make enhancers around a trained global network, which then works at a fraction of the resolution.

    Args:
        generator: made by `global_generator`; it stays as it is.
        local_blocks: residual blocks of each enhancer.
        enhancers: how many.
        recompute: as of `global_generator`; as of the trained network when left out.

    Returns:
        A `LocalEnhancer` on the same device: newly initialised, but for the weights of the global network, which are
        copied, without those that made its image.

    Raises:
        CompositionError: the network was not made by `global_generator`.
        SettingsError: its ``base_width`` cannot be halved that often.

    Example:
        >>> import torch
        >>> trained = global_generator(base_width=4, downs=1, blocks=1)
        >>> torch.equal(enhanced(trained).state_dict()["model.1.weight"], trained.state_dict()["model.1.weight"])
        True
    """
    spec = getattr(generator, "spec", None)
    if not isinstance(generator, GlobalGenerator) or not isinstance(spec, Spec):
        raise CompositionError(
            f"enhanced() takes what global_generator() made; this {type(generator).__name__} was made otherwise"
        )
    at_least("enhancers", enhancers, 1, 8)
    given = dict(spec.arguments) | ({} if recompute is None else {"recompute": recompute})
    width, factor = given.pop("base_width"), 2**enhancers
    if width % factor:
        fitting = max(width // factor * factor, factor)
        raise SettingsError(
            f"base_width (={width}) of the global generator must be a multiple of {factor} for enhancers "
            f"(={enhancers}); use {fitting}"
        )
    weight = next(generator.parameters())
    with weight.device:
        net = local_enhancer(**given, base_width=width // factor, local_blocks=local_blocks, enhancers=enhancers)
    if weight.dtype != torch.get_default_dtype():  # moving tensors without data to where they are fails
        net.to(weight.dtype)
    copied = {name: value for name, value in generator.state_dict().items() if name in net.state_dict()}
    net.load_state_dict(copied, strict=False)
    return net


def _check(in_channels: int, out_channels: int, labels: int, base_width: int, downs: int, blocks: int) -> None:
    at_least("labels", labels, 0)
    at_least("in_channels", in_channels, 0 if labels else 1)
    at_least("out_channels", out_channels, 1)
    at_least("base_width", base_width, 1)
    at_least("downs", downs, 1, 16)  # 2 ** 16 is wider than any image
    at_least("blocks", blocks, 0)
