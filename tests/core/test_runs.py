"""Where models lie, and which of them is meant."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from i2i.errors import RunError, SettingsError
from i2i.runs import model_folder, models_in, run_models


def _models(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text("{}")
    return folder


@pytest.fixture
def run(tmp_path) -> Path:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "settings.toml").write_text("recipe = 'blur'\n")
    return tmp_path / "run"


def test_a_run_stands_for_its_first_model_and_direction_chooses(run):
    _models(run / "model", "b2a", "a2b")
    assert model_folder(str(run), None) == str(run / "model" / "a2b")
    assert model_folder(str(run), "b2a") == str(run / "model" / "b2a")
    with pytest.raises(SettingsError) as error:
        model_folder(str(run), "c")
    assert str(error.value) == f"{run} has no model for direction 'c'; known: a2b, b2a"


def test_a_run_without_a_model(run):
    with pytest.raises(RunError) as error:
        model_folder(str(run), "a2b")
    assert str(error.value) == f"{run} has no model yet; the first is saved with the first checkpoint"


def test_a_run_of_one_model(run):
    _models(run, "model")
    assert model_folder(str(run), None) == str(run / "model")
    with pytest.raises(SettingsError, match="'b2a'; it has one only, leave --direction out$"):
        model_folder(str(run), "b2a")


def test_a_folder_of_models(tmp_path):
    folder = _models(tmp_path / "converted", "a2b", "b2a")
    assert model_folder(str(folder), None) == str(folder / "a2b")
    assert model_folder(str(folder), "b2a") == str(folder / "b2a")


def test_one_model_has_no_directions(tmp_path):
    model = str(_models(tmp_path, "model") / "model")
    assert model_folder(model, None) == model
    with pytest.raises(SettingsError) as error:
        model_folder(model, "b2a")
    assert str(error.value) == f"{model} is one model and has no directions; leave --direction out"


def test_what_is_no_folder_may_be_on_the_hub_and_has_no_directions():
    assert model_folder("owner/name", None) == "owner/name"
    with pytest.raises(SettingsError) as error:
        model_folder("m", "b2a")
    assert str(error.value) == "--direction chooses a model of a run, and m is no run (it has no settings.toml)"


def test_models_by_key(tmp_path):
    several, alone = _models(tmp_path / "several" / "model", "b2a", "a2b"), _models(tmp_path / "alone", "model")
    (several / "notes").mkdir()
    found = {"a2b": several / "a2b", "b2a": several / "b2a"}
    assert list(models_in(several).items()) == list(found.items())
    assert run_models(tmp_path / "several") == found
    assert run_models(alone) == {"": alone / "model"}
    assert models_in(tmp_path / "nowhere") == {}


def test_no_torch_is_needed():
    code = "import sys, i2i.runs; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
