from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import i2i
from i2i.errors import DataError, SettingsError
from i2i_pix2pixhd.encoder import feature_encoder
from i2i_pix2pixhd.generators import global_generator, local_enhancer
from i2i_pix2pixhd.scene import SceneGenerator, scene_generator, whole_scene

SMALL: dict[str, Any] = {"base_width": 2, "downs": 2, "blocks": 1}


def model(labels: int = 5, *, boundaries: bool = True, features: int = 0, **options: Any) -> SceneGenerator:
    torch.manual_seed(0)
    encoder = feature_encoder(features=features, base_width=2, downs=2) if features else None
    channels = (0 if labels else 3) + boundaries + features
    generator = global_generator(channels, labels=labels, **SMALL)
    return scene_generator(generator, encoder, boundaries=boundaries, **options).eval()


def scene(size: tuple[int, int] = (16, 24), labels: int = 5, batch: int = 2) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(0, labels, (batch, 1, *size), generator=draw, dtype=torch.int32)
    return ids, ids * 1000 + torch.randint(0, 3, (batch, 1, *size), generator=draw, dtype=torch.int32)


def one_hot(ids: Tensor, classes: int) -> Tensor:
    return torch.stack([(ids[:, 0] == k).float() for k in range(classes)], dim=1)


def edges(ids: Tensor) -> Tensor:
    found = torch.zeros(ids.shape)
    different = ids[..., 1:, :] != ids[..., :-1, :]
    found[..., 1:, :][different] = 1
    found[..., :-1, :][different] = 1
    different = ids[..., 1:] != ids[..., :-1]
    found[..., 1:][different] = 1
    found[..., :-1][different] = 1
    return found


def twin(net: SceneGenerator, channels: int) -> Any:
    """The same generator, which reads everything as channels."""
    plain = global_generator(channels, labels=0, **SMALL)
    plain.load_state_dict(net.generator.state_dict())
    return plain


def test_the_generator_sees_one_hot_labels_then_edges_then_features() -> None:
    net, (labels, instances) = model(features=3), scene()
    features = torch.rand(2, 3, 16, 24)
    joined = torch.cat((one_hot(labels, 5), edges(instances), features), dim=1)
    made = net.render(labels, instances, features).image
    torch.testing.assert_close(made, twin(net, 9)(joined).image, rtol=1e-4, atol=1e-5)
    neutral = torch.cat((joined[:, :6], torch.zeros_like(features)), dim=1)
    torch.testing.assert_close(net(labels, instances).image, twin(net, 9)(neutral).image, rtol=1e-4, atol=1e-5)


def test_images_without_labels() -> None:
    net, (_, instances) = model(0), scene()
    image = torch.rand(2, 3, 16, 24)
    made = net(image, instances).image
    torch.testing.assert_close(made, twin(net, 4)(torch.cat((image, edges(instances)), 1)).image, rtol=1e-4, atol=1e-5)
    plain = model(0, boundaries=False)
    assert (plain.takes, plain.in_channels) == (None, 3)
    assert plain(image).image.shape == (2, 3, 16, 24)


def test_styles_are_means_over_objects_or_classes() -> None:
    net, (labels, instances) = model(features=2), scene()
    image = torch.rand(2, 3, 16, 24)
    assert net.encoder is not None
    flat = net.encoder(image).image
    for regions, found in ((instances, net.encode(image, labels, instances)), (labels, net.encode(image, labels))):
        for sample in range(2):
            for one in regions[sample].unique():
                place = regions[sample, 0] == one
                wanted = flat[sample][:, place].mean(1)
                torch.testing.assert_close(found[sample][:, place], wanted[:, None].expand(-1, int(place.sum())))


@pytest.mark.parametrize(("height", "width"), [(17, 23), (3, 50), (16, 24)])
def test_scenes_of_any_size(height: int, width: int) -> None:
    net, (labels, instances) = model(), scene((height, width), batch=1)
    made = whole_scene(net, labels, instances)
    assert made.shape == (1, 3, height, width)
    assert made.isfinite().all()


def test_a_scene_is_continued_by_reflection() -> None:
    net, (labels, instances) = model(), scene((18, 24), batch=1)
    rows = torch.tensor([1, *range(18), 16])
    wanted = net.render(labels[:, :, rows], instances[:, :, rows]).image[:, :, 1:19]
    torch.testing.assert_close(whole_scene(net, labels, instances), wanted.detach())


def test_what_is_missing_is_said() -> None:
    net, (labels, instances) = model(), scene()
    with pytest.raises(DataError, match="needs an instance map"):
        net(labels)
    with pytest.raises(SettingsError, match="trained without styles; train one with --styles"):
        net.encode(torch.zeros(2, 3, 16, 24), labels, instances)
    with pytest.raises(DataError, match="differ in size: 24x16 and 24x18"):
        whole_scene(net, labels, torch.zeros(2, 1, 18, 24, dtype=torch.int32))
    with pytest.raises(DataError, match="without classes an instance map is needed"):
        model(0, features=2).encode(torch.zeros(2, 3, 16, 24), torch.zeros(2, 3, 16, 24))


@pytest.mark.parametrize(
    ("channels", "labels", "boundaries", "message"),
    [
        (0, 5, True, r"in_channels \(=0\) of the generator must be 1: edges 1, features 0"),
        (2, 5, True, r"in_channels \(=2\) of the generator must be 1"),
        (1, 0, True, r"in_channels \(=1\) of the generator must be 1 and those of an image"),
    ],
)
def test_parts_that_do_not_fit(channels: int, labels: int, boundaries: bool, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        scene_generator(global_generator(channels, labels=labels, **SMALL), boundaries=boundaries)


def test_a_palette_names_every_class() -> None:
    with pytest.raises(SettingsError, match="palette has 1 colours, but there are 5 classes"):
        model(palette=((0, 0, 0),))


@pytest.mark.parametrize("enhancer", [False, True])
def test_models_travel_with_all_that_belongs_to_them(enhancer: bool, tmp_path: Path) -> None:
    palette = tuple((k, 2 * k, 255 - k) for k in range(5))
    make = local_enhancer if enhancer else global_generator
    generator = make(4, labels=5, **SMALL)
    net = scene_generator(generator, feature_encoder(base_width=2, downs=2), palette=palette)
    i2i.save(net, tmp_path / "model")
    loaded = i2i.load(tmp_path / "model")
    assert isinstance(loaded, SceneGenerator)
    assert (loaded.labels, loaded.boundaries, loaded.features, loaded.palette) == (5, True, 3, palette)
    assert (loaded.multiple, loaded.takes, loaded.in_channels) == (8 if enhancer else 4, "labels", 1)
    labels, instances = scene()
    assert torch.equal(net.eval()(labels, instances).image, loaded(labels, instances).image)


@pytest.mark.parametrize("classes", [5, 0])
@pytest.mark.parametrize(("boundaries", "features"), [(True, 0), (True, 3), (False, 3), (False, 0)])
def test_the_code_on_the_card_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classes: int, boundaries: bool, features: int
) -> None:
    monkeypatch.chdir(tmp_path)
    net, (ids, instances) = model(classes, boundaries=boundaries, features=features), scene()
    i2i.save(net, tmp_path / "model")
    code = (tmp_path / "model" / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    given = {"labels": ids if classes else torch.rand(2, 3, 16, 24), "instances": instances}
    given["photo"] = given["labels"]  # a net of images alone translates them
    exec(code, given)  # type: ignore[arg-type]
    assert given["image"].shape == (2, 3, 16, 24)
    assert ("net(photo)" in code) == (net.takes is None)
