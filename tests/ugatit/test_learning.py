"""A short training of smaller nets on the demo's data; the demo trains longer (docs/evidence.md)."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from i2i.demos import one_thread
from i2i_ugatit.demo import SETTINGS, Translators, as_tensors, train_demo, untrained
from i2i_ugatit.discs import Disc, write_data

SHORT = {"steps": 120, "base_width": 8, "discriminator_width": 8, "lr": 2e-3}
SEED = 1


def hottest(net: nn.Module, images: Tensor) -> list[tuple[int, int]]:
    """The middle of the hottest cell, 4 pixels wide, of each crop."""
    with torch.no_grad():
        heat = net(images).extras["heatmap"][:, 0].numpy()
    places = [np.unravel_index(one.argmax(), one.shape) for one in heat]
    return [(4 * int(row) + 2, 4 * int(column) + 2) for row, column in places]


def share_in_discs(net: nn.Module, images: Tensor, discs: list[Disc]) -> float:
    pairs = zip(hottest(net, images), discs, strict=True)
    found = [np.hypot(row - disc.row, column - disc.column) <= disc.radius for (row, column), disc in pairs]
    return float(np.mean(found))


def share_known(net: nn.Module, images: Tensor, *, source: bool) -> float:
    """Share of the logits that say of which domain the images are."""
    with torch.no_grad():
        logits = net(images).extras["cam_logits"]
    return float(((logits > 0) == source).float().mean())


def there_and_back(forth: nn.Module, back: nn.Module, images: Tensor) -> float:
    """Mean difference."""
    with torch.no_grad():
        return float((back(forth(images).image).image - images).abs().mean())


def test_attention_finds_the_disc_that_tells_the_domains_apart(tmp_path: Path) -> None:
    """Seen with seeds 0 to 3: the hottest cell is in the red disc in 79 to 100 % of the crops, before in 8 to 46 %.

    Of the logits 83 to 97 % are right, before half of them; there and back falls from 0.53 ... 0.66 to 0.36 ... 0.45.
    Without the cam terms (seeds 0 and 1) it is 0 % and still half of the logits, without cycle and identity the
    difference there and back grows to 0.70. Red discs are painted by three seeds of the four only, after so short a
    training; so that is left to the demo.
    """
    settings = attrs.evolve(SETTINGS, **SHORT)
    held_out = write_data(tmp_path / "data")
    held = as_tensors(held_out)
    discs = [sample.red for sample in held_out.b.values() if sample.red is not None]
    with one_thread():
        before = untrained(settings, SEED)
        after = train_demo(settings, tmp_path, SEED)

    def figures(nets: Translators) -> tuple[float, float, float]:
        known = [share_known(nets.b2a, images, source=images is held.b) for images in (held.a, held.b)]
        return share_in_discs(nets.b2a, held.b, discs), float(np.mean(known)), there_and_back(*nets, held.a)

    first, last = figures(before), figures(after)
    print(f"hottest in the red disc, domain known, difference there and back: {first}, then {last}")
    assert last[0] >= max(0.6, first[0] + 0.3)
    assert last[1] >= 0.7
    assert last[2] <= 0.8 * first[2]
