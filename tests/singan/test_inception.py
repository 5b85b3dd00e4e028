from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from i2i.errors import DataError, ModelError, SettingsError
from i2i.tensorfile import write_tensors
from i2i_singan import inception as tested
from i2i_singan.inception import inception, own_extractor

LAYERS = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1", "Conv2d_3b_1x1", "Conv2d_4a_3x3")
POOLS = {"first-pool": 3, "second-pool": 6}


@pytest.fixture(scope="module")
def stem() -> nn.Module:
    """The first layers of torchvision's network with random weights and statistics; the others have no memory."""
    models = pytest.importorskip("torchvision.models")
    with torch.device("meta"):
        net = models.inception_v3(weights=None, init_weights=False)
    layers = nn.Sequential()
    for name in LAYERS:
        layers.add_module(name, getattr(net, name))
    layers.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    for value in layers.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) - (0.4 if value.ndim == 4 else 0))
        else:
            value.zero_()
    return layers.eval()


@pytest.fixture(scope="module")
def weights(stem: nn.Module) -> dict[str, Tensor]:
    return stem.state_dict() | {"fc.weight": torch.zeros(8, 4)}  # and something of the layers that are not needed


@pytest.fixture
def file(weights: dict[str, Tensor], tmp_path: Path) -> Path:
    torch.save(weights, tmp_path / "stem.pth")
    return tmp_path / "stem.pth"


@pytest.mark.parametrize("layer", ["first-pool", "second-pool"])
def test_features_are_those_of_torchvision(stem: Any, file: Path, layer: Any) -> None:
    image = torch.rand(1, 3, 33, 40, generator=torch.Generator().manual_seed(1)) * 2 - 1
    found = inception(file, layer)
    with torch.no_grad():
        expected = stem[: POOLS[layer]](image)
        made = found.net(image)
    assert made.shape[1] == {"first-pool": 64, "second-pool": 192}[layer]
    torch.testing.assert_close(made, expected, rtol=1e-5, atol=1e-5)
    assert not found.net.training
    assert not any(parameter.requires_grad for parameter in found.net.parameters())


def test_files_of_safetensors_and_of_early_versions(weights: dict[str, Tensor], file: Path, tmp_path: Path) -> None:
    with open(tmp_path / "stem.safetensors", "wb") as opened:
        write_tensors(opened, weights)
    early = {key: value for key, value in weights.items() if not key.endswith("num_batches_tracked")}
    torch.save(early, tmp_path / "early.pth", _use_new_zipfile_serialization=False)
    image = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    made = [inception(path).net(image) for path in (file, tmp_path / "stem.safetensors", tmp_path / "early.pth")]
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[0], made[2])
    assert made[0].std() > 0


def test_only_weights_of_torchvision_make_it_sifid(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert inception(file).measure == "Frechet distance in Inception with stem.pth, first pool"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert all(not digest.startswith(known) for known in tested.STANDARD)
    monkeypatch.setattr(tested, "STANDARD", (*tested.STANDARD, digest[:8]))
    assert inception(file).measure == "SIFID"
    assert inception(file, "second-pool").measure == "SIFID before the second pool"


def test_the_known_files_are_those_that_torchvision_names() -> None:
    models = pytest.importorskip("torchvision.models")
    url = models.Inception_V3_Weights.DEFAULT.url
    assert url.rpartition("-")[2].removesuffix(".pth") in tested.STANDARD


@pytest.mark.parametrize(("layer", "positions"), [("first-pool", 4), ("second-pool", 4)])
def test_the_smallest_image_gives_more_than_one_position(file: Path, layer: Any, positions: int) -> None:
    net: Any = inception(file, layer).net
    side = net.smallest
    assert net(torch.zeros(1, 3, side, side))[0, 0].numel() == positions
    assert nn.Sequential.forward(net, torch.zeros(1, 3, side - 1, side - 1))[0, 0].numel() == 1
    with pytest.raises(DataError, match=f"image of 50 x {side - 1} pixels is too small for Inception: {side} a side"):
        net(torch.zeros(1, 3, side - 1, 50))
    with pytest.raises(SettingsError, match="Inception sees grey or colour images, not 4 channels; name an extractor"):
        net(torch.zeros(1, 4, 50, 50))


def test_files_that_hold_something_else(weights: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "w.pth"

    def refused(message: str) -> None:
        with pytest.raises(ModelError, match=message) as caught:
            inception(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)

    refused("no such file")
    torch.save({"conv.weight": torch.zeros(2)}, path)
    refused(r"does not fit Inception: Conv2d_1a_3x3.conv.weight \[32, 3, 3, 3\] is missing.*take the weights of torchv")
    torch.save(weights | {"Conv2d_2a_3x3.bn.bias": torch.zeros(5)}, path)
    refused(r"Conv2d_2a_3x3.bn.bias should be \[32\], not \[5\]; take the weights of torchvision's inception_v3")
    torch.save(weights | {"Conv2d_2a_3x3.bn.bias": torch.full((32,), torch.nan)}, path)
    refused("'Conv2d_2a_3x3.bn.bias' is not finite")
    torch.save([1, 2], path)
    refused("holds a list, not weights by name")
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"\x08\0\0\0\0\0\0\0no json!")
    refused("corrupt safetensors header")


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"Conv2d_1a_3x3.conv.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ModelError, match="holds more than weights"):
        inception(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


def test_an_unknown_layer(file: Path) -> None:
    with pytest.raises(SettingsError, match=r"layer \(='third-pool'\) must be one of: first-pool, second-pool"):
        inception(file, "third-pool")  # type: ignore[arg-type]


def test_an_extractor_of_ones_own_gives_the_distance_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_maps.py").write_text("import torch\n\ndef pool():\n    return torch.nn.AvgPool2d(2)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = own_extractor("own_maps:pool")
    assert found.measure == "Frechet distance in own_maps:pool"
    assert found.net(torch.ones(1, 3, 4, 4)).shape == (1, 3, 2, 2)
    with pytest.raises(SettingsError, match=r"extractor \(=own_maps:none\) cannot be imported"):
        own_extractor("own_maps:none")
    with pytest.raises(SettingsError, match=r"extractor \(=resnet50\) must be a function of yours.*--weights FILE"):
        own_extractor("resnet50")
