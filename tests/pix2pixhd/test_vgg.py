from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from i2i.errors import ModelError, RunError, SettingsError
from i2i_pix2pixhd import vgg
from i2i_pix2pixhd.settings import Settings
from i2i_pix2pixhd.vgg import check_channels, vgg19

#: torchvision's vgg19: place of each convolution in ``features``, channels in and out, up to relu5_1
CONVOLUTIONS = {
    0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256), 12: (256, 256), 14: (256, 256),
    16: (256, 256), 19: (256, 512), 21: (512, 512), 23: (512, 512), 25: (512, 512), 28: (512, 512),
}  # fmt: skip
POOLS = (4, 9, 18, 27)


@pytest.fixture(autouse=True)
def unread() -> Iterator[None]:
    vgg._read.cache_clear()
    yield
    vgg._read.cache_clear()


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """The state of torchvision's vgg19, the last layers too, at random."""
    draw = torch.Generator().manual_seed(0)
    found: dict[str, Tensor] = {}
    for place, (taken, made) in CONVOLUTIONS.items():
        found[f"features.{place}.weight"] = torch.randn(made, taken, 3, 3, generator=draw) * (2 / (9 * taken)) ** 0.5
        found[f"features.{place}.bias"] = torch.randn(made, generator=draw) * 0.1
    return {**found, "features.30.weight": torch.zeros(2, 2), "classifier.0.weight": torch.zeros(3, 3)}


@pytest.fixture(scope="module")
def file(weights: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save(weights, path)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def plain(weights: dict[str, Tensor], x: Tensor) -> list[Tensor]:
    """What relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1 give."""
    found = []
    for place in range(30):
        if place in CONVOLUTIONS:
            x = F.conv2d(x, weights[f"features.{place}.weight"], weights[f"features.{place}.bias"], padding=1)
        elif place in POOLS:
            x = F.max_pool2d(x, 2, 2)
        else:
            x = x.relu()
        if place in (1, 6, 11, 20, 29):
            found.append(x)
    return found


def test_features_are_those_of_the_file(file: Path, weights: dict[str, Tensor], capsys: pytest.CaptureFixture[str]):
    net = vgg19(file, checksum=sha256(file))
    image = torch.rand(1, 3, 32, 48) * 2 - 1
    for ours, theirs in zip(net(image), plain(weights, image), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert capsys.readouterr().out == f"VGG19: {file}, sha256 {sha256(file)[:16]}...\n"


def test_file_and_checksum_are_those_of_torchvision() -> None:
    from torchvision.models import VGG19_Weights

    name = Path(VGG19_Weights.IMAGENET1K_V1.url).name
    assert name == vgg.FILE
    assert name == f"vgg19-{vgg.CHECKSUM}.pth"
    assert Settings().vgg_checksum == vgg.CHECKSUM


def test_the_smallest_image_gives_all_maps(file: Path) -> None:
    net = vgg19(file, checksum=sha256(file))
    assert [map.shape[-1] for map in net(torch.zeros(1, 3, vgg.SMALLEST, vgg.SMALLEST))] == [16, 8, 4, 2, 1]


def test_it_counts_what_the_spec_counts() -> None:
    with torch.device("meta"):
        net = vgg.Vgg19()
    assert sum(parameter.numel() for parameter in net.parameters()) == 12_944_960
    assert not any(parameter.requires_grad for parameter in net.parameters())


def test_grey_images_are_shown_as_colour(file: Path) -> None:
    net = vgg19(file, checksum=sha256(file)[:8])
    grey = torch.rand(1, 1, 16, 16)
    assert all(torch.equal(a, b) for a, b in zip(net(grey), net(grey.expand(-1, 3, -1, -1)), strict=True))


def test_a_file_of_another_checksum_is_refused(file: Path) -> None:
    with pytest.raises(ModelError, match=r"has the sha256 .*, not dcbb9e9d.*--vgg-checksum " + sha256(file)[:8]):
        vgg19(file)


def test_what_is_no_vgg_is_refused(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    with pytest.raises(ModelError, match=r"none.pth: no such file; .*--no-perceptual"):
        vgg19(tmp_path / "none.pth")
    short = {key: value for key, value in weights.items() if key != "features.28.bias"}
    save_file(short, tmp_path / "short.safetensors")
    with pytest.raises(ModelError, match=r"features\.28\.bias .* is missing.*take the weights of torchvision"):
        vgg19(tmp_path / "short.safetensors", checksum="")
    save_file({"other": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=r"holds no layer of VGG19: 1 entry: 'other' \[2\]"):
        vgg19(tmp_path / "other.safetensors", checksum="")


def test_torchvisions_cache_is_looked_into(
    tmp_path: Path, weights: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    path = tmp_path / "checkpoints" / "vgg19-dcbb9e9d.pth"
    torch.save(weights, path)
    assert len(vgg19(checksum=sha256(path))(torch.zeros(1, 3, 16, 16))) == 5


def test_what_cannot_be_fetched_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models import VGG19_Weights

    def fails(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(VGG19_Weights.IMAGENET1K_V1.__class__, "get_state_dict", fails)
    with pytest.raises(RunError, match=r"cannot be fetched \(no route to host\); put vgg19-dcbb9e9d.pth into .*--vgg"):
        vgg19()


def test_untrained_weights_have_a_name_that_says_so() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    one, two = vgg19("untrained"), vgg19("untrained")
    assert torch.equal(torch.get_rng_state(), before)
    image = torch.rand(1, 3, 16, 16)
    assert all(torch.equal(a, b) for a, b in zip(one(image), two(image), strict=True))


def test_other_channels_are_refused() -> None:
    check_channels(1)
    check_channels(3)
    with pytest.raises(SettingsError, match="not 2 channels; use --no-perceptual"):
        check_channels(2)
