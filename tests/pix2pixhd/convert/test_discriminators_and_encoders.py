"""Discriminators and encoders of the authors, alone and beside a generator."""

from __future__ import annotations

import pytest
import torch

import i2i
from i2i.convert import convert_files
from i2i_pix2pixhd.scene import SceneGenerator
from tests.pix2pixhd.convert.authors import (
    arguments,
    close,
    converted,
    edges,
    encoder_file,
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


@pytest.mark.parametrize("matched", [True, False])
@pytest.mark.parametrize(
    ("norm", "layers", "scales"), [("instance", 3, 2), ("batch", 3, 3), ("instance", 1, 1), ("batch", 2, 2)]
)
def test_discriminators_of_both_layouts_compute_what_the_authors_do(tmp_path, norm, layers, scales, matched):
    w = judge_file(16, 2, layers, scales, matched, norm=norm)
    labels, instances, image = ids(12, 1, 33, 38), ids(9, 1, 33, 38, seed=1), noise(1, 3, 33, 38)
    net = converted(tmp_path, D=w)
    wanted = {"in_channels": 4, "labels": 12, "base_width": 2, "layers": layers, "scales": scales, "norm": norm}
    assert arguments(net) == arguments(net) | wanted
    verdict = net(torch.cat([edges(instances), image], 1), labels)
    expected = judged(w, torch.cat([one_hot(labels, 12), edges(instances), image], 1), layers, scales, matched)
    assert [len(maps) for maps in verdict.features] == [layers + 1] * scales
    for logits, maps, wanted_maps in zip(verdict.logits, verdict.features, expected, strict=True):
        for found, expectation in zip((*maps, logits), wanted_maps, strict=True):
            close(found, expectation)


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_generator_and_encoder_are_one_model_with_styles(tmp_path, norm):
    g, e = global_file(16, 3, 2, 1, norm=norm), encoder_file(norm=norm)
    labels, instances, image = ids(12, 2, 16, 16), ids(5, 2, 16, 16, seed=1), noise(2, 3, 16, 16)
    net = converted(tmp_path, E=e, G=g)
    assert isinstance(net, SceneGenerator)
    assert (net.labels, net.boundaries, net.features) == (12, True, 3)
    pooled = whole(e, image, 2, 0)
    for sample in range(2):
        for number in instances[sample].unique():
            region = instances[sample, 0] == number
            pooled[sample][:, region] = pooled[sample][:, region].mean(1, keepdim=True)
    close(net.encode(image, labels, instances), pooled)
    x = torch.cat([one_hot(labels, 12), edges(instances), pooled], 1)
    close(net.render(labels, instances, pooled).image, whole(g, x, 2, 1))


def test_all_files_of_a_training(tmp_path):
    paths = saved(tmp_path, D=judge_file(16), E=encoder_file(), G=global_file(16))
    found = convert_files("pix2pixhd", paths, tmp_path / "models")
    assert [each.folder for each in found] == [tmp_path / "models" / name for name in ("a2b", "d")]
    assert all(each.sources == tuple(paths) for each in found)
    net, judge = (i2i.load(each.folder) for each in found)
    assert (net.features, judge.labels, judge.in_channels) == (3, 12, 4)
