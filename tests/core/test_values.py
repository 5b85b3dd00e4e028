from __future__ import annotations

import pytest
import torch

from i2i.errors import CompositionError
from i2i.values import Instanced, Labelled, Pair, Single, Translation, Verdict, needs

MAP = torch.zeros(1, 1, 2, 2)


def test_fields_of_batches() -> None:
    fields = [batch._fields for batch in (Single, Pair, Labelled, Instanced)]
    assert fields == [("image",), ("a", "b"), ("labels", "image"), ("labels", "instances", "image")]


def test_what_is_left_out_is_empty_and_cannot_be_changed() -> None:
    made, judged = Translation(MAP), Verdict((MAP,))
    assert (dict(made.extras), judged.features, dict(judged.extras)) == ({}, (), {})
    with pytest.raises(TypeError):
        made.extras["x"] = MAP  # type: ignore[index]


def test_needs_returns_fields_and_extras() -> None:
    features = ((MAP,),)
    judged = Verdict((MAP,), features, {"cam": (MAP,)})
    assert needs(judged, "features") is features
    assert needs(judged, "cam") == (MAP,)
    assert needs(Translation(MAP, {"cam": MAP}), "cam") is MAP
    assert needs(Translation(MAP), "image") is MAP


@pytest.mark.parametrize(
    ("value", "name", "held"),
    [
        (Verdict((MAP,)), "features", "this Verdict has no features (it has logits)"),
        (Verdict((MAP,), ((MAP,),), {"x": (MAP,)}), "cam", "this Verdict has no cam (it has logits, features, x)"),
        (Translation(MAP, {"b": MAP, "a": MAP}), "cam", "this Translation has no cam (it has image, a, b)"),
    ],
)
def test_needs_says_what_there_is(value: Translation | Verdict, name: str, held: str) -> None:
    with pytest.raises(CompositionError) as caught:
        needs(value, name)
    assert str(caught.value).startswith(held)


def test_needs_names_the_parts_that_offer_it() -> None:
    """The names are those of the parts whose documentation says so."""
    with pytest.raises(CompositionError) as caught:
        needs(Translation(MAP), "cam_logits")
    assert str(caught.value).endswith("; these offer it: ugatit/attended_generator, ugatit/cam_generator")
    with pytest.raises(CompositionError) as caught:
        needs(Verdict((MAP,)), "cam_logits")
    assert str(caught.value).endswith("; these offer it: ugatit/attended_discriminator, ugatit/cam_discriminator")


def test_needs_says_that_nothing_offers_it() -> None:
    with pytest.raises(CompositionError, match=r"\), and no installed generator offers it$"):
        needs(Translation(MAP), "depth")
