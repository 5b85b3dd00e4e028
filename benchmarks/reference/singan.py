"""The authors' SinGAN training as plain functions of weights by name: what tests and benchmarks hold ours against.

Written from a description of what their code does, in no terms of i2i; any floating-point type. A `Scale` is the
training of one scale; call it once per iteration. The order of all that is drawn, judged, summed and moved is theirs,
and so are the costs: a way to the host and back for each image that is resized, two scalars read in each move of the
discriminator, Adam one tensor after another, one pass per image.

The weights of a net are a dict by the authors' keys (``head.conv.weight``, ``body.block1.norm.running_mean``,
``tail.0.weight`` of a generator, ``tail.weight`` of a discriminator); they are changed in place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.reference.plain import Weights, conv

Array = np.ndarray[Any, np.dtype[Any]]


class Options(NamedTuple):
    """Of the training of one scale.

    Attributes:
        factor: between the sizes of two scales, below 1.
        generator_gradient: ``stale``: all generator moves use the fake of the last discriminator move, its activations
            with the weights of the moment, as torch up to 1.4 did; ``fresh``: the fake is made again in each move;
            ``single``: it is made again in the first move, whose gradient is used for all moves.
        penalty_per: norm of the gradient ``pixel`` by pixel (the authors), or of the whole ``image`` (the paper).
        noise_padding: noise is drawn as large as the padded image (animation), not padded with zeros.
        fixed_noise: the noise that makes the photograph is what ``Scale.noise`` is set to, not drawn in each iteration.
        exact_resize: mirrored at all four borders and without the way through 8 bits, unlike theirs.
    """

    factor: float
    generator_gradient: Literal["stale", "fresh", "single"] = "stale"
    penalty_per: Literal["pixel", "image"] = "pixel"
    noise_padding: bool = False
    fixed_noise: bool = False
    exact_resize: bool = False
    moves: int = 3
    lr: float = 5e-4
    decay_at: int = 1600
    penalty_weight: float = 0.1
    reconstruction_weight: float = 10.0
    noise_weight: float = 0.1


class Finished(NamedTuple):
    """A scale that is trained: ``noise (1, c, h + 2r, w + 2r)`` makes ``image (1, c, h, w)``."""

    weights: Weights
    noise: Tensor
    amplitude: Tensor
    image: Tensor


# The resize of MATLAB, by weights of taps.


def cubic(x: Array) -> Array:
    """Keys' kernel with a = -1/2."""
    near = 1.5 * np.abs(x) ** 3 - 2.5 * np.abs(x) ** 2 + 1
    far = -0.5 * np.abs(x) ** 3 + 2.5 * np.abs(x) ** 2 - 4 * np.abs(x) + 2
    return near * (np.abs(x) <= 1) + far * ((np.abs(x) > 1) & (np.abs(x) <= 2))


def taps(length: int, scale: float, antialias: bool, exact: bool) -> tuple[Array, Array]:
    """Return weights and indices ``(made, taps)`` of a row of ``length`` pixels."""
    support = 4 / scale if antialias else 4.0
    centre = np.arange(1, ceil(length * scale) + 1) / scale + 0.5 * (1 - 1 / scale)  # the first pixel is at 1
    indices = np.floor(centre - support / 2)[:, None] + np.arange(ceil(support) + 2) - 1
    distance = centre[:, None] - indices - 1
    weights = scale * cubic(scale * distance) if antialias else cubic(distance)
    if not exact:
        weights = np.where(indices < 0, 0.0, weights)
    weights = weights / weights.sum(1, keepdims=True)
    mirrored = np.concatenate([np.arange(length), np.arange(length)[::-1]])
    return weights, mirrored[indices.astype(np.int64) % (2 * length)]


def imresize(image: Tensor, scale: float, exact: bool = False) -> Tensor:
    """Resize ``(1, c, h, w)`` on the host, in float64; clamped to [-1, 1], theirs before it too."""
    levels = (image + 1) / 2 if exact else ((image + 1) / 2).clamp(0, 1)
    pixels = (255 * levels)[0].permute(1, 2, 0).cpu().numpy()
    pixels = pixels.astype(np.float64) if exact else pixels.astype(np.uint8).astype(np.float64)
    for axis in (0, 1):
        weights, indices = taps(pixels.shape[axis], scale, scale < 1, exact)
        along = np.swapaxes(pixels, 0, axis)
        made = (along[indices.T] * weights.T[:, :, None, None]).sum(0)
        pixels = np.swapaxes(made, 0, axis)
    back = torch.from_numpy((pixels / 255).transpose(2, 0, 1)[None].copy()).to(image.device).to(image.dtype)
    return ((back - 0.5) * 2).clamp(-1, 1)


# The nets.


