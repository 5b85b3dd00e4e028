from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from i2i import photographs
from i2i.cli import main
from i2i.errors import RunError
from i2i_singan import demo

SMALL: dict[str, Any] = {"scale_factor": 0.4, "base_width": 2, "discriminator_moves": 1, "generator_moves": 1}


def read(path: Path) -> NDArray[Any]:
    return np.asarray(Image.open(path)).astype(float)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "SETTINGS", attrs.evolve(demo.SETTINGS, **SMALL))


@pytest.mark.usefixtures("small")
def test_the_demo_and_what_a_kill_leaves_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = Path("demo")
    assert main(["demo", "singan", "--out", str(out), "--steps", "1"]) == 0
    said = capsys.readouterr().out
    found = json.loads((out / "result.json").read_text())
    photograph, truth = read(out / "photograph.png"), read(out / "truth.png")
    assert photograph.shape == (43, 64, 3)
    last = max((out / "reconstruction").iterdir())
    error = np.sqrt(((read(last) - photograph) ** 2).mean()) / 255
    assert found["reconstruction"] == pytest.approx(error, abs=1e-3)  # what is written is rounded
    for key, name in (("psnr", "super-resolution"), ("psnr_bicubic", "bicubic")):
        made = read(out / "enlarged" / f"{name}-2.png")
        assert found[key] == pytest.approx(peak_signal_noise_ratio(truth, made, data_range=255), abs=0.05)
    assert f"is {error:.1%} of the range off" in said
    with Image.open(out / "film" / "start-0-alpha-0.1-beta-0.9.gif") as film:
        assert film.n_frames == 40  # type: ignore[attr-defined]
    assert read(out / "wide" / "sample-000.png").shape == (43, 128, 3)
    assert len(list((out / "samples").iterdir())) == 6

    # What was said can be typed.
    typed = [shlex.split(line)[2:] for line in said.splitlines() if line.startswith("$ ")]
    assert [words[1] for words in typed] == ["sample", "sample", "reconstruct", "harmonize", "animate", "super-resolve"]
    (harmonize,) = (words for words in typed if words[1] == "harmonize")
    assert harmonize[2:4] == ["demo/run", "demo/pasted.png"]
    before = (out / "harmonized" / "pasted-harmonized-1.png").read_bytes()
    (out / "harmonized" / "pasted-harmonized-1.png").unlink()
    assert main(harmonize) == 0
    assert (out / "harmonized" / "pasted-harmonized-1.png").read_bytes() == before

    # Killed when the last model was trained, but not marked as finished.
    (out / "run" / "super-resolution-2" / "finished").unlink()
    for name in ("result.json", "demo.png"):
        (out / name).unlink()
    before = {path: path.read_bytes() for path in (out / "run").rglob("*.safetensors")}
    assert len(before) > 3
    with pytest.raises(RunError, match="demo is not empty; choose another --out, or go on .*: --resume"):
        demo.demo(out, 0, 1, resume=False)
    assert main(["demo", "singan", "--out", str(out), "--steps", "1", "--resume"]) == 0
    assert json.loads((out / "result.json").read_text()) == found
    assert read(out / "demo.png").ndim == 3
    assert {path: path.read_bytes() for path in (out / "run").rglob("*.safetensors")} == before


def test_pictures_of_the_demo(tmp_path: Path) -> None:
    demo.write_pictures(tmp_path)
    for name, side in (("photograph", 43), ("truth", 86)):
        whole = np.rint(photographs.load(side)["china"] * 255)
        made = read(tmp_path / f"{name}.png")
        assert np.array_equal(made, whole[: made.shape[0], : made.shape[1]])
    assert read(tmp_path / "truth.png").shape == (86, 128, 3)
    changed = (read(tmp_path / "pasted.png") != read(tmp_path / "photograph.png")).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert max(np.ptp(rows), np.ptp(columns)) < 17
    assert changed.sum() > 0.9 * np.pi * 8.5**2 * 0.9
