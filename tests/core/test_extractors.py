from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from i2i.errors import RunError, SettingsError
from i2i.extractors import features, load_extractor

NAME = "shufflenet_v2_x0_5"  # the smallest file that torchvision has


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Random weights where torchvision keeps what it has fetched, and the net that they are of."""
    models = pytest.importorskip("torchvision.models")
    home = tmp_path_factory.mktemp("torch")
    torch.manual_seed(0)
    net = models.get_model(NAME, weights=None).eval()
    folder = home / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(net.state_dict(), folder / models.get_model_weights(NAME).DEFAULT.url.rpartition("/")[2])
    return home, net


def test_a_classifier_of_torchvision_gives_what_its_last_layer_reads(
    classifier: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, net = classifier
    monkeypatch.setenv("TORCH_HOME", str(home))
    extractor = load_extractor(NAME)
    images = torch.rand(2, 3, 30, 40, generator=torch.Generator().manual_seed(1)) * 2.5 - 1.25
    seen = F.interpolate(images.clamp(-1, 1) / 2 + 0.5, (224, 224), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        found = features(extractor, images)
        scores = net((seen - mean) / std)
    assert found.shape == (2, 1024)
    torch.testing.assert_close(F.linear(found, net.fc.weight, net.fc.bias), scores, rtol=1e-4, atol=1e-5)
    assert not extractor.training
    assert not any(parameter.requires_grad for parameter in extractor.parameters())
    grey = images[:, :1]
    with torch.no_grad():
        assert torch.equal(features(extractor, grey), features(extractor, torch.cat((grey, grey, grey), 1)))
    with pytest.raises(SettingsError, match="sees grey or colour images, not 5 channels; name an extractor of your"):
        features(extractor, torch.zeros(1, 5, 8, 8))


def test_weights_that_run_code_are_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = pytest.importorskip("torchvision.models")

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save({"weight": Evil()}, folder / models.get_model_weights(NAME).DEFAULT.url.rpartition("/")[2])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(RunError, match=f"the weights of {NAME} cannot be read .the file holds more than weights.; put"):
        load_extractor(NAME)
    assert not (tmp_path / "ran").exists()


def test_weights_that_cannot_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torchvision")

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(RunError) as caught:
        load_extractor(NAME)
    said = str(caught.value)
    assert said.startswith(f"the weights of {NAME} cannot be read (no network); put https://")
    assert said.endswith(f" into {tmp_path}/hub/checkpoints")
    assert "\n" not in said


def test_torchvision_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(RunError, match=r"extractor \(=resnet50\) needs torchvision .*i2i-core\[metrics\]"):
        load_extractor("resnet50")


def test_an_unknown_classifier() -> None:
    pytest.importorskip("torchvision")
    with pytest.raises(SettingsError, match=r"extractor \(=resnet51\) is no classifier of torchvision \(did you mean"):
        load_extractor("resnet51")


OWN = """
import torch
from torch import nn

class Corner(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
    def forward(self, images):
        return images[:, :, 0, 0] * self.weight

def corner():
    return Corner()

def picture():
    return nn.Identity()

def number():
    return 3

def needs(path):
    return Corner()
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_extractors.py").write_text(OWN)
    (tmp_path / "torn_extractors.py").write_text("def none(:")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("own")
def test_an_extractor_of_ones_own() -> None:
    extractor = load_extractor("own_extractors:corner")
    images = torch.tensor([0.5, -3.0]).view(2, 1, 1, 1).expand(2, 1, 4, 4)
    assert features(extractor, images).tolist() == [[0.5] * 3, [-1.0] * 3]  # grey as colour, clamped
    assert not extractor.training
    assert not any(parameter.requires_grad for parameter in extractor.parameters())


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_extractors:none", r"extractor \(=own_extractors:none\) cannot be imported .*PYTHONPATH"),
        (
            "i2i_nowhere:none",
            r"extractor \(=i2i_nowhere:none\) cannot be imported \(ModuleNotFoundError: No module",
        ),
        ("own_extractors:number", "returns a int; it must return a torch.nn.Module"),
        ("own_extractors:needs", r"\(=own_extractors:needs\) fails \(TypeError: needs\(\) missing .*without arguments"),
        ("torn_extractors:none", r"\(=torn_extractors:none\) cannot be imported \(SyntaxError: "),
    ],
)
def test_an_extractor_that_is_none(name: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_extractor(name)


@pytest.mark.usefixtures("own")
def test_an_extractor_that_returns_no_features() -> None:
    with pytest.raises(SettingsError, match=r"returns \(2, 3, 4, 4\) for 2 images; it must return \(2, d\)"):
        features(load_extractor("own_extractors:picture"), torch.zeros(2, 3, 4, 4))
