from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from i2i.errors import DataError, OutOfMemoryError, SettingsError
from i2i_pix2pixhd import scene as scenes
from i2i_pix2pixhd.editing import renderer as module
from i2i_pix2pixhd.editing.editor import Editor
from i2i_pix2pixhd.editing.renderer import EditedScene, Renderer, rendered
from i2i_pix2pixhd.encoder import feature_encoder
from i2i_pix2pixhd.generators import global_generator
from i2i_pix2pixhd.scene import SceneGenerator, scene_generator, whole_scene
from i2i_pix2pixhd.styles.clusters import Styles
from i2i_pix2pixhd.styles.tables import Table

CARS = torch.tensor([[-0.5, 0.5], [0.9, 0.9], [0.1, -0.7], [0.4, 0.0]])
STYLES = Styles({3: CARS, 1: torch.tensor([[0.2, 0.2]])}, {3: CARS[0], 1: CARS[0]}, torch.tensor([0.3, -0.3]), "")


def net(*, boundaries: bool = True) -> SceneGenerator:
    torch.manual_seed(0)
    made = scene_generator(
        global_generator(boundaries + 2, labels=5, base_width=4, downs=2, blocks=1),
        feature_encoder(3, 2, base_width=2, downs=2),
        boundaries=boundaries,
    )
    assert isinstance(made, SceneGenerator)
    for value in made.generator.parameters():
        torch.nn.init.normal_(value, std=0.3)
    return made.eval()


def scene(size: tuple[int, int] = (13, 18), table: Table | None = None) -> EditedScene:
    labels = torch.ones(size, dtype=torch.int32)
    labels[:4] = 2
    labels[6:9, 2:6] = labels[5:11, 9:14] = 3
    instances = labels.clone()
    instances[6:9, 2:6], instances[5:11, 9:14] = 3000, 3001
    return EditedScene(labels, instances, table or Table())


def features(given: EditedScene, named: dict[int, torch.Tensor]) -> torch.Tensor:
    """The style of each pixel, one after the other."""
    assert given.instances is not None
    found = torch.zeros(1, 2, *given.labels.shape)
    for y, x in np.ndindex(*given.labels.shape):
        found[0, :, y, x] = named[int(given.instances[y, x])]
    return found


USUAL = {1: torch.tensor([0.2, 0.2]), 2: STYLES.mean, 3000: CARS[0], 3001: CARS[0]}


def image(model: SceneGenerator, given: EditedScene, named: dict[int, torch.Tensor]) -> torch.Tensor:
    assert given.instances is not None
    return whole_scene(model, given.labels[None, None], given.instances[None, None], features(given, named))[0]


def test_the_image_of_a_scene() -> None:
    model, mine = net(), torch.tensor([1.0, -1.0])
    given = scene(table=Table({2: mine}, {3001: CARS[2]}))
    made = Editor(model, given.labels, given.instances, STYLES, table=given.table)
    assert made.render().shape == (3, 13, 18)
    assert made.render().dtype == torch.float32
    torch.testing.assert_close(made.render(), image(model, given, {**USUAL, 2: mine, 3001: CARS[2]}))
    made.restyle([0.0, 0.0], object=3000)
    named = {**USUAL, 2: mine, 3001: CARS[2], 3000: torch.zeros(2)}
    torch.testing.assert_close(made.render(), image(model, given, named))
    assert not image(model, given, named).equal(image(model, given, USUAL))
    torch.testing.assert_close(made.render(given), image(model, given, {**USUAL, 2: mine, 3001: CARS[2]}))


def test_the_name_of_every_style() -> None:
    given = scene(table=Table({2: CARS[3]}, {3001: CARS[2]}))
    found = Renderer(net(), STYLES).table(given)
    assert {id: style.tolist() for id, style in found.objects.items()} == {
        id: style.tolist() for id, style in {**USUAL, 2: CARS[3], 3001: CARS[2]}.items()
    }
    assert found.classes[2].equal(CARS[3])
    classes = Renderer(net(boundaries=False), STYLES).table(EditedScene(given.labels, None, Table()))
    assert {id: style.tolist() for id, style in classes.classes.items()} == {
        id: style.tolist() for id, style in {1: USUAL[1], 2: USUAL[2], 3: CARS[0]}.items()
    }
    assert not classes.objects


