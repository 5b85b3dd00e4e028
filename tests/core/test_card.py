from __future__ import annotations

from pathlib import Path
from typing import Any

from i2i.card import model_card
from i2i.pixels import PixelFormat, to_json

CONFIG: dict[str, Any] = {
    "spec": {"part": "cyclegan/resnet_generator", "arguments": {"blocks": 9, "norm": "instance", "sizes": [1, 2]}},
    "channels": [3, 1],
    "reads": to_json(PixelFormat()),
    "writes": to_json(PixelFormat(channels=1, depth=16, range=(0, 4095))),
    "multiple": 4,
    "parameters": 11378179,
    "versions": {"i2i-core": "0.1.0", "i2i-cyclegan": "0.1.0", "torch": "2.14.1"},
}


def front_matter(card: str) -> dict[str, Any]:
    """The few forms of YAML that the card uses, read by hand."""
    begin, block, _ = card.split("---\n", 2)
    assert begin == ""
    found: dict[str, Any] = {}
    for line in block.splitlines():
        if line.startswith("- "):
            found[list(found)[-1]].append(line[2:])
        else:
            key, _, value = line.partition(":")
            found[key] = value.strip() or []
    return found


def test_front_matter() -> None:
    assert front_matter(model_card(CONFIG, Path("/models/a2b"), picture=False)) == {
        "library_name": "i2i",
        "pipeline_tag": "image-to-image",
        "tags": ["i2i", "image-to-image", "cyclegan"],
    }


def test_how_to_use_it() -> None:
    card = model_card(CONFIG, Path("/models/a2b"), picture=False)
    assert "# a2b\n" in card
    assert "pip install i2i-core i2i-cyclegan\n" in card
    assert "i2i translate a2b photo.jpg --out translated\n" in card
    assert 'net = i2i.load("a2b")\n' in card
    assert "(b, 3, h, w) -> (b, 1, h, w)" in card
    assert "| blocks | `9` |" in card
    assert '| norm | `"instance"` |' in card
    assert "| parameters | 11,378,179 |" in card
    assert "sample.png" not in card


def test_a_model_of_one_size_is_used_with_fit() -> None:
    card = model_card({**CONFIG, "size": [48, 64]}, Path("/models/a2b"), picture=False)
    assert "i2i translate a2b photo.jpg --out translated --fit\n" in card
    assert "| height and width | 48 and 64; others with `i2i translate --fit` |" in card


def test_a_model_of_noise_is_used_by_the_commands_of_its_plugin() -> None:
    spec = {"part": "singan/pyramid_generator", "arguments": {}}
    card = model_card({**CONFIG, "spec": spec, "takes": "noise"}, Path("/models/meadow"), picture=False)
    assert front_matter(card)["pipeline_tag"] == "unconditional-image-generation"
    assert front_matter(card)["tags"] == ["i2i", "unconditional-image-generation", "singan"]
    assert "A model that makes images of noise, saved by i2i" in card
    assert "i2i singan --help\n" in card
    assert "| reads | noise |" in card
    assert "net(noise).image" in card
    assert "translate" not in card
    assert "height and width" not in card


def test_a_model_of_label_maps_is_used_by_the_commands_of_its_plugin() -> None:
    spec = {"part": "singan/pyramid_generator", "arguments": {}}
    config = {**CONFIG, "spec": spec, "takes": "labels", "channels": [1, 3]}
    card = model_card(config, Path("/models/street"), picture=False)
    assert front_matter(card)["pipeline_tag"] == "image-to-image"
    assert "A model that makes images of maps of ids, saved by i2i" in card
    assert "i2i singan --help\n" in card
    assert "| reads | maps of ids |" in card
    assert "| height and width | multiples of 4 |" in card
    assert (
        "# labels: class ids, int32 (b, 1, h, w); where there are no classes, a grey image in [-1, 1]\n"
        "# instances: a number for each object, int32 (b, 1, h, w); a net that sees no boundaries leaves them aside\n"
        "image = net(labels, instances).image  # (b, 3, h, w), in [-1, 1]\n```\n"
    ) in card
    assert "translate" not in card


def test_a_model_of_images_and_instances_is_shown_an_image() -> None:
    card = model_card({**CONFIG, "takes": "labels", "channels": [3, 3]}, Path("/models/street"), picture=False)
    assert "# labels: an image, float32 (b, 3, h, w) in [-1, 1]\n# instances: a number for each object, " in card
    assert "image = net(labels, instances).image  # (b, 3, h, w), in [-1, 1]\n" in card
    assert "label maps" not in card


def test_the_picture_is_shown() -> None:
    assert "![sample](sample.png)" in model_card(CONFIG, Path("a2b"), picture=True)


def test_weights_only() -> None:
    card = model_card({**CONFIG, "spec": None, "channels": [None, None]}, Path("a2b"), picture=False)
    assert 'i2i.load("a2b", into=my_net)' in card
    assert "cyclegan/" not in card
    assert "(b, c, h, w) -> (b, c, h, w)" in card
