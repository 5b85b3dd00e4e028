from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.linalg import sqrtm

import i2i
from i2i.cli.flags import call
from i2i.errors import DataError, ModelError, SettingsError
from i2i.pixels import PixelFormat
from i2i_singan.commands.score import score
from i2i_singan.inception import Inception
from i2i_singan.model import PyramidGenerator, pyramid_generator
from i2i_singan.sampling import generate

Array = NDArray[np.float64]
OWN = """
import torch

class Blocks(torch.nn.Module):
    def forward(self, image):
        blocks = torch.nn.functional.avg_pool2d(image, 2)
        return torch.cat((blocks, blocks.abs()), 1)
"""


@pytest.fixture
def net() -> PyramidGenerator:
    """Three scales that make something of their noise."""
    torch.manual_seed(0)
    sizes = ((12, 14), (16, 18), (20, 24))
    net = pyramid_generator(sizes, (2, 2, 2), factor=0.77, layers=2).eval()
    for scale in net:
        scale.net.tail[0].weight.data *= 20
        scale.image.copy_(torch.rand_like(scale.image) * 2 - 1)
        scale.amplitude.fill_(1 if scale.noise is not None else 0.5)
    net.reads = net.writes = PixelFormat()
    return net


@pytest.fixture
def model(net: PyramidGenerator, tmp_path: Path) -> Path:
    return i2i.save(net, tmp_path / "model")


