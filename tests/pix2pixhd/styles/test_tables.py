from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from i2i.errors import DataError
from i2i_pix2pixhd.generators import global_generator
from i2i_pix2pixhd.scene import SceneGenerator, scene_generator
from i2i_pix2pixhd.styles.clusters import Styles
from i2i_pix2pixhd.styles.tables import Choice, Table, as_style, order, painted, read_table, usual, write_table

CENTRES = {26: torch.tensor([[0.0, 0.1], [0.5, 0.5], [-0.5, 0.5], [0.9, -0.9]]), 7: torch.tensor([[0.3, 0.3]])}
MEANS = {26: torch.tensor([-0.4, 0.3]), 7: torch.tensor([0.25, 0.35])}
STYLES = Styles(CENTRES, MEANS, torch.tensor([0.01, 0.02]), "")


def test_the_most_usual_style_is_the_centre_nearest_to_the_mean() -> None:
    assert usual(STYLES, 26).equal(CENTRES[26][2])  # distances 0.45, 0.92, 0.22, 1.77
    assert usual(STYLES, 33).equal(STYLES.mean)  # which was never seen
    found = Choice(STYLES).vectors([26001, 26002, 7, 33000], [26, 26, 7, 33])
    assert found.equal(torch.stack([CENTRES[26][2], CENTRES[26][2], CENTRES[7][0], STYLES.mean]))


def test_a_drawn_style_follows_from_the_seed_and_the_id_alone() -> None:
    choice = Choice(STYLES, seed=3)
    alone = choice.vectors([26005], [26])
    among = choice.vectors([1, 26004, 26005, 26006], [7, 26, 26, 26])
    assert among[2].equal(alone[0])
    assert Choice(STYLES, seed=3).vectors([26005], [26]).equal(alone)
    ids = list(range(26000, 26040))
    one, other = (Choice(STYLES, seed=seed).vectors(ids, [26] * 40) for seed in (3, 4))
    assert not one.equal(other)
    assert {tuple(style) for style in one.tolist()} == {tuple(style) for style in CENTRES[26].tolist()}
    assert Choice(STYLES, seed=0).vectors([33000], [33]).equal(STYLES.mean[None])  # a class that was never seen


def test_every_centre_is_as_likely_as_any_other() -> None:
    for places in (0, 3):  # the first draw, and the last one
        counts = np.bincount([order(seed, id, 4)[places] for seed in range(20) for id in range(200)], minlength=4)
        assert ((counts - 1000) ** 2 / 1000).sum() < 16.3  # chi-squared of 3 degrees of freedom: one in a thousand
    pairs = np.bincount([order(0, id, 3)[0] * 3 + order(0, id + 1, 3)[0] for id in range(4500)], minlength=9)
    assert ((pairs - 500) ** 2 / 500).sum() < 26.1  # 8 degrees: neighbours do not depend on one another


def test_the_same_order_on_every_machine() -> None:
    # As it was found once: it must never change, or a seed would give other images.
    assert [order(seed, 26001, 5) for seed in (0, 1)] == [[1, 4, 3, 0, 2], [0, 1, 3, 4, 2]]


def test_further_draws_give_other_centres_as_long_as_there_are_some() -> None:
    choice = Choice(STYLES, seed=1)
    turns = [tuple(choice.vectors([26001], [26], turn)[0].tolist()) for turn in range(8)]
    assert len(set(turns[:4])) == 4
    assert turns[4:] == turns[:4]
    assert choice.vectors([7], [7], 5).equal(CENTRES[7])


def test_named_styles_come_first() -> None:
    mine, car = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
    choice = Choice(STYLES, Table({26: car}, {26001: mine}), seed=0)
    assert choice.vectors([26001, 26002, 7], [26, 26, 7]).equal(torch.stack([mine, car, CENTRES[7][0]]))
    alone = Choice(None, Table({26: car}))
    assert alone.vectors([26002], [26]).equal(car[None])
    with pytest.raises(DataError, match=r"no style for object 24000 of class 24; .*: i2i pix2pixhd encode MODEL"):
        alone.vectors([26002, 24000], [26, 24])


def net() -> SceneGenerator:
    made = scene_generator(global_generator(1, labels=35, base_width=2, downs=2, blocks=0))
    assert isinstance(made, SceneGenerator)
    return made


