from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from i2i_contrastive.heads import heads_for
from i2i_contrastive.terms import patch_nce
from torch import Tensor, nn

from i2i import Translation
from i2i.errors import CompositionError


def layers(image: Tensor) -> list[Tensor]:
    """Two layers of features: the image, and four channels at half of its size."""
    wide = torch.cat([image, image[:, :1].square()], dim=1)
    return [image, nn.functional.avg_pool2d(wide, 2)]


def information(queries: Tensor, keys: Tensor, places: Sequence[tuple[int, int]], temperature: float) -> float:
    """The mean of eq. 3 of the paper over images and places, written out; maps ``(b, c, h, w)``."""
    losses = []
    for query, key in zip(queries.tolist(), keys.tolist(), strict=True):
        for y, x in places:
            wanted = direction([channel[y][x] for channel in query])
            exponentials = {}
            for other in places:
                found = direction([channel[other[0]][other[1]] for channel in key])
                similarity = sum(v * w for v, w in zip(wanted, found, strict=True))
                exponentials[other] = math.exp(similarity / temperature)
            losses.append(-math.log(exponentials[y, x] / sum(exponentials.values())))
    return sum(losses) / len(losses)


def direction(vector: list[float]) -> list[float]:
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector]


def places_of(maps: Tensor) -> list[tuple[int, int]]:
    return list(itertools.product(range(maps.shape[2]), range(maps.shape[3])))


@pytest.fixture
def images() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.rand(2, 3, 4, 6, dtype=torch.float64) - 0.3, torch.rand(2, 3, 4, 6, dtype=torch.float64) - 0.3


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_it_is_the_formula_of_the_paper(images: tuple[Tensor, Tensor], temperature: float) -> None:
    source, fake = images
    expected = [
        information(query, key, places_of(query), temperature)
        for query, key in zip(layers(fake), layers(source), strict=True)
    ]
    made = patch_nce(source, Translation(fake), features=layers, temperature=temperature)
    assert made.item() == pytest.approx(sum(expected) / 2, rel=1e-12)


def test_places_are_drawn_without_repetition(images: tuple[Tensor, Tensor]) -> None:
    source, fake = (image[:, :, :2, :2] for image in images)
    possible = [information(fake, source, pair, 0.07) for pair in itertools.combinations(places_of(fake), 2)]
    found = set()
    for seed in range(12):
        torch.manual_seed(seed)
        made = patch_nce(source, Translation(fake), features=lambda image: [image], patches=2).item()
        (which,) = (i for i, value in enumerate(possible) if math.isclose(value, made, rel_tol=1e-9))
        found.add(which)
    assert len(found) > 2


def test_negatives_are_of_the_same_image(images: tuple[Tensor, Tensor]) -> None:
    source, fake = images
    both = patch_nce(source, Translation(fake), features=layers)
    each = [patch_nce(source[i : i + 1], Translation(fake[i : i + 1]), features=layers) for i in range(2)]
    assert both.item() == pytest.approx(sum(each).item() / 2, rel=1e-12)


def test_nothing_learns_through_the_keys(images: tuple[Tensor, Tensor]) -> None:
    source, fake = (image.requires_grad_() for image in images)
    heads = heads_for([3, 4], width=5).double()
    fixed = copy.deepcopy(heads).requires_grad_(False)
    keys = [maps.detach() for maps in layers(source)]

    patch_nce(source, Translation(fake), features=layers, heads=heads).backward()
    assert source.grad is None
    assert fake.grad is not None

    # the same by hand, with keys that are plain numbers: heads learn from the queries alone
    again = copy.deepcopy(heads)
    losses = []
    for query, key, head, other in zip(layers(fake), keys, again, fixed, strict=True):
        logits = head(query.flatten(2).mT) @ other(key.flatten(2).mT).mT / 0.07
        losses.append(-logits.log_softmax(2).diagonal(dim1=1, dim2=2).mean())
    wanted = torch.autograd.grad(sum(losses) / 2, [fake, *again.parameters()])
    found = [fake.grad, *(parameter.grad for parameter in heads.parameters())]
    for gradient, expected in zip(found, wanted, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12)


def test_known_keys_spare_a_pass(images: tuple[Tensor, Tensor]) -> None:
    source, fake = images
    seen: list[Tensor] = []

    def features(image: Tensor) -> list[Tensor]:
        seen.append(image)
        return layers(image)

    made = patch_nce(source, Translation(fake), features=features, keys=layers(source))
    assert [image is fake for image in seen] == [True]
    assert made.item() == pytest.approx(patch_nce(source, Translation(fake), features=layers).item(), rel=1e-12)


def test_features_of_mirrored_images_are_mirrored_back(images: tuple[Tensor, Tensor]) -> None:
    source, fake = images
    flipped = torch.tensor([True, False])
    turned = torch.stack([fake[0].flip(2), fake[1]])
    made = patch_nce(source, Translation(turned), features=layers, flipped=flipped)
    assert made.item() == pytest.approx(patch_nce(source, Translation(fake), features=layers).item(), rel=1e-12)


def test_similarities_keep_their_digits_in_bf16(images: tuple[Tensor, Tensor]) -> None:
    source, fake = (image.float() for image in images)
    wanted = patch_nce(source, Translation(fake), features=layers)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = patch_nce(source, Translation(fake), features=layers)
    assert made.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_each_layer_needs_its_head(images: tuple[Tensor, Tensor]) -> None:
    source, fake = images
    with pytest.raises(CompositionError, match="2 layers of features, 1 heads, 2 layers of keys"):
        patch_nce(source, Translation(fake), features=layers, heads=heads_for([3]).double())