def block(w: Weights, key: str, x: Tensor, training: bool) -> Tensor:
    x = conv(w, f"{key}.conv", x)
    running = (w[f"{key}.norm.running_mean"], w[f"{key}.norm.running_var"])
    if training:
        w[f"{key}.norm.num_batches_tracked"].add_(1)
    x = F.batch_norm(x, *running, w[f"{key}.norm.weight"], w[f"{key}.norm.bias"], training, 0.1, 1e-5)
    return F.leaky_relu(x, 0.2, inplace=True)


def blocks(w: Weights, x: Tensor, training: bool) -> Tensor:
    for key in ("head", *(f"body.block{i}" for i in range(1, count_layers(w) - 1))):
        x = block(w, key, x, training)
    return x


def count_layers(w: Weights) -> int:
    return sum(name.endswith("conv.weight") for name in w) + 1


def generate(w: Weights, x: Tensor, condition: Tensor, training: bool = True) -> Tensor:
    x = conv(w, "tail.0", blocks(w, x, training)).tanh()
    edge = (condition.shape[2] - x.shape[2]) // 2
    return x + condition[:, :, edge : condition.shape[2] - edge, edge : condition.shape[3] - edge]


def judge(w: Weights, x: Tensor) -> Tensor:
    return conv(w, "tail", blocks(w, x, True))


def weights_of(net: nn.Module) -> Weights:
    """Copy parameters and buffers of a net that has the authors' keys; with running statistics where it keeps none."""
    form = torch.contiguous_format
    found = {name: value.detach().clone(memory_format=form) for name, value in net.state_dict().items()}
    for stem in [name.removesuffix("weight") for name in found if name.endswith("norm.weight")]:
        scale = found[f"{stem}weight"]
        found.setdefault(f"{stem}running_mean", torch.zeros_like(scale))
        found.setdefault(f"{stem}running_var", torch.ones_like(scale))
        found.setdefault(f"{stem}num_batches_tracked", torch.zeros((), dtype=torch.long, device=scale.device))
    return found


def padded(x: Tensor, edge: int) -> Tensor:
    return F.pad(x, (edge,) * 4)


