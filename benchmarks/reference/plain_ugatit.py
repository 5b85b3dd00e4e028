"""The authors' U-GAT-IT networks, losses and optimiser as plain functions of weights by name: what tests hold ours to.

Written from the formulas of a description of what their PyTorch code does, in no terms of i2i; any floating-point type.
Nothing is changed in place: what spectral norm and Adam carry on is returned. The article's network of six blocks is
theirs with two more, and blocks are counted here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from benchmarks.reference.plain import Weights, conv, leaky, norm, reflected

Losses = dict[str, Tensor]
Nets = dict[str, Weights]
"""Of all six networks, by the authors' names."""

GENERATORS, DISCRIMINATORS = ("genA2B", "genB2A"), ("disGA", "disGB", "disLA", "disLB")
VECTORS = ("weight_u", "weight_v")


@dataclass(frozen=True)
class Factors:
    """Of the losses."""

    adversarial: float = 1
    cycle: float = 10
    identity: float = 10
    cam: float = 1000


# Layers.


def standardised(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """By the unbiased variance."""
    count = 1
    for dim in dims:
        count *= x.shape[dim]
    centred = x - x.sum(dims, keepdim=True) / count
    return centred * (centred.square().sum(dims, keepdim=True) / (count - 1) + 1e-5).rsqrt()


def iln(x: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """``rho`` is the share of the instance norm; ``gamma`` and ``beta`` are (1, c, 1, 1), or (n, c, 1, 1) in AdaILN."""
    whole = standardised(x, (1, 2, 3))
    return gamma * (whole + rho * (standardised(x, (2, 3)) - whole)) + beta


def adailn(x: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """``gamma`` and ``beta`` are (n, c), from outside."""
    return iln(x, rho, gamma[:, :, None, None], beta[:, :, None, None])


def unit(vector: Tensor) -> Tensor:
    return vector / vector.square().sum().sqrt().clamp_min(1e-12)


def spectral(weight: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One power iteration: the weight over its largest singular value as now known, and the new vectors."""
    matrix = weight.flatten(1)
    known = matrix.detach()
    v = unit(known.T @ u)
    u = unit(known @ v)
    return weight / torch.einsum("i,ij,j", u, matrix, v), u, v


def attention(x: Tensor, rows: tuple[Tensor, Tensor], judges: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Features by the rows for averages and for maxima, joined; and the logits, which the judges make of the two."""
    average, most = x.mean((2, 3)), x.flatten(2).max(2).values
    logits = torch.stack(((average * judges[0]).sum(1), (most * judges[1]).sum(1)), dim=1)
    return torch.cat([x * row.view(1, -1, 1, 1) for row in rows], dim=1), logits


# Networks. They return the image or the map of judgements, the two logits, and the map of attention.


def encoder(w: Weights, x: Tensor) -> Tensor:
    y = norm(w, "DownBlock.2", conv(w, "DownBlock.1", reflected(x, 3))).relu()
    y = norm(w, "DownBlock.6", conv(w, "DownBlock.5", reflected(y, 1), 2)).relu()
    y = norm(w, "DownBlock.10", conv(w, "DownBlock.9", reflected(y, 1), 2)).relu()
    at = 12
    while (key := f"DownBlock.{at}.conv_block") + ".1.weight" in w:
        z = norm(w, f"{key}.2", conv(w, f"{key}.1", reflected(y, 1))).relu()
        y = y + norm(w, f"{key}.6", conv(w, f"{key}.5", reflected(z, 1)))
        at += 1
    return y


def styles(w: Weights, y: Tensor) -> tuple[Tensor, Tensor]:
    """The full head reads all pixels, the light one their mean; which it is its first weight tells."""
    read = y.mean((2, 3)) if w["FC.0.weight"].shape[1] == y.shape[1] else y.flatten(1)
    hidden = ((read @ w["FC.0.weight"].T).relu() @ w["FC.2.weight"].T).relu()
    return hidden @ w["gamma.weight"].T, hidden @ w["beta.weight"].T


def raised(w: Weights, at: int, x: Tensor) -> Tensor:
    """Twice the size, by the convolution at this place and the norm after it."""
    y = conv(w, f"UpBlock2.{at}", reflected(x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3), 1))
    key = f"UpBlock2.{at + 1}"
    return iln(y, w[f"{key}.rho"], w[f"{key}.gamma"], w[f"{key}.beta"]).relu()


def generator(w: Weights, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    rows = w["gap_fc.weight"], w["gmp_fc.weight"]
    features, logits = attention(encoder(w, x), rows, rows)
    y = conv(w, "conv1x1", features).relu()
    heatmap = y.sum(1, keepdim=True)
    gamma, beta = styles(w, y)
    number = 1
    while (key := f"UpBlock1_{number}") + ".conv1.weight" in w:
        z = adailn(conv(w, f"{key}.conv1", reflected(y, 1)), w[f"{key}.norm1.rho"], gamma, beta).relu()
        y = y + adailn(conv(w, f"{key}.conv2", reflected(z, 1)), w[f"{key}.norm2.rho"], gamma, beta)
        number += 1
    y = raised(w, 7, raised(w, 2, y))
    return conv(w, "UpBlock2.11", reflected(y, 3)).tanh(), logits, heatmap


def discriminator(w: Weights, x: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], Weights]:
    """Returns, after its results, all its weights with the vectors of spectral norm carried on."""
    now, carried = dict(w), dict(w)
    for key in [name.removesuffix("_orig") for name in w if name.endswith("weight_orig")]:
        now[key], *vectors = spectral(w[f"{key}_orig"], w[f"{key}_u"], w[f"{key}_v"])
        carried |= {f"{key}_u": vectors[0], f"{key}_v": vectors[1]}
    at, y = 1, x
    while f"model.{at}.weight" in now:
        stride = 2 if f"model.{at + 3}.weight" in now else 1
        y = leaky(conv(now, f"model.{at}", reflected(y, 1), stride))
        at += 3
    rows = w["gap_fc.weight_orig"], w["gmp_fc.weight_orig"]  # not normalised, while the logits are of normalised ones
    features, logits = attention(y, rows, (now["gap_fc.weight"], now["gmp_fc.weight"]))
    y = leaky(conv(now, "conv1x1", features))
    return (conv(now, "conv", reflected(y, 1)), logits, y.sum(1, keepdim=True)), carried


# Losses.


def distance(x: Tensor, target: float) -> Tensor:
    return (x - target).square().mean()


def entropy(logits: Tensor, real: bool) -> Tensor:
    """Of the sigmoid of the logits: softplus of what speaks against the truth."""
    return torch.nn.functional.softplus(-logits if real else logits).mean()


def discriminator_losses(nets: Nets, a: Tensor, b: Tensor, factors: Factors) -> tuple[Losses, Tensor, Nets]:
    """The terms, without the factors; their sum with them; and the networks with their vectors carried on."""
    with torch.no_grad():
        made = {"A": generator(nets["genB2A"], b)[0], "B": generator(nets["genA2B"], a)[0]}
    nets, losses = dict(nets), Losses()
    for name, domain in [(name, name[-1]) for name in DISCRIMINATORS]:
        real, nets[name] = discriminator(nets[name], a if domain == "A" else b)
        fake, nets[name] = discriminator(nets[name], made[domain])
        for position, part in enumerate(("", "_cam")):
            losses[f"d_{name[3:]}{part}"] = distance(real[position], 1) + distance(fake[position], 0)
    return losses, factors.adversarial * total(losses), nets


def generator_losses(nets: Nets, a: Tensor, b: Tensor, factors: Factors) -> tuple[Losses, Tensor, Nets]:
    nets, losses, reals = dict(nets), Losses(), {"A": a, "B": b}
    makers = {"A": nets["genB2A"], "B": nets["genA2B"]}
    made = {"A": generator(makers["A"], b), "B": generator(makers["B"], a)}
    for domain, other in ("AB", "BA"):
        real, same = reals[domain], generator(makers[domain], reals[domain])
        again = generator(makers[domain], made[other][0])
        losses[f"cycle_{domain}"] = (again[0] - real).abs().mean()
        losses[f"identity_{domain}"] = (same[0] - real).abs().mean()
        losses[f"cam_{domain}"] = entropy(made[domain][1], True) + entropy(same[1], False)
        for kind in "GL":
            name = f"dis{kind}{domain}"
            judged, nets[name] = discriminator(nets[name], made[domain][0])
            losses[f"g_{kind}{domain}"] = distance(judged[0], 1)
            losses[f"g_{kind}{domain}_cam"] = distance(judged[1], 1)
    weights = {"g": factors.adversarial, **{key: getattr(factors, key) for key in ("cycle", "identity", "cam")}}
    return losses, total({name: weights[name.split("_")[0]] * value for name, value in losses.items()}), nets


def total(losses: Losses) -> Tensor:
    return torch.stack(list(losses.values())).sum()


# Training.


@dataclass(frozen=True)
class Adam:
    """With L2 in the gradient. ``first`` and ``second`` are the moments by network and name."""

    lr: float = 1e-4
    decay: float = 1e-4
    betas: tuple[float, float] = (0.5, 0.999)
    eps: float = 1e-8
    steps: int = 0
    first: Nets = field(default_factory=dict)
    second: Nets = field(default_factory=dict)

    def move(self, nets: Nets, gradients: Nets) -> tuple[Nets, Adam]:
        """The networks after it, and what to go on with."""
        steps, (b1, b2) = self.steps + 1, self.betas
        nets, first, second = dict(nets), Nets(), Nets()
        for net, by_name in gradients.items():
            nets[net], first[net], second[net] = dict(nets[net]), {}, {}
            for name, gradient in by_name.items():
                weight = nets[net][name]
                g = gradient + self.decay * weight
                m = b1 * self.first[net][name] + (1 - b1) * g if self.steps else (1 - b1) * g
                s = b2 * self.second[net][name] + (1 - b2) * g * g if self.steps else (1 - b2) * g * g
                nets[net][name] = weight - self.lr * (m / (1 - b1**steps)) / ((s / (1 - b2**steps)).sqrt() + self.eps)
                first[net][name], second[net][name] = m, s
        return nets, replace(self, steps=steps, first=first, second=second)


def clipped(nets: Nets) -> Nets:
    """Every rho of the generators within 0 and 1."""
    nets = dict(nets)
    for net in GENERATORS:
        nets[net] = {name: x.clamp(0, 1) if name.endswith(".rho") else x for name, x in nets[net].items()}
    return nets


def moved(
    nets: Nets,
    moving: tuple[str, ...],
    adam: Adam,
    of: Callable[[Nets, Tensor, Tensor, Factors], tuple[Losses, Tensor, Nets]],
    batches: tuple[Tensor, Tensor],
    factors: Factors,
) -> tuple[Losses, Tensor, Nets, Adam]:
    """Differentiate ``of`` by the weights of the moving networks only, and move these."""
    names = [(net, name) for net in moving for name in nets[net] if not name.endswith(VECTORS)]
    leaves = {net: dict(w) for net, w in nets.items()}
    for net, name in names:
        leaves[net][name] = leaves[net][name].detach().requires_grad_()
    losses, loss, after = of(leaves, *batches, factors)
    found = torch.autograd.grad(loss, [leaves[net][name] for net, name in names])
    gradients: Nets = {net: {} for net in moving}
    for (net, name), gradient in zip(names, found, strict=True):
        gradients[net][name] = gradient
    after = {net: {name: x.detach() for name, x in w.items()} for net, w in after.items()}
    after, adam = adam.move(after, gradients)
    return {name: x.detach() for name, x in losses.items()}, loss.detach(), after, adam


def update(
    nets: Nets, adams: tuple[Adam, Adam], a: Tensor, b: Tensor, factors: Factors | None = None
) -> tuple[Losses, Nets, tuple[Adam, Adam]]:
    """One step; ``adams`` are those of the generators and of the discriminators."""
    factors = factors or Factors()
    losses_d, d_loss, nets, of_D = moved(nets, DISCRIMINATORS, adams[1], discriminator_losses, (a, b), factors)
    losses_g, g_loss, nets, of_G = moved(nets, GENERATORS, adams[0], generator_losses, (a, b), factors)
    return {**losses_d, "d_loss": d_loss, **losses_g, "g_loss": g_loss}, clipped(nets), (of_G, of_D)


def rate(lr: float, step: int, iteration: int) -> float:
    """Of step ``step``, counted from 1, of ``iteration``: it falls in the second half, below 0 if that is longer."""
    half = iteration // 2
    return lr * (1 - max(0, step - half) / half)
