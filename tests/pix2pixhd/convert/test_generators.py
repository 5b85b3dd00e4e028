"""Generators of the authors, global and with local enhancers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import i2i
from i2i.convert import convert_files
from i2i.pixels import PixelFormat
from i2i_pix2pixhd.scene import SceneGenerator
from tests.pix2pixhd.convert.authors import (
    arguments,
    close,
    converted,
    edges,
    enhanced,
    enhancer_file,
    global_file,
    ids,
    judge_file,
    judged,
    noise,
    one_hot,
    saved,
    whole,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*taken to be")


@pytest.mark.parametrize(("norm", "downs", "blocks"), [("instance", 2, 2), ("batch", 2, 1), ("instance", 3, 3)])
def test_a_global_generator_computes_what_the_authors_does(tmp_path, norm, downs, blocks):
    w = global_file(36, 3, downs, blocks, norm=norm)
    labels, instances = ids(35, 2, 16, 24), ids(40000, 2, 16, 24, seed=1)
    net = converted(tmp_path, G=w)
    assert isinstance(net, SceneGenerator)
    assert arguments(net) == {"generator": net.generator, "encoder": None, "boundaries": True, "palette": None}
    wanted = {"in_channels": 1, "labels": 35, "out_channels": 3, "base_width": 3, "downs": downs, "blocks": blocks}
    assert arguments(net.generator) == arguments(net.generator) | wanted | {"norm": norm}
    close(net(labels, instances).image, whole(w, torch.cat([one_hot(labels, 35), edges(instances)], 1), downs, blocks))


@pytest.mark.parametrize(
    ("norm", "levels", "local"), [("instance", 1, 3), ("batch", 1, 1), ("instance", 2, 2), ("batch", 2, 2)]
)
def test_local_enhancers_compute_what_the_authors_do(tmp_path, norm, levels, local):
    w = enhancer_file(13, 2, 1, 1, levels, local, norm=norm)
    labels, instances = ids(12, 1, 16, 24), ids(9, 1, 16, 24, seed=1)
    net = converted(tmp_path, G=w)
    assert isinstance(net, SceneGenerator)
    wanted = {"in_channels": 1, "labels": 12, "base_width": 2, "downs": 1, "blocks": 1, "enhancers": levels}
    assert arguments(net.generator) == arguments(net.generator) | wanted | {"local_blocks": local, "norm": norm}
    x = torch.cat([one_hot(labels, 12), edges(instances)], 1)
    close(net(labels, instances).image, enhanced(w, x, 1, 1, levels, local))


@pytest.mark.parametrize("levels", [0, 2])
def test_without_its_encoder_a_generator_has_the_neutral_style(tmp_path, levels):
    w = enhancer_file(39, levels=levels) if levels else global_file(39)
    labels, instances = ids(35, 1, 16, 24), ids(9, 1, 16, 24, seed=1)
    with pytest.warns(UserWarning, match="takes 3 features of an encoder that was not named") as said:
        net = converted(tmp_path, G=w)
    assert len(said) == 2
    assert "taken to be 35 labels, the boundary map and 3 features; otherwise say --labels N" in str(said[0].message)
    x = torch.cat([one_hot(labels, 35), edges(instances), torch.zeros(1, 3, 16, 24).double()], 1)
    close(net(labels, instances).image, enhanced(w, x, 1, 1, 2, 2) if levels else whole(w, x, 2, 2))


@pytest.mark.parametrize(("channels", "made"), [(3, 3), (1, 1), (1, 3)])
def test_images_to_images(tmp_path, channels, made):
    g, d = global_file(channels, made=made), judge_file(channels + made)
    found = convert_files("pix2pixhd", saved(tmp_path, G=g, D=d), tmp_path / "models")
    net, judge = (i2i.load(each.folder).double() for each in found)
    image, target = noise(1, channels, 16, 24), noise(1, made, 16, 24, seed=8)
    close(net(image).image, whole(g, image, 2, 2))
    assert (net.reads, net.writes) == (PixelFormat(channels=channels), PixelFormat(channels=made))
    assert getattr(net, "takes", "maps") is None
    close(judge(target, image).logits[0], judged(d, torch.cat([image, target], 1), 3, 2, True)[0][-1])


def test_a_model_of_labels_alone(tmp_path):
    w, labels = global_file(20), ids(20, 1, 16, 24)
    net = converted(tmp_path, {"labels": 20}, G=w)
    close(net(labels).image, whole(w, one_hot(labels, 20), 2, 2))
    assert net.writes == PixelFormat()


@pytest.fixture
def scene() -> tuple[Tensor, Tensor, Tensor]:
    """Labels, instances, and what a generator of 13 channels sees of them."""
    labels, instances = ids(12, 1, 16, 24), ids(9, 1, 16, 24, seed=1)
    return labels, instances, torch.cat([one_hot(labels, 12), edges(instances)], 1)


def test_a_file_of_the_old_format_with_wrapper_and_prefix(tmp_path, scene):
    labels, instances, x = scene
    w = global_file(13)
    nested = {"epoch": 3, "state_dict": {f"module.{key}": value for key, value in w.items()}}
    torch.save(nested, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    convert_files("pix2pixhd", [tmp_path / "old.pth"], tmp_path / "model")
    close(i2i.load(tmp_path / "model").double()(labels, instances).image, whole(w, x, 2, 2))


def test_statistics_of_an_old_instance_norm_are_dropped(tmp_path):
    w = global_file(13)
    old = w | {f"model.2.{name}": torch.ones(3) for name in ("running_mean", "running_var")}
    net = converted(tmp_path, G=old | {"model.2.num_batches_tracked": torch.tensor(0)})
    assert {key.removeprefix("generator.") for key in net.state_dict()} == set(w)


def test_an_old_batch_norm_gets_the_counters_that_it_lacks(tmp_path, scene):
    labels, instances, x = scene
    w = global_file(13, norm="batch")
    net = converted(tmp_path, G={key: value for key, value in w.items() if not key.endswith("num_batches_tracked")})
    counters = {key: int(value) for key, value in net.state_dict().items() if key.endswith("num_batches_tracked")}
    assert counters == {f"generator.{key}": 0 for key in w if key.endswith("num_batches_tracked")}
    close(net(labels, instances).image, whole(w, x, 2, 2))


def test_weights_can_be_trained_on(tmp_path, scene):
    labels, instances, _ = scene
    net = converted(tmp_path, G=enhancer_file(13))
    net(labels, instances).image.square().sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