class Random:
    """What is drawn; a test may give the numbers instead."""

    def normal(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        return torch.randn(shape, dtype=like.dtype, device=like.device)

    def uniform(self, like: Tensor) -> Tensor:
        return torch.rand(1, 1, dtype=like.dtype)


def gradient_penalty(w: Weights, real: Tensor, fake: Tensor, share: Tensor, per: str) -> Tensor:
    share = share.expand(real.size()).to(real.device)
    mixed = (share * real + (1 - share) * fake).detach().requires_grad_()
    judged = judge(w, mixed)
    (gradient,) = torch.autograd.grad(judged, mixed, torch.ones_like(judged), create_graph=True, retain_graph=True)
    norm = gradient.norm(2, dim=1) if per == "pixel" else gradient.flatten(1).norm(2, dim=1)
    return ((norm - 1) ** 2).mean()


class Scale:
    """Train the nets of one scale on ``image (1, c, h, w)`` above the ``finished`` scales; each call is an iteration.

    Attributes:
        noise: what makes the photograph, padded; zeros but at the coarsest scale.
        amplitude: of the noise, known after the first iteration.
        random: where noise comes from.
    """

    def __init__(self, G: Weights, D: Weights, image: Tensor, finished: Sequence[Finished], options: Options) -> None:
        self.G, self.D, self.image, self.finished, self.options = G, D, image, finished, options
        self.random = Random()
        self.edge = count_layers(G)
        self.noise_edge = self.edge if options.noise_padding else 0
        self.of_G, self.of_D = ([value.requires_grad_() for _, value in parameters(w)] for w in (G, D))
        self.optimizer_G, self.optimizer_D = (
            torch.optim.Adam(own, lr=options.lr, betas=(0.5, 0.999), foreach=False, fused=False)
            for own in (self.of_G, self.of_D)
        )
        thrown_away = self.draw(image, image.shape[1])
        self.noise = torch.zeros_like(thrown_away)
        self.amplitude = torch.ones((), dtype=image.dtype, device=image.device)
        self.reconstructed = padded(torch.zeros_like(image), self.edge)
        self.now = 0

    def __call__(self) -> dict[str, float]:
        options = self.options
        for optimizer in (self.optimizer_G, self.optimizer_D):
            optimizer.param_groups[0]["lr"] = options.lr * (0.1 if self.now >= options.decay_at else 1.0)
        if not self.finished and not options.fixed_noise:
            self.noise = self.draw(self.image, 1)
        noise = self.draw(self.image, self.image.shape[1] if self.finished else 1)
        for move in range(options.moves):
            judged, made, fake = self.move_discriminator(noise, first=self.now == move == 0)
        found = self.move_generator(made, fake)
        self.now += 1
        return {**judged, **{name: value.item() for name, value in found.items()}}

    def move_discriminator(self, noise: Tensor, first: bool) -> tuple[dict[str, float], tuple[Tensor, Tensor], Tensor]:
        """Return the terms, what the generator read, and the fake with its graph."""
        zero_grad(self.of_D)
        on_real = -judge(self.D, self.image).mean()
        on_real.backward()
        found = {"real": -on_real.item()}
        prior = padded(self.prior(), self.edge)
        if first and self.finished:
            self._reconstruct()
        read = ((self.amplitude * noise + prior) if self.finished else noise).detach()
        fake = generate(self.G, read, prior)
        on_fake = judge(self.D, fake.detach()).mean()
        on_fake.backward()
        found["fake"] = on_fake.item()
        share = self.random.uniform(self.image)
        penalty = gradient_penalty(self.D, self.image, fake, share, self.options.penalty_per)
        (self.options.penalty_weight * penalty).backward()
        self.optimizer_D.step()
        return {**found, "penalty": penalty.detach().item()}, (read, prior), fake

    def prior(self) -> Tensor:
        """Return a new image of all finished scales, resized to this one."""
        image = torch.zeros_like(self.finished[0].image if self.finished else self.image)
        following = [*(scale.image for scale in self.finished[1:]), self.image]
        for number, (scale, after) in enumerate(zip(self.finished, following, strict=False)):
            noise = self.draw(scale.image, scale.image.shape[1] if number else 1)
            image = self._raised(scale, noise, image, after)
        return image

    def _reconstruct(self) -> None:
        """Find the image of the fixed noise, and by its distance to the photograph the amplitude of the noise."""
        image = torch.zeros_like(self.finished[0].image)
        following = [*(scale.image for scale in self.finished[1:]), self.image]
        for scale, after in zip(self.finished, following, strict=True):
            image = self._raised(scale, scale.noise, image, after)
        self.amplitude = self.options.noise_weight * F.mse_loss(self.image, image).sqrt()
        self.reconstructed = padded(image, self.edge)

    def _raised(self, scale: Finished, noise: Tensor, image: Tensor, after: Tensor) -> Tensor:
        height, width = scale.image.shape[2:]
        condition = padded(image[:, :, :height, :width], self.edge)
        read = scale.amplitude * noise + condition
        made = generate(scale.weights, read.detach(), condition, training=False)
        height, width = after.shape[2:]
        return imresize(made, 1 / self.options.factor, self.options.exact_resize)[:, :, :height, :width]

    def move_generator(self, read: tuple[Tensor, Tensor], fake: Tensor) -> dict[str, Tensor]:
        mode, found = self.options.generator_gradient, {}
        for move in range(self.options.moves):
            if move == 0 or mode != "single":
                zero_grad(self.of_G)
                if mode != "stale":
                    fake = generate(self.G, *read)
                found = self._generator_gradients(fake)
            # torch up to 1.4 did not notice that weights of a graph had been changed by an optimiser
            with torch.autograd._unsafe_preserve_version_counter(tuple(self.of_G)):
                self.optimizer_G.step()
        return found

    def _generator_gradients(self, fake: Tensor) -> dict[str, Tensor]:
        adversarial = -judge(self.D, fake).mean()  # gradients of D come along, and are thrown away
        adversarial.backward(retain_graph=True)
        read = (self.amplitude * self.noise + self.reconstructed).detach()
        distance = F.mse_loss(generate(self.G, read, self.reconstructed), self.image)
        (self.options.reconstruction_weight * distance).backward()
        return {"adversarial": adversarial.detach(), "reconstruction": distance.detach()}

    def draw(self, like: Tensor, channels: int) -> Tensor:
        """Draw noise for ``like (1, c, h, w)``, resized to its own size; one channel is shown to all of them."""
        size = like.shape[2] + 2 * self.noise_edge, like.shape[3] + 2 * self.noise_edge
        noise = self.random.normal((1, channels, *size), like)
        noise = F.interpolate(noise, size, mode="bilinear", align_corners=True)
        return padded(noise.expand(1, like.shape[1], *size), self.edge - self.noise_edge)

    def result(self) -> Finished:
        frozen: Weights = {name: value.detach() for name, value in self.G.items()}
        return Finished(frozen, self.noise, self.amplitude, self.image)


def parameters(w: Mapping[str, Tensor]) -> list[tuple[str, Tensor]]:
    return [(name, value) for name, value in w.items() if name.rpartition(".")[2] in ("weight", "bias")]


def zero_grad(own: Sequence[Tensor]) -> None:
    for value in own:
        value.grad = None