def test_styles_that_are_drawn() -> None:
    given = scene()
    one, other = (Renderer(net(), STYLES, seed, sample=True).table(given).objects for seed in (1, 2))
    assert all(any(style.equal(centre) for centre in CARS) for style in (one[3000], one[3001]))
    assert any(not one[id].equal(other[id]) for id in (3000, 3001))
    assert one[1].equal(STYLES.centres[1][0])


def test_variants_give_what_varies_other_centres_than_now() -> None:
    given = scene()
    tables = Renderer(net(), STYLES).varied(given, 5, [3000, 1])
    first = [tuple(table.objects[3000].tolist()) for table in tables]
    assert len(set(first[:4])) == 4
    assert first[3] == tuple(CARS[0].tolist())  # the one of now comes last,
    assert first[4] == first[0]  # and then they come again
    assert all(table.objects[1].equal(STYLES.centres[1][0]) for table in tables)
    assert all(table.objects.keys() == {3000, 1} for table in tables)


@pytest.mark.parametrize(("at_once", "passes"), [(2**20, 1), (13 * 18 * 2, 3), (1, 5)])
def test_variants_go_through_the_model_together(monkeypatch: pytest.MonkeyPatch, at_once: int, passes: int) -> None:
    given, model, seen = scene(), net(), []
    made = Editor(model, given.labels, given.instances, STYLES)
    render = model.render

    def watched(*maps: Any) -> Any:
        seen.append(len(maps[0]))
        return render(*maps)

    tables = made.varied(5)
    named = [{**USUAL, **table.objects} for table in tables]
    alone = torch.stack([image(model, given, each) for each in named])
    assert min(float((one - other).abs().max()) for one, other in itertools.combinations(alone[:4], 2)) > 1e-3
    monkeypatch.setattr(module, "_AT_ONCE", at_once)
    monkeypatch.setattr(model, "render", watched)
    before = made.scene
    together = made.variants(5)
    assert len(seen) == passes
    assert sum(seen) == 5
    assert made.scene is before
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_variants_of_one_object_or_one_class() -> None:
    given = scene()
    made = Editor(net(), given.labels, given.instances, STYLES)
    assert [table.objects.keys() for table in made.varied(2, object=3001)] == [{3001}, {3001}]
    assert [table.objects.keys() for table in made.varied(2, label=3)] == [{3000, 3001}, {3000, 3001}]
    assert [table.objects.keys() for table in made.varied(1)] == [{1, 2, 3000, 3001}]


def test_half_precision() -> None:
    given, model = scene(), net()
    full = Editor(model, given.labels, given.instances, STYLES).render()
    half = Editor(model, given.labels, given.instances, STYLES, precision="bf16").render()
    assert half.dtype == torch.float32
    assert 0 < float((full - half).abs().max()) < 0.2
    with pytest.raises(SettingsError, match="precision tf32 needs a CUDA device"):
        rendered(model, given.labels[None, None], given.instances[None, None], precision="tf32")  # type: ignore[index]


def test_too_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes")

    monkeypatch.setattr(scenes, "whole_scene", fails)
    with pytest.raises(OutOfMemoryError, match=r"a scene of 18x13 pixels: out of memory, .*; what needs less: --prec"):
        rendered(net(), torch.zeros(1, 1, 13, 18, dtype=torch.int32))


def test_styles_of_a_class_that_was_never_seen() -> None:
    given, found = scene(), Renderer(net(), STYLES)
    assert found.named(given, 0, 2, 2).equal(STYLES.mean)
    assert found.named(given, "nearest", 2, 2).equal(STYLES.mean)
    assert found.named(given, "sample", 2, 2).equal(STYLES.mean)
    assert found.named(given, "nearest", 3000, 3).equal(CARS[0])
    with pytest.raises(DataError, match=r"style \(=1\) must lie between 0 and 0, the centres of class 2"):
        found.named(given, 1, 2, 2)
