from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from i2i import photographs
from i2i.cli import main
from i2i.demos import one_thread
from i2i.errors import RunError
from i2i_ugatit import demo, discs, discs_measured
from i2i_ugatit.discs import HeldOut, masks, write_data
from i2i_ugatit.discs_measured import called_b

Pixels = NDArray[np.uint8]
SMALL: dict[str, Any] = {"base_width": 2, "blocks": 1, "discriminator_width": 2, "batch_size": 1}
RED, BLUE, WHITE = (217, 13, 26), (26, 38, 217), (242, 242, 242)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, HeldOut]:
    folder = tmp_path_factory.mktemp("discs")
    return folder, write_data(folder)


def pictures(folder: Path) -> dict[str, Pixels]:
    return {path.name: np.asarray(Image.open(path)) for path in sorted(folder.iterdir())}


def of_colour(image: Pixels, *colours: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Which pixels ``(h, w)`` have exactly one of the colours."""
    found: NDArray[np.bool_] = np.any([(image == colour).all(-1) for colour in colours], axis=0)
    return found


def distances(place: dict[str, int]) -> NDArray[np.float64]:
    y, x = np.mgrid[:64, :64]
    found: NDArray[np.float64] = np.sqrt((y - place["row"]) ** 2 + (x - place["column"]) ** 2)
    return found


def test_discs_are_where_the_file_says(data: tuple[Path, HeldOut]) -> None:
    places = json.loads((data[0] / "discs.json").read_text())
    for domain in ("testA", "testB"):
        files = pictures(data[0] / domain)
        assert len(files) == 48
        assert files.keys() == places[domain].keys()
        for name, image in files.items():
            told = places[domain][name]
            assert set(told) == ({"blue"} if domain == "testA" else {"blue", "red"})
            for colour, values in (("blue", BLUE), ("red", RED)):
                if colour not in told:
                    assert not of_colour(image, values).any()
                    continue
                inside = distances(told[colour]) <= told[colour]["radius"]
                assert of_colour(image, values, WHITE)[inside].all()
                assert 0.35 < of_colour(image, values)[inside].mean() < 0.8  # stripes
                assert not of_colour(image, values)[~inside].any()


def test_the_red_disc_lies_in_the_upper_half_and_the_blue_one_in_the_lower(data: tuple[Path, HeldOut]) -> None:
    red = [sample.red for sample in data[1].b.values()]
    blue = [sample.blue for samples in data[1] for sample in samples.values()]
    assert all(sample.red is None for sample in data[1].a.values())
    assert masks(red)[:, :32].sum() == masks(red).sum() > 0
    assert masks(blue)[:, 32:].sum() == masks(blue).sum() > 0
    for each in (red, blue):  # any size and place
        sizes = {disc.radius for disc in each if disc is not None}
        assert sizes == set(range(7, 13))
        columns = [disc.column for disc in each if disc is not None]
        assert min(columns) < 16
        assert max(columns) > 47


def test_training_crops_have_the_discs_of_their_domain(data: tuple[Path, HeldOut]) -> None:
    for domain, has_red in (("trainA", False), ("trainB", True)):
        files = pictures(data[0] / domain).values()
        assert len(files) == 900
        for image in files:
            assert image.shape == (64, 64, 3)
            blue, red = of_colour(image, BLUE), of_colour(image, RED)
            assert blue[32:].sum() > 40
            assert not blue[:32].any()
            assert (red[:32].sum() > 40) == has_red
            assert not red[32:].any()


@pytest.mark.parametrize(("domain", "part"), [("trainA", "left"), ("trainB", "right"), ("testA", "middle"),
                                              ("testB", "middle")])  # fmt: skip
def test_every_crop_is_cut_from_its_own_columns(data: tuple[Path, HeldOut], domain: str, part: str) -> None:
    """A is cut from the first 38 % of the columns, B from the last 38 %: no pixel of the others is in either."""
    regions = {}
    for name, whole in photographs.load(288).items():
        edge = round(0.38 * whole.shape[1])
        columns = {"left": slice(0, edge), "middle": slice(edge, -edge), "right": slice(-edge, None)}
        regions[name] = (whole[:, columns[part]] * 255).round().astype(np.uint8)
    for file, image in list(pictures(data[0] / domain).items())[:48]:
        free = ~of_colour(image, RED, BLUE, WHITE)
        assert lies_in(image, free, regions[file[4:-4]])


def lies_in(crop: Pixels, free: NDArray[np.bool_], sheet: Pixels) -> bool:
    """Whether the free pixels of a crop are somewhere in the sheet."""
    rows, columns = (sheet.shape[axis] - crop.shape[axis] + 1 for axis in (0, 1))
    y0, x0 = np.argwhere(free)[0]
    corners = np.argwhere((sheet[y0 : y0 + rows, x0 : x0 + columns] == crop[y0, x0]).all(-1))
    return any(np.array_equal(sheet[y : y + 64, x : x + 64][free], crop[free]) for y, x in corners)


def test_data_are_the_same_again(data: tuple[Path, HeldOut], tmp_path: Path) -> None:
    write_data(tmp_path)
    for domain in ("trainA", "trainB", "testA", "testB"):
        first, again = ({path.name: path.read_bytes() for path in (folder / domain).iterdir()} for folder in
                        (data[0], tmp_path))  # fmt: skip
        assert first == again


def test_the_classifier_tells_held_out_crops_apart(data: tuple[Path, HeldOut]) -> None:
    held = demo.as_tensors(data[1])
    state = torch.get_rng_state()
    with one_thread():
        classifier = demo.classifier_of(data[0])
    assert torch.equal(torch.get_rng_state(), state)
    assert called_b(classifier, held.a) <= 0.05
    assert called_b(classifier, held.b) >= 0.95
    covered = held.b.clone()  # it is the red disc that it goes by
    covered[torch.from_numpy(held.red)[:, None].expand_as(covered)] = 0.0
    assert called_b(classifier, covered) <= 0.2


def test_the_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "SETTINGS", attrs.evolve(demo.SETTINGS, **SMALL))
    monkeypatch.setattr(discs, "TRAINING", 12)
    monkeypatch.setattr(discs_measured, "_STEPS", 5)
    out = tmp_path / "demo"
    assert main(["demo", "ugatit", "--out", str(out), "--seed", "3", "--steps", "1"]) == 0
    told = capsys.readouterr().out
    result = json.loads((out / "result.json").read_text())
    assert set(result) == {"classifier", "before", "after"}
    assert set(result["classifier"]) == {"a", "b"}
    for name, value in result["after"].items():
        assert any(f"{result['before'][name]:8.2f}{value:8.2f}" in line for line in told.splitlines()), name
    assert all(licence in told for licence in photographs.LICENCES.values())
    assert "unseen regions of the same photographs" in told
    assert "Reduced: width 2 (authors: 64)" in told
    assert Image.open(out / "demo.png").size == (7 * (128 + 2) + 2, 14 + 6 * (128 + 2) + 2)

    with pytest.raises(RunError, match="is not empty; choose another --out, or go on with the demo in it: --resume"):
        demo.demo(out, seed=3, steps=1)
    demo.demo(out, seed=3, steps=2, resume=True)
    assert sorted(path.name for path in (out / "run" / "checkpoints").iterdir()) == ["step-1", "step-2"]
    again = json.loads((out / "result.json").read_text())
    assert again["before"] == result["before"]
    assert again["after"] != result["after"]
