from __future__ import annotations

from pathlib import Path

import pytest
import torch

import i2i
from i2i.errors import DataError, ModelError, SettingsError
from i2i.values import Instanced, Labelled
from i2i_pix2pixhd.encoder import feature_encoder
from i2i_pix2pixhd.files import Loaded
from i2i_pix2pixhd.generators import global_generator
from i2i_pix2pixhd.scene import SceneGenerator, scene_generator
from i2i_pix2pixhd.styles.clusters import Styles, fingerprint, save_styles
from i2i_pix2pixhd.styles.option import StyleOption, choice_of, encoded, read_option


def net(features: int = 2, *, boundaries: bool = True) -> SceneGenerator:
    made = scene_generator(
        global_generator(boundaries + features, labels=5, base_width=2, downs=2, blocks=0),
        feature_encoder(3, features, base_width=2, downs=2) if features else None,
        boundaries=boundaries,
    )
    assert isinstance(made, SceneGenerator)
    return made.eval()


def test_words_and_files(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.touch()
    assert read_option(None, net()) == StyleOption("nearest")
    assert read_option("nearest", net()) == StyleOption("nearest")
    assert read_option("sample", net()) == StyleOption("sample")
    assert read_option(f"encode:{tmp_path}", net()) == StyleOption("encode", tmp_path)
    assert read_option(str(path), net()) == StyleOption("file", path)
    assert StyleOption("encode", tmp_path).images == tmp_path
    assert StyleOption("file", path).images is None
    for style, hint in (
        ("neerest", "did you mean 'nearest'?"), ("encode:", "did you mean 'encode:IMAGE'?"), ("x.json", "known: FILE,")
    ):  # fmt: skip
        with pytest.raises(SettingsError) as told:
            read_option(style, net())
        assert str(told.value).startswith(f"--style (={style}) names no file that is there; {hint}")


def test_a_model_without_styles() -> None:
    assert read_option(None, net(0)) is None
    with pytest.raises(
        SettingsError, match=r"--style \(=sample\): this model was trained without styles; train one with"
    ):
        read_option("sample", net(0))


def test_what_is_needed_for_a_choice(tmp_path: Path) -> None:
    made = net()
    loaded = Loaded(made, i2i.save(made, tmp_path / "model"), "runs/mine")
    mine = tmp_path / "mine.json"
    mine.write_text('{"classes": {"3": [0.5, 0.25]}}')
    for option in (StyleOption("sample"), StyleOption("nearest")):
        with pytest.raises(
            ModelError, match=r"^runs/mine has no styles yet; find them: i2i pix2pixhd encode runs/mine --data DIR$"
        ):
            choice_of(option, loaded, 0)
    for option, table in ((StyleOption("file", mine), {3: [0.5, 0.25]}), (StyleOption("encode", mine), {})):
        found = choice_of(option, loaded, 5)
        assert found.styles is None
        assert found.seed is None
        assert {label: style.tolist() for label, style in found.table.classes.items()} == table
    centre = torch.tensor([[0.1, 0.2]])
    save_styles(Styles({3: centre}, {3: centre[0]}, centre[0], fingerprint(made)), loaded.folder)
    assert [choice_of(StyleOption(how), loaded, 5).seed for how in ("sample", "nearest")] == [5, None]  # type: ignore[arg-type]
    assert choice_of(StyleOption("file", mine), loaded, 5).vectors([7], [4]).equal(centre)
    mine.write_text('{"classes": {"3": [0.5]}}')
    (loaded.folder / "styles.safetensors").unlink()
    with pytest.raises(DataError, match=r"mine\.json: classes: 3: a style of this model is a list of 2 finite numbers"):
        choice_of(StyleOption("file", mine), loaded, 5)


@pytest.mark.parametrize("held", [None, b""])
def test_styles_that_are_of_no_use_stop_only_what_needs_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], held: bytes | None
) -> None:
    made, mine, centre = net(), tmp_path / "mine.json", torch.tensor([[0.1, 0.2]])
    loaded = Loaded(made, i2i.save(made, tmp_path / "model"), "runs/mine")
    save_styles(Styles({3: centre}, {3: centre[0]}, centre[0], "00" * 32), loaded.folder)  # of another encoder
    if held is not None:
        (loaded.folder / "styles.safetensors").write_bytes(held)
    mine.write_text('{"classes": {"3": [0.5, 0.25]}}')
    for how in ("file", "encode"):
        choice = choice_of(StyleOption(how, mine), loaded, 5)  # type: ignore[arg-type]
        assert choice.styles is None
        told = capsys.readouterr().err
        assert told.startswith(f"i2i: not used: {loaded.folder / 'styles.safetensors'}")
        assert told.endswith("; find them: i2i pix2pixhd encode runs/mine --data DIR\n")
        assert told.count("\n") == 1
    with pytest.raises(DataError, match="there is no style for object 7 of class 4"):
        choice_of(StyleOption("file", mine), loaded, 5).vectors([7], [4])
    for how in ("sample", "nearest"):
        with pytest.raises(ModelError, match=r"styles\.safetensors"):
            choice_of(StyleOption(how), loaded, 5)  # type: ignore[arg-type]


def test_the_styles_of_a_real_image() -> None:
    labels = torch.tensor([1, 1, 3, 3], dtype=torch.int32).repeat_interleave(2).expand(1, 1, 8, 8)
    instances = torch.where(labels == 3, 3001, labels)
    image = torch.rand(1, 3, 8, 8) * 2 - 1
    made = net()
    found = encoded(made, Instanced(labels, instances, image))
    assert not found.classes
    pooled = made.encode(image, labels, instances).detach()
    assert found.objects.keys() == {1, 3001}
    torch.testing.assert_close(found.objects[1], pooled[0, :, 0, 0])
    torch.testing.assert_close(found.objects[3001], pooled[0, :, 0, 7])
    classes = encoded(net(boundaries=False), Labelled(labels, image))
    assert classes.classes.keys() == {1, 3}
    assert not classes.objects
