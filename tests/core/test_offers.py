from __future__ import annotations

import torch

from i2i import registry
from i2i.offers import offering, offers

PARTS = """
import torch
import i2i

@i2i.hookimpl
def register_parts(register):
    register("deep/maker", "deep_parts:maker", kind="generator")
    register("deep/broken", "deep_parts:broken", kind="generator")
    register("deep/plain", "deep_parts:plain", kind="generator")
    register("deep/around", "deep_parts:around", kind="generator")

class Maker(torch.nn.Module):
    def __init__(self, fails):
        super().__init__()
        self.fails = fails

    def forward(self, image, condition=None):
        if self.fails:
            raise RuntimeError("no")
        return i2i.Translation(image, {"depth": image})

@i2i.part(example=i2i.Example({}, ((1, 3, 4, 4),)))
def maker():
    return Maker(False)

@i2i.part(example=i2i.Example({}, ((1, 3, 4, 4),)))
def broken():
    return Maker(True)

def plain():
    return Maker(False)

norm = torch.nn.BatchNorm2d(3)

@i2i.part(example=i2i.Example({"inner": norm}, ((1, 3, 4, 4),)))
def around(inner):
    return i2i.as_generator(torch.nn.Sequential(inner))
"""


def test_it_finds_what_parts_of_any_plugin_offer(install) -> None:
    install("deep", "i2i-deep", deep_parts=PARTS)
    assert offering("generator", "depth") == ["deep/maker"]
    assert offering("discriminator", "depth") == []


def test_a_part_that_does_not_run_offers_nothing(install) -> None:
    install("deep", "i2i-deep", deep_parts=PARTS)
    assert [offers(registry.part(f"deep/{name}")) for name in ("maker", "broken", "plain")] == [
        ("image", "depth"),
        (),
        (),
    ]


def test_asking_draws_no_random_number() -> None:
    before = torch.get_rng_state()
    offers.cache_clear()
    assert "features" in offers(registry.part("cyclegan/patch_discriminator"))
    assert torch.equal(before, torch.get_rng_state())


def test_nets_of_an_example_stay_as_they_are(install) -> None:
    install("deep", "i2i-deep", deep_parts=PARTS)
    assert offers(registry.part("deep/around")) == ("image",)
    import deep_parts  # type: ignore[import-not-found]

    assert int(deep_parts.norm.num_batches_tracked) == 0