def test_every_pixel_has_the_style_of_its_region() -> None:
    draw = np.random.default_rng(0)
    ids = torch.from_numpy(draw.choice([7, 26001, 26002, 24000], (2, 1, 5, 6)).astype(np.int32))
    labels = torch.where(ids < 1000, ids, ids // 1000)
    for instances in (ids, None):
        features = Choice(STYLES, seed=2).features(net(), labels, instances)
        assert features.shape == (2, 2, 5, 6)
        assert features.dtype == torch.float32
        for image, y, x in np.ndindex(2, 5, 6):
            label = int(labels[image, 0, y, x])
            id = label if instances is None else int(ids[image, 0, y, x])
            style = {24: STYLES.mean, 7: CENTRES[7][0]}.get(label)
            style = CENTRES[26][order(2, id, 4)[0]] if style is None else style
            assert features[image, :, y, x].equal(style)
    later = Choice(STYLES, seed=2).features(net(), labels, ids, turn=1)
    there = (ids == 26001)[:, 0]
    assert later.movedim(1, 3)[there].equal(CENTRES[26][order(2, 26001, 4)[1]].expand(int(there.sum()), 2))


def test_several_styles_at_once() -> None:
    vectors, places = torch.arange(12.0).view(2, 3, 2), torch.tensor([[2, 0], [1, 1], [2, 2]])
    found = painted(vectors, places)
    assert found.shape == (2, 2, 3, 2)
    for b, f, y, x in np.ndindex(2, 2, 3, 2):
        assert found[b, f, y, x] == vectors[b, places[y, x], f]


def test_named_styles_in_a_file(tmp_path: Path) -> None:
    table = Table({26: torch.tensor([0.1, -1 / 3])}, {26001: torch.tensor([1e-8, 0.7]), 7: torch.tensor([0.0, 1.0])})
    write_table(table, tmp_path / "styles.json")
    found = read_table(tmp_path / "styles.json", 2)
    for one, other in ((found.classes, table.classes), (found.objects, table.objects)):
        assert one.keys() == other.keys()
        assert all(one[id].equal(other[id]) for id in one)  # to the bit
    (tmp_path / "mine.json").write_text('{"objects": {"26001": [1, -2.5]}}')
    found = read_table(tmp_path / "mine.json", 2)
    assert not found.classes
    assert found.objects[26001].tolist() == [1.0, -2.5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ("[1]", "expected"),
        ("{}", "expected"),
        ('{"object": {}}', "unknown key 'object'; did you mean 'objects'?"),
        ('{"classes": [1, 2]}', "classes must be a table"),
        ('{"classes": {"car": [1, 2]}}', "classes: 'car' is no id"),
        ('{"classes": {"-1": [1, 2]}}', "classes: '-1' is no id"),
        ('{"objects": {"5": [1, 2, 3]}}', "objects: 5: a style of this model is a list of 2 finite numbers"),
        ('{"objects": {"5": [1, NaN]}}', "objects: 5: a style of this model is a list of 2 finite numbers"),
        ('{"objects": {"5": [1, true]}}', "objects: 5: a style of this model is a list of 2 finite numbers"),
        ('{"objects": {"5": [1e39, 0]}}', "objects: 5: a style of this model is a list of 2 finite numbers, not"),
        (f'{{"objects": {{"5": [{"9" * 400}, 0]}}}}', "objects: 5: a style of this model is a list of 2 finite"),
        ('{"objects": {"5": 1}}', "objects: 5: a style of this model is a list of 2 finite numbers, not 1"),
    ],
)
def test_a_file_that_says_something_else(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "styles.json"
    path.write_text(text)
    with pytest.raises(DataError) as told:
        read_table(path, 2)
    assert str(told.value).startswith(f"{path}: {message}")
    assert "\n" not in str(told.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.json: cannot be read \(No such file"):
        read_table(tmp_path / "no.json", 2)


def test_numbers_as_a_style() -> None:
    assert as_style((1, 2.5), 2).equal(torch.tensor([1.0, 2.5]))
    assert as_style([10**30, -3.4e38], 2).equal(torch.tensor([1e30, -3.4e38]))
    assert as_style(torch.tensor([1.0, 2.5]), 2).equal(torch.tensor([1.0, 2.5]))
    huge = [3.5e38, 0], [10**400, 0]  # as float32
    for wrong in ([1.0], "ab", {"a": 1, "b": 2}, torch.zeros(2, 1), [1.0, float("inf")], None, *huge):
        with pytest.raises(DataError, match="a list of 2 finite numbers"):
            as_style(wrong, 2)
