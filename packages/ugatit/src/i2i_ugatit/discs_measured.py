"""What the demo measures: does a translation belong to the other domain, and is attention where the domains differ.

The first is asked of a classifier that is no part of the method; the second is known, for the discs were painted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from i2i.observers import evaluating
from i2i.values import Translation
from i2i_ugatit.terms import HEATMAP, LOGITS

_STEPS, _BATCH, _LR = 300, 32, 2e-3


class Held(NamedTuple):
    """Held-out crops as tensors.

    Attributes:
        a: ``(b, 3, h, w)`` in ``[-1, 1]``, without a red disc.
        b: of the other domain.
        red: which pixels of ``b`` the red disc covers, ``(b, h, w)``.
        blue: which the blue one.
    """

    a: Tensor
    b: Tensor
    red: NDArray[np.bool_]
    blue: NDArray[np.bool_]


class Figures(NamedTuple):
    """What is measured of two generators on held-out crops.

    Attributes:
        a2b_called_b: share of the translations of A that the classifier takes for B.
        b2a_called_b: share of those of B.
        peak_in_red: share of the crops of B whose heat map, of the generator from B to A, is highest in the red disc.
        red_to_blue: mean heat in the red disc over that in the blue one, median of the crops.
        auc: chance that a pixel in the red disc is hotter than one that is not, mean of the crops.
        a2b_logits: share of the class activation logits of the generator from A to B that name the domain.
        b2a_logits: share of those of the other generator.
    """

    a2b_called_b: float
    b2a_called_b: float
    peak_in_red: float
    red_to_blue: float
    auc: float
    a2b_logits: float
    b2a_logits: float


class Goal(NamedTuple):
    """Bounds of a figure, before or after the training; it may be on the bound."""

    figure: str
    when: Literal["before", "after"]
    side: Literal["at least", "at most"]
    bound: float

    def met(self, found: Mapping[str, Figures]) -> bool:
        """Say whether ``found["before"]`` or ``found["after"]`` lies within the bound."""
        value: float = getattr(found[self.when], self.figure)
        return value >= self.bound if self.side == "at least" else value <= self.bound

    def __str__(self) -> str:
        """Say it in the words of a table."""
        return f"{'before ' if self.when == 'before' else ''}{self.side} {self.bound:.2f}"


GOALS: Sequence[Goal] = (
    Goal("a2b_called_b", "after", "at least", 0.75),
    Goal("b2a_called_b", "after", "at most", 0.15),
    Goal("peak_in_red", "after", "at least", 0.65),
    Goal("peak_in_red", "before", "at most", 0.25),
    Goal("red_to_blue", "after", "at least", 1.0),
    Goal("auc", "after", "at least", 0.9),
)
"""What a demo of full length should reach."""


def figures(a2b: nn.Module, b2a: nn.Module, classifier: nn.Module, held: Held) -> Figures:
    """Measure two generators.

    Args:
        a2b: translates A to B, and returns class activation logits and heat maps.
        b2a: translates B to A.
        classifier: see `trained_classifier`.
        held: what they are measured on.
    """
    forth, back = made(a2b, held.a), made(b2a, held.b)
    heat = enlarged(back.extras[HEATMAP], held.b)
    return Figures(
        a2b_called_b=called_b(classifier, forth.image),
        b2a_called_b=called_b(classifier, back.image),
        peak_in_red=float(peaks_inside(heat, held.red).mean()),
        red_to_blue=float(np.median(heat_ratios(heat, held.red, held.blue))),
        auc=float(np.mean(aucs(heat, held.red))),
        a2b_logits=right(forth, made(a2b, held.b)),
        b2a_logits=right(back, made(b2a, held.a)),
    )


def made(net: nn.Module, images: Tensor) -> Translation:
    """Return what ``net`` makes of images: on the host, in float32, the image cut to ``[-1, 1]``."""
    device = next(net.parameters()).device
    with evaluating((net,)):
        found: Translation = net(images.to(device))
    extras = {name: value.float().cpu() for name, value in found.extras.items()}
    return Translation(found.image.float().cpu().clamp(-1, 1), extras)


def enlarged(heatmap: Tensor, images: Tensor) -> NDArray[np.float32]:
    """Enlarge heat maps ``(b, 1, h', w')`` to images ``(b, c, h, w)``, as they are shown; return ``(b, h, w)``."""
    heat: NDArray[np.float32] = F.interpolate(heatmap, size=images.shape[-2:], mode="bilinear")[:, 0].numpy()
    return heat


def peaks_inside(heat: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return for each map ``(b, h, w)`` whether it is highest inside the mask; the first of equal pixels counts."""
    peaks = heat.reshape(len(heat), -1).argmax(1)
    inside: NDArray[np.bool_] = masks.reshape(len(heat), -1)[np.arange(len(heat)), peaks]
    return inside


def heat_ratios(heat: NDArray[np.float32], masks: NDArray[np.bool_], others: NDArray[np.bool_]) -> list[float]:
    """Return for each map ``(b, h, w)``, which is nowhere negative, its mean inside a mask over that inside another."""
    pairs = zip(heat, masks, others, strict=True)
    return [float(one[mask].mean() / max(one[other].mean(), 1e-12)) for one, mask, other in pairs]


def aucs(heat: NDArray[np.float32], masks: NDArray[np.bool_]) -> list[float]:
    """Return for each map ``(b, h, w)`` how often a pixel inside the mask is higher than one outside."""
    from sklearn.metrics import roc_auc_score

    return [float(roc_auc_score(mask.ravel(), one.ravel())) for one, mask in zip(heat, masks, strict=True)]


def right(source: Translation, target: Translation) -> float:
    """Return the share of logits that say "of the source" (above 0) of the one, and "of the target" of the other."""
    votes = torch.cat([(source.extras[LOGITS] > 0).flatten(), (target.extras[LOGITS] < 0).flatten()])
    return float(votes.float().mean())


def trained_classifier(a: Tensor, b: Tensor, *, seed: int = 0) -> nn.Module:
    """Train three convolutions to tell images ``(b, 3, h, w)`` of A from those of B: B where the logit is above 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = _classifier()
        optimizer = torch.optim.Adam(net.parameters(), lr=_LR)
        images, wanted = torch.cat((a, b)), torch.tensor([0.0] * len(a) + [1.0] * len(b))
        for _ in range(_STEPS):
            chosen = torch.randint(len(images), (_BATCH,))
            logits = net(images[chosen])[:, 0]
            loss = F.binary_cross_entropy_with_logits(logits, wanted[chosen])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    return net


def called_b(classifier: nn.Module, images: Tensor) -> float:
    """Return the share of images ``(b, 3, h, w)`` that the classifier takes for B."""
    with evaluating((classifier,)):
        return float((classifier(images) > 0).float().mean())


def _classifier() -> nn.Module:
    layers: list[nn.Module] = []
    for narrow, wide in ((3, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(narrow, wide, 3, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(64, 1))
