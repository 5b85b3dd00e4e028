from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import i2i
from i2i import Instanced, Labelled
from i2i.errors import DataError, ModelError, SettingsError
from i2i.tensorfile import write_tensors
from i2i_pix2pixhd.encoder import feature_encoder
from i2i_pix2pixhd.generators import global_generator
from i2i_pix2pixhd.scene import SceneGenerator, scene_generator
from i2i_pix2pixhd.styles import clusters as module
from i2i_pix2pixhd.styles.clusters import (
    Rows,
    Styles,
    cluster,
    encode_styles,
    fingerprint,
    load_styles,
    regions_of,
    save_styles,
)  # fmt: skip

CLASSES = 40


def model(*, labels: int = CLASSES, boundaries: bool = True, features: int = 3) -> SceneGenerator:
    torch.manual_seed(0)
    channels = (0 if labels else 3) + boundaries + features
    return scene_generator(
        global_generator(channels, labels=labels, base_width=4, downs=2, blocks=1),
        feature_encoder(3, features, base_width=4, downs=2) if features else None,
        boundaries=boundaries,
    ).eval()  # type: ignore[return-value]


def scene(size: tuple[int, int] = (16, 24), seed: int = 0) -> Instanced:
    """Random stripes of labels, objects of any ids, some of which lie under several labels, and a random image."""
    draw = np.random.default_rng(seed)
    labels = np.repeat(draw.integers(0, CLASSES, (size[0], 1)), size[1], 1)
    instances = np.repeat(draw.choice([0, 7, 26001, 26002, 33000, 70000], (1, size[1])), size[0], 0)
    maps = [torch.from_numpy(each[None, None].astype(np.int32)) for each in (labels, instances)]
    image = torch.from_numpy(draw.uniform(-1, 1, (1, 3, *size)).astype(np.float32))
    return Instanced(maps[0], maps[1], image)