@pytest.fixture
def run(model: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """``run("--count", "3")``: what the command has written."""

    def score_it(*flags: str) -> dict[str, Any]:
        out = tmp_path / "scores"
        call(score, [str(model), "--out", str(out), "--device", "cpu", *flags], "i2i singan score")
        found: dict[str, Any] = json.loads((out / "score.json").read_text())
        return found

    return score_it


def eight_bits(image: torch.Tensor, cut: bool = False) -> Array:
    """``(c, h, w)`` in [-1, 1] as levels of 8 bits, and back."""
    levels = (image.clamp(-1, 1).numpy().astype(np.float32) + 1) * np.float32(127.5)
    return (np.floor(levels) if cut else np.rint(levels)) / 127.5 - 1


def diversity(samples: list[Array], image: Array) -> float:
    luma = np.array([0.299, 0.587, 0.114])
    grey = np.stack([np.einsum("chw,c->hw", sample, luma) for sample in samples])
    return float(grey.std(0, ddof=1).mean() / np.einsum("chw,c->hw", image, luma).std())


def distance(sample: Array, image: Array) -> float:
    means, covariances = [], []
    for one in (sample, image):
        blocks = one.reshape(3, one.shape[1] // 2, 2, one.shape[2] // 2, 2).mean((2, 4))
        features = np.concatenate((blocks, abs(blocks))).reshape(6, -1)
        means.append(features.mean(1))
        covariances.append(np.cov(features))
    root = sqrtm(covariances[0] @ covariances[1]).real
    return float(((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root))


@pytest.fixture
def blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "scored_maps.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "scored_maps:Blocks"


def test_samples_that_are_made(
    run: Callable[..., dict[str, Any]], net: PyramidGenerator, blocks: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run("--count", "3", "--seed", "4", "--extractor", blocks)
    image = eight_bits(net[-1].image[0])
    samples = [eight_bits(sample) for sample in generate(net, 3, seed=4)]
    each = [distance(sample, image) for sample in samples]
    assert found["diversity"] == pytest.approx(diversity(samples, image), rel=1e-5)
    assert found["distance"]["name"] == f"Frechet distance in {blocks}"
    assert found["distance"]["each"] == pytest.approx({f"sample-00{k}": v for k, v in enumerate(each)}, rel=1e-4)
    assert found["distance"]["mean"] == pytest.approx(np.mean(each), rel=1e-4)
    assert (found["seed"], found["start_scale"], found["samples"]) == (4, 0, 3)
    assert np.mean(each) > 0.01
    said = capsys.readouterr().out
    assert f"diversity: {found['diversity']:.4g} of the photograph's contrast (3 samples)" in said
    assert f"Frechet distance in {blocks}: {found['distance']['mean']:.4g} (mean of 3 samples)" in said
    assert said.endswith("score.json\n")


def test_pictures_that_are_given_score_as_when_they_are_made(
    run: Callable[..., dict[str, Any]], net: PyramidGenerator, blocks: str, tmp_path: Path
) -> None:
    (tmp_path / "made").mkdir()
    for index, sample in enumerate(generate(net, 3, seed=1)):
        levels = np.rint((eight_bits(sample) + 1) * 127.5).astype(np.uint8)
        Image.fromarray(levels.transpose(1, 2, 0)).save(tmp_path / "made" / f"sample-00{index}.png")
    given = run("--samples", str(tmp_path / "made"), "--extractor", blocks)
    made = run("--count", "3", "--seed", "1", "--extractor", blocks)
    assert given["diversity"] == pytest.approx(made["diversity"], rel=1e-12)
    assert given["distance"]["each"] == {f"{k}.png": value for k, value in made["distance"]["each"].items()}
    assert given["pictures"] == str(tmp_path / "made")
    assert "seed" not in given
    one = run("--samples", str(tmp_path / "made" / "sample-002.png"), "--extractor", blocks)
    assert (one["samples"], one["diversity"]) == (1, None)
    assert one["distance"]["each"] == {"sample-002.png": given["distance"]["each"]["sample-002.png"]}


def test_reference_cuts_decimals_off(run: Callable[..., dict[str, Any]], net: PyramidGenerator) -> None:
    samples = [eight_bits(sample, cut=True) for sample in generate(net, 2)]
    expected = diversity(samples, eight_bits(net[-1].image[0], cut=True))
    assert run("--count", "2", "--reference")["diversity"] == pytest.approx(expected, rel=1e-5)
    assert run("--count", "2")["diversity"] != pytest.approx(expected, rel=1e-5)


def test_samples_that_begin_at_a_finer_scale(run: Callable[..., dict[str, Any]], net: PyramidGenerator) -> None:
    image = eight_bits(net[-1].image[0])
    expected = diversity([eight_bits(sample) for sample in generate(net, 4, start_scale=1)], image)
    found = run("--count", "4", "--start-scale", "1")
    assert found["diversity"] == pytest.approx(expected, rel=1e-5)
    assert found["start_scale"] == 1
    assert "distance" not in found


def test_inception_of_a_file(
    run: Callable[..., dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    torch.save(Inception("second-pool").state_dict(), tmp_path / "random.pth")
    found = run("--count", "2", "--weights", str(tmp_path / "random.pth"))
    assert found["distance"]["name"] == "Frechet distance in Inception with random.pth, first pool"
    assert "SIFID" not in capsys.readouterr().out
    assert found["distance"]["mean"] > 0
    with pytest.raises(DataError, match="24 x 20 pixels is too small for Inception: 23 a side"):
        run("--count", "2", "--weights", str(tmp_path / "random.pth"), "--layer", "second-pool")


def test_without_a_network_there_is_diversity_only(
    run: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert set(run("--count", "2")) == {"model", "seed", "start_scale", "samples", "diversity"}
    assert (
        "no distance was measured: name the weights of Inception (--weights FILE) for SIFID" in capsys.readouterr().out
    )


def test_images_of_16_bits(net: PyramidGenerator, tmp_path: Path) -> None:
    net.reads = net.writes = PixelFormat(depth=16)
    out = tmp_path / "scores"
    call(score, [str(i2i.save(net, tmp_path / "deep")), "--out", str(out), "--count", "2", "--device", "cpu"], "i2i")
    samples = [sample.clamp(-1, 1).double().numpy() for sample in generate(net, 2)]
    expected = diversity(samples, net[-1].image[0].double().numpy())
    found = json.loads((out / "score.json").read_text())["diversity"]
    assert found == pytest.approx(expected, rel=1e-4)
    assert found != pytest.approx(diversity([eight_bits(s) for s in generate(net, 2)], eight_bits(net[-1].image[0])))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--count", "0"), r"--count \(=0\) must be at least 1"),
        (("--count", "1"), "one sample has no diversity; take more, or name --weights FILE for SIFID"),
        (("--count", "2", "--samples", "."), "--count is for samples that are made; leave it out with --samples"),
        (("--start-scale", "0", "--samples", "."), "--start-scale is for samples that are made; leave it out"),
        (("--weights", "a", "--extractor", "b:c"), "--weights is for Inception, --extractor for another network"),
        (("--extractor", "resnet50"), "must be a function of yours that returns feature maps"),
        (("--start-scale", "3", "--count", "2"), r"start.scale \(=3\)"),
        (("--layer", "second-pool"), r"--layer \(=second-pool\) is of Inception; name its weights as well"),
        (("--layer", "third-pool"), "--layer: 'third-pool' must be one of"),
    ],
)
def test_flags_that_make_no_sense(
    run: Callable[..., dict[str, Any]], tmp_path: Path, flags: tuple[str, ...], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        run(*flags)
    assert not (tmp_path / "scores" / "score.json").exists()


def test_weights_that_are_missing_leave_an_earlier_score(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    before = run("--count", "2")
    with pytest.raises(ModelError, match="no.pth: no such file"):
        run("--count", "2", "--weights", str(tmp_path / "no.pth"))
    assert json.loads((tmp_path / "scores" / "score.json").read_text()) == before
