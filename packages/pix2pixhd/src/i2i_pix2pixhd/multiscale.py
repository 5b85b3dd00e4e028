"""The multi-scale discriminator: the same patch discriminator at several resolutions."""

from __future__ import annotations

from torch import Tensor, nn

from i2i.layers import NORMS, Norm, at_least, norm_layer, one_of, sequence
from i2i.parts import Example, part
from i2i.values import Verdict
from i2i_pix2pixhd.conditions import Inputs, JoinedConv2d, compute_dtype, halved, joined
from i2i_pix2pixhd.initialise import initialise

_WIDEST = 512  # channels of the authors' widest layers, whatever the first one has


class MultiscaleDiscriminator(nn.Module):
    """Judges an image at full size, at half size, and so on.

    The modules of one scale are ``scale{s}_layer{0 ...}``; scale 0 is the coarsest, so that a finer one can be added
    without renaming.

    Attributes:
        in_channels: float channels: those of the image, and of a condition that is no class map.
        labels: number of classes whose ids it reads as its condition; 0: none.
        scales: how many.
        layers: of one scale, without the first and the last convolution.
        smallest: the least height and width.
    """

    def __init__(self, chains: list[list[nn.Module]], in_channels: int, labels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.labels = labels
        self.scales = len(chains)
        self.layers = len(chains[0]) - 2
        self.smallest = 2 ** (self.scales - 1) + 1  # 2 pixels at the coarsest scale: one alone has no variance
        for scale, chain in enumerate(chains):
            for layer, module in enumerate(chain):
                self.add_module(f"scale{scale}_layer{layer}", module)

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Verdict:
        """Judge an image.

        Args:
            image: ``(b, c, h, w)``.
            condition: class ids ``(b, 1, h, w)``, integers, where it reads classes; an id outside ``0 ... labels - 1``
                stands for no class. Else channels ``(b, k, h, w)``, which come before those of the image; or None.

        Returns:
            Per scale, full size first: a map of logits, and as features what leaves each layer but the last.

        Raises:
            DataError: channels that do not add up to ``in_channels``, ids that are no integers, or sizes that differ.
        """
        ids, floats = (condition, [image]) if self.labels else (None, [condition, image])
        x: Inputs | Tensor = joined(ids, floats, classes=self.labels, count=self.in_channels, smallest=self.smallest)
        dtype = compute_dtype(next(self.parameters()))
        logits, features = [], []
        for scale in reversed(range(self.scales)):
            found = self._judged(scale, x)
            features.append(tuple(found[:-1]))
            logits.append(found[-1])
            if scale:
                x = halved(x, self.labels, dtype)
        return Verdict(tuple(logits), tuple(features))

    def _judged(self, scale: int, x: Inputs | Tensor) -> list[Tensor]:
        found = []
        for layer in range(self.layers + 2):
            x = self.get_submodule(f"scale{scale}_layer{layer}")(x)
            assert isinstance(x, Tensor)  # for the type checker
            found.append(x)
        return found


@part(example=Example({"base_width": 2, "layers": 2}, ((1, 3, 16, 16),)))
def multiscale_discriminator(
    in_channels: int = 3,
    *,
    labels: int = 0,
    base_width: int = 64,
    layers: int = 3,
    scales: int = 2,
    norm: Norm = "instance",
    recompute: bool = False,
) -> MultiscaleDiscriminator:
    """Make the multi-scale discriminator.

    At each scale: a halving 4x4 convolution, ``layers - 1`` more of them with a norm, one that keeps the size, and one
    to the logits. All continue their input by two zeros on each side.

    Args:
        in_channels: float channels that it reads, those of image and condition together.
        labels: number of classes; the condition is then their ids, and the first convolution at full size looks its
            weights up. 0: no classes.
        base_width: channels after the first convolution; each layer doubles them, up to 512.
        layers: halvings of one scale, 1 and up.
        scales: how many resolutions, 1 and up.
        norm: ``"instance"``, ``"batch"`` or ``"none"``, after all convolutions but the first and the last.
        recompute: while training, keep only what goes into each layer and compute the rest again for the backward
            pass.

    Returns:
        A `MultiscaleDiscriminator`, newly initialised; logits are unsquashed.

    Raises:
        SettingsError: an argument is out of range or unknown.

    Example:
        >>> import torch
        >>> net = multiscale_discriminator(4, labels=35, base_width=4)
        >>> ids = torch.zeros(1, 1, 64, 128, dtype=torch.int32)
        >>> verdict = net(torch.zeros(1, 4, 64, 128), ids)
        >>> [tuple(logits.shape) for logits in verdict.logits]
        [(1, 1, 11, 19), (1, 1, 7, 11)]
        >>> [feature.shape[1] for feature in verdict.features[0]]
        [4, 8, 16, 32]

    References:
        Wang et al., High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs, 2018 (arXiv
        1711.11585), section 3.2 and appendix.
    """
    at_least("labels", labels, 0)
    at_least("in_channels", in_channels, 1)
    at_least("base_width", base_width, 1)
    at_least("layers", layers, 1, 16)
    at_least("scales", scales, 1, 8)
    one_of("norm", norm, NORMS)
    chains = [_chain(labels, in_channels, base_width, layers, norm, recompute) for _ in range(scales)]
    return initialise(MultiscaleDiscriminator(chains, in_channels, labels))


def _chain(labels: int, in_channels: int, base_width: int, layers: int, norm: Norm, recompute: bool) -> list[nn.Module]:
    first = JoinedConv2d(labels, in_channels, base_width, 4, stride=2, padding=2)
    groups: list[list[nn.Module]] = [[first, nn.LeakyReLU(0.2, inplace=True)]]  # nothing else reads what it changes
    width = base_width
    for layer in range(1, layers + 1):
        wider = min(2 * width, _WIDEST)
        conv = nn.Conv2d(width, wider, 4, stride=1 if layer == layers else 2, padding=2)
        groups.append([conv, norm_layer(norm, wider), nn.LeakyReLU(0.2)])
        width = wider
    groups.append([nn.Conv2d(width, 1, 4, padding=2)])
    return [sequence(group, recompute=recompute) for group in groups]