def expected(values: Any, ids: Any, labels: Any | None) -> dict[int, tuple[int, Any, float]]:
    """Class, mean feature and share of each id, pixel by pixel."""
    found = {}
    for id in np.unique(ids):
        inside = ids == id
        own = (int(id) // 1000 if id >= 1000 else int(id)) if labels is None else np.bincount(labels[inside]).argmax()
        found[int(id)] = (int(own), values[:, inside].astype(np.float64).mean(1), float(inside.mean()))
    return found


def as_dict(rows: Rows) -> dict[int, tuple[int, Any, float]]:
    columns = (rows.ids.tolist(), rows.classes.tolist(), rows.features.numpy(), rows.shares.tolist())
    return {id: (label, feature, share) for id, label, feature, share in zip(*columns, strict=True)}


def assert_rows(found: Rows, wanted: dict[int, tuple[int, Any, float]]) -> None:
    rows = as_dict(found)
    assert rows.keys() == wanted.keys()
    for id, (label, feature, share) in wanted.items():
        assert rows[id][0] == label
        np.testing.assert_allclose(rows[id][1], feature, atol=1e-5)
        assert rows[id][2] == pytest.approx(share, rel=1e-6)


def test_every_region_has_its_class_its_mean_and_its_share() -> None:
    net, given = model(), scene()
    assert net.encoder is not None
    values = net.encoder(given.image).image[0].detach().numpy()
    found = encode_styles(net, [given])
    assert_rows(found, expected(values, given.instances[0, 0].numpy(), given.labels[0, 0].numpy()))
    assert found.features.dtype == torch.float32
    pooled = net.encode(given.image, given.labels, given.instances)  # what the generator is trained with
    for id, feature in zip(found.ids, found.features, strict=True):
        there = pooled[0, :, given.instances[0, 0] == id]
        torch.testing.assert_close(there, feature[:, None].expand_as(there), atol=1e-6, rtol=0)


def test_without_instances_a_class_is_one_region() -> None:
    net, given = model(boundaries=False), scene()
    assert net.encoder is not None
    values = net.encoder(given.image).image[0].detach().numpy()
    labels = given.labels[0, 0].numpy()
    assert_rows(encode_styles(net, [Labelled(given.labels, given.image)]), expected(values, labels, labels))


def test_a_size_that_the_encoder_does_not_accept() -> None:
    net, given = model(), scene((19, 21))
    assert net.encoder is not None
    padded = np.pad(given.image.numpy(), ((0, 0), (0, 0), (0, 1), (1, 2)), mode="reflect")
    assert padded.shape[2:] == (20, 24)
    values = net.encoder(torch.from_numpy(padded)).image[0, :, :19, 1:22].detach().numpy()
    wanted = expected(values, given.instances[0, 0].numpy(), given.labels[0, 0].numpy())
    assert_rows(encode_styles(net, [given]), wanted)


def test_a_batch_is_its_scenes_one_by_one() -> None:
    net, scenes = model(), [scene(seed=seed) for seed in (1, 2)]
    together = encode_styles(net, [Instanced(*(torch.cat(both) for both in zip(*scenes, strict=True)))])
    apart = encode_styles(net, scenes)
    for one, other in zip(together, apart, strict=True):
        torch.testing.assert_close(one, other)
    assert len(apart.ids) == sum(len(encode_styles(net, [each]).ids) for each in scenes)


def test_the_class_is_the_label_of_most_pixels_whatever_the_id_says() -> None:
    net = model()
    labels = torch.tensor([[[[5, 5, 9, 9, 9, 3, 3, 2]]]], dtype=torch.int32)
    instances = torch.tensor([[[[26001, 26001, 26001, 7, 7, 7, 7, 7]]]], dtype=torch.int32)
    found = regions_of(net, labels, instances)
    assert found.ids.tolist() == [7, 26001]
    assert found.classes.tolist() == [3, 5]  # of 9 and 3, which are equally many, the lower one
    assert found.counts.tolist() == [5, 3]
    assert found.places.tolist() == [[1, 1, 1, 0, 0, 0, 0, 0]]


def test_without_label_maps_the_class_is_read_from_the_id() -> None:
    net, given = model(labels=0), scene()
    found = regions_of(net, given.image, given.instances)
    assert dict(zip(found.ids.tolist(), found.classes.tolist(), strict=True)) == {
        id: {0: 0, 7: 7, 26001: 26, 26002: 26, 33000: 33, 70000: 70}[id] for id in given.instances.unique().tolist()
    }
    rows = encode_styles(net, [Instanced(given.image, given.instances, given.image)])
    assert rows.classes.equal(found.classes)
    with pytest.raises(DataError, match="without classes an instance map is needed"):
        regions_of(net, given.image)


class Counting(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls[str(func)] += 1
        return func(*args, **(kwargs or {}))


def test_the_work_does_not_grow_with_the_number_of_regions() -> None:
    net, calls = model(), []
    for count in (2, 300):
        ids = torch.arange(16 * 24, dtype=torch.int32).remainder(count).view(1, 1, 16, 24)
        with Counting() as counting:
            rows = encode_styles(net, [Instanced(ids % CLASSES, ids, torch.zeros(1, 3, 16, 24))])
        assert len(rows.ids) == count
        calls.append(counting.calls)
    assert calls[0] == calls[1]


def test_nothing_to_encode() -> None:
    with pytest.raises(SettingsError, match="trained without styles; train one with --styles"):
        encode_styles(model(features=0), [scene()])
    with pytest.raises(DataError, match="there is no scene to find styles in"):
        encode_styles(model(), [])


def rows(*found: tuple[int, float, tuple[float, ...]]) -> Rows:
    """Rows of (class, share, features)."""
    classes, shares, features = zip(*found, strict=True)
    ids = torch.arange(len(found))
    return Rows(ids, torch.tensor(classes), torch.tensor(features), torch.tensor(shares))


def test_small_regions_do_not_count_where_a_class_has_larger_ones() -> None:
    found = cluster(rows(
        (26, 0.5, (0.1, 0.2)), (26, 0.02, (0.3, 0.4)), (26, 1 / 64, (0.9, 0.9)), (26, 0.5, (0.1, 0.2)),
        (24, 0.001, (-0.5, 0.0)), (24, 0.002, (-0.7, 0.0)), (7, 0.9, (0.0, 0.0)),
    ), 10)  # fmt: skip
    assert found.centres.keys() == found.means.keys() == {26, 24, 7}
    np.testing.assert_allclose(found.centres[26], [[0.1, 0.2], [0.3, 0.4]], rtol=1e-6)  # the most frequent first
    np.testing.assert_allclose(found.means[26], [0.5 / 3, 0.8 / 3], rtol=1e-6)
    assert sorted(found.centres[24][:, 0].tolist()) == pytest.approx([-0.7, -0.5])  # it has small ones only
    np.testing.assert_allclose(found.mean, [0.2 / 7, 1.7 / 7], rtol=1e-5)
    everything = cluster(rows((26, 0.5, (0.1, 0.2)), (26, 0.001, (0.9, 0.9))), 10, least_share=0)
    assert len(everything.centres[26]) == 2


def test_no_more_centres_than_asked_for() -> None:
    draw = torch.Generator().manual_seed(0)
    given = Rows(torch.arange(60), torch.arange(60) % 2, torch.rand(60, 3, generator=draw), torch.ones(60))
    found = cluster(given, 4, seed=1)
    assert {label: tuple(centres.shape) for label, centres in found.centres.items()} == {0: (4, 3), 1: (4, 3)}
    again = cluster(given, 4, seed=1)
    assert all(found.centres[label].equal(again.centres[label]) for label in (0, 1))
    order = torch.randperm(60, generator=draw)
    shuffled = cluster(Rows(*(column[order] for column in given)), 4, seed=1)  # whatever is read first
    for label in (0, 1):
        torch.testing.assert_close(shuffled.centres[label], found.centres[label])


def test_features_that_are_not_finite() -> None:
    with pytest.raises(ModelError, match="the encoder makes numbers of these images that are not finite"):
        cluster(rows((1, 0.5, (torch.nan,))))
    with pytest.raises(DataError, match="no region"):
        cluster(Rows(*(torch.zeros(0) for _ in range(4))))


def some_styles(net: SceneGenerator) -> Styles:
    return cluster(encode_styles(net, [scene(seed=seed) for seed in range(3)]), 3, fingerprint=fingerprint(net))


def assert_same(one: Styles, other: Styles) -> None:
    assert one.fingerprint == other.fingerprint
    assert one.mean.equal(other.mean)
    for named, others in ((one.centres, other.centres), (one.means, other.means)):
        assert list(named) == list(others)
        assert all(named[label].equal(others[label]) for label in named)


def test_styles_come_back_from_the_folder_of_the_model(tmp_path: Path) -> None:
    net = model()
    i2i.save(net, tmp_path)
    before = some_styles(net)
    assert save_styles(before, tmp_path) == tmp_path / "styles.safetensors"
    loaded = i2i.load(tmp_path)
    assert isinstance(loaded, SceneGenerator)
    assert_same(load_styles(tmp_path, loaded), before)
    assert not list(tmp_path.glob(".*tmp"))
    save_styles(cluster(rows((3, 0.5, (0.1, 0.2, 0.3))), fingerprint=before.fingerprint), tmp_path)
    assert list(load_styles(tmp_path, loaded).centres) == [3]


def test_styles_of_another_model(tmp_path: Path) -> None:
    net = model()
    i2i.save(net, tmp_path)
    save_styles(some_styles(net), tmp_path)
    with torch.no_grad():
        next(net.generator.parameters()).add_(1)
    i2i.save(net, tmp_path)  # the model is replaced; its styles stay with it
    load_styles(tmp_path, net)
    assert net.encoder is not None
    with torch.no_grad():
        next(net.encoder.parameters())[0, 0, 0, 0] += 1e-6
    i2i.save(net, tmp_path)
    remedy = rf"find them: i2i pix2pixhd encode {tmp_path} --data DIR"
    with pytest.raises(ModelError, match=rf"styles\.safetensors holds styles of another model, .*; {remedy}"):
        load_styles(tmp_path, net)
    (tmp_path / "styles.safetensors").unlink()
    with pytest.raises(ModelError, match=rf"has no styles yet; {remedy}"):
        load_styles(tmp_path, net)
    with pytest.raises(ModelError, match=r"^runs/city has no styles yet; find them: i2i pix2pixhd encode runs/city"):
        load_styles(tmp_path, net, "runs/city")
    with pytest.raises(SettingsError, match="trained without styles"):
        load_styles(tmp_path, model(features=0))


def test_damaged_styles(tmp_path: Path) -> None:
    net = model()
    path = save_styles(some_styles(net), tmp_path)
    good = path.read_bytes()
    damages = [good[:-1], good[:7], b"", good[:-5] + bytes([good[-5] ^ 1]) + good[-4:], b"PK\x03\x04" + good[4:]]
    for damaged in damages:
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match=r"styles\.safetensors.*; find them: i2i pix2pixhd encode") as told:
            load_styles(tmp_path, net)
        assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "change",
    [
        {"classes": torch.zeros(5, dtype=torch.int64)},
        {"counts": torch.tensor([2, 2])},
        {"counts": torch.tensor([3, 0])},
        {"centres": torch.zeros(3, 2)},
        {"centres": torch.zeros(3)},
        {"means": torch.zeros(2, 3, dtype=torch.float64)},
        {"mean": torch.zeros(1, 3)},
        {"mean": torch.tensor([0.0, 0.0, torch.inf])},
        {"fingerprint": torch.zeros(31, dtype=torch.uint8)},
        {"more": torch.zeros(1)},
    ],
)
def test_a_file_of_other_tensors(tmp_path: Path, change: dict[str, torch.Tensor]) -> None:
    tensors = {
        "classes": torch.tensor([1, 2]), "counts": torch.tensor([2, 1]), "centres": torch.zeros(3, 3),
        "means": torch.zeros(2, 3), "mean": torch.zeros(3), "fingerprint": torch.zeros(32, dtype=torch.uint8),
    }  # fmt: skip
    for held, message in ((tensors, "styles of another model"), (tensors | change, "holds no styles that i2i wrote")):
        with open(tmp_path / module.FILE, "wb") as file:
            write_tensors(file, held)
        with pytest.raises(ModelError, match=message):
            load_styles(tmp_path, model())
