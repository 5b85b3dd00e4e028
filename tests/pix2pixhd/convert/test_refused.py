"""Files of different trainings, of other code, and damaged ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from i2i.convert import convert_files
from i2i.errors import I2IError, ModelError
from i2i_pix2pixhd.convert import convert
from tests.pix2pixhd.convert.authors import Weights, encoder_file, enhancer_file, global_file, judge_file, saved

pytestmark = pytest.mark.filterwarnings("ignore:.*taken to be")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            {"G": global_file(36), "E": encoder_file(1)},
            "latest_net_E.pth is of another training than latest_net_G.pth: it makes 3 features of 1 channels, the "
            "generator makes 3 channels of 36",
        ),
        ({"G": global_file(3), "E": encoder_file()}, "latest_net_E.pth is of another training than latest_net_G.pth"),
        (
            {"G": global_file(36), "D": judge_file(12)},
            "latest_net_D.pth is of another training than latest_net_G.pth: it judges images of 3 channels with 9 "
            "more, the generator makes them of 36 channels",
        ),
        ({"G": global_file(13), "D": judge_file(17)}, "latest_net_D.pth is of another training than latest_net_G.pth"),
        (
            {"G": global_file(16), "D": judge_file(19), "E": encoder_file()},
            "latest_net_D.pth is of another training than latest_net_G.pth: it judges images of 3 channels with 16 "
            "more, the generator makes them of 16 channels, of which 3 are features,",
        ),
        ({"D": judge_file(1)}, "latest_net_D.pth: judges 1 channels, which are too few for a scene and an image"),
        (
            {"G": global_file(), "G2": enhancer_file()},
            "latest_net_G.pth and latest_net_G2.pth both hold a generator; name the files of one training",
        ),
        ({"D": judge_file(), "other": judge_file(matched=False)}, "both hold a discriminator; name"),
    ],
)
def test_files_of_different_trainings(tmp_path, monkeypatch, weights, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError) as caught:
        convert_files("pix2pixhd", saved(Path(), **weights), "models")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Path("models").exists()


def without(w: Weights, *keys: str) -> Weights:
    assert set(keys) <= set(w)
    return {key: value for key, value in w.items() if key not in keys}


def tensors(*keys: str) -> Weights:
    return {key: torch.zeros(2, 2) for key in keys}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (tensors("features.0.weight"), "holds no net of the pix2pixHD authors (expected the state_dict of a generator, "
         "an encoder or a multi-scale discriminator); found 1 entry: 'features.0.weight' [2, 2]"),
        (tensors("model.1.weight"), "holds no net of the pix2pixHD authors"),
        ({"model.1.weight": torch.zeros(2, 3, 3, 3)}, "holds no net of the pix2pixHD authors"),
        (tensors("layer1.0.conv1.weight"), "holds no net of the pix2pixHD authors"),
        ({"G": global_file(), "E": encoder_file()}, "is no state_dict of one net: 2 entries"),
        (without(global_file(), "model.4.bias"), "does not fit global_generator: model.4.bias [6] is missing"),
        (without(global_file(), "model.19.weight"), "does not fit global_generator: model."),
        (without(global_file(), "model.11.conv_block.1.weight"), "model.11.conv_block.1.weight [12, 12, 3, 3] is miss"),
        (global_file() | tensors("extra"), "does not fit global_generator: 'extra' [2, 2] belongs to nothing in it"),
        (global_file() | {"model.4.weight": torch.zeros(6, 3, 5, 5)},
         "model.4.weight should be [6, 3, 3, 3], not [6, 3, 5, 5]"),
        (without(global_file(norm="batch"), "model.2.running_var"), "model.2.running_var [3] is missing"),
        (global_file() | {"model.4.bias": torch.full((6,), torch.nan)}, "'model.4.bias' is not finite"),
        (without(enhancer_file(), "model1_2.6.weight", "model1_2.2.weight"), "looks like a generator with "
         "local enhancers, but model1_2 is missing; 24 entries"),
        (without(enhancer_file(), "model1_1.4.weight"), "does not fit local_enhancer: model1_1.4.weight [4, 2, 3, 3]"),
        ({key: value for key, value in enhancer_file(levels=2).items() if not key.startswith("model1")},
         "looks like a generator with local enhancers, but model1_2 is missing"),
        ({"model.1.weight": torch.zeros(2, 3, 7, 7)}, "holds a net that cannot be built: downs (=-1)"),
        (without(encoder_file(), "model.17.bias"), "does not fit feature_encoder: model.17.bias [3] is missing"),
        (without(judge_file(), "scale0_layer0.0.weight"), "looks like a multi-scale discriminator, but the first layer "
         "of its coarsest scale is missing"),
        (without(judge_file(), "scale1_layer0.0.weight"), "does not fit multiscale_discriminator: scale1_layer0.0"),
        (without(judge_file(), "scale1_layer4.0.bias"), "does not fit multiscale_discriminator: scale1_layer4.0.bias"),
        (without(judge_file(matched=False), "layer1.8.bias"), "scale1_layer3.0.bias [16] is missing"),
        (without(judge_file(matched=False), "layer1.0.weight"), "does not fit multiscale_discriminator: scale1_layer"),
        ({"scale0_layer0.0.weight": torch.zeros(2, 3, 4, 4)}, "cannot be built: layers (=-1)"),
    ],
)  # fmt: skip
def test_files_that_hold_something_else(weights: Weights, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        convert({Path("some/latest_net_G.pth"): weights})
    assert str(caught.value).startswith("some/latest_net_G.pth: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


class Harmful:
    """Would run code, if its pickle were trusted."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("code of the file was run",)


def damaged(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "no such file"),
        (damaged, "is no checkpoint, or cut off or damaged; download or copy it again"),
        (lambda path: torch.save({"model.1.weight": Harmful()}, path), "holds more than weights (print)"),
        (lambda path: torch.save([1], path), "holds a list, not weights by name"),
    ],
)
def test_one_bad_file_leaves_nothing_behind(tmp_path, capsys, spoil, message):
    paths = saved(tmp_path, G=global_file(16), E=encoder_file())
    spoil(paths[1])
    with pytest.raises(I2IError) as caught:
        convert_files("pix2pixhd", paths, tmp_path / "model")
    assert str(caught.value).startswith(f"{paths[1]}: {message}")
    assert not (tmp_path / "model").exists()
    assert capsys.readouterr().out == ""
