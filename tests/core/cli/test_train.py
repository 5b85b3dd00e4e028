"""``i2i train`` with the recipe of a third party: settings, refusals, a run, a resumed run."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from filelock import FileLock

from i2i.cli import main
from i2i.cli.train import arguments


def _train(out: Path, *flags: str) -> int:
    return main(
        ["train", "blur", "--out", str(out), "--device", "cpu", "--precision", "fp32", "--log-every", "1", *flags]
    )


def _error(capsys) -> str:
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    assert err.startswith("i2i: error: ")
    return err.removeprefix("i2i: error: ").rstrip("\n")


def test_help_shows_every_setting_with_meaning_and_default(blur, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["train", "blur", "--help"]) == 0
    text = capsys.readouterr().out
    for words in (
        "Train blur of x-blur.",
        "Channels inside. (default: 2)",
        "Learning rate of the toy. (default: 0.1)",
        "What to train on: a folder, for example",
        "--skip-bad, --no-skip-bad",
        "--checkpoint-every INT",
        "--speed.lr FLOAT",
        "--config",
    ):
        assert words in text


def test_every_setting_of_every_run_is_explained(blur, capsys, monkeypatch):
    import attrs

    from i2i.settings import RunSettings, flag

    monkeypatch.setenv("COLUMNS", "300")
    assert main(["train", "blur", "--help"]) == 0
    rows = capsys.readouterr().out.splitlines()
    for field in attrs.fields(RunSettings):
        start = next(index for index, row in enumerate(rows) if f" {flag(field.name)}" in row)
        assert "(default: " in " ".join(rows[start : start + 2]), field.name


def test_without_a_name_recipes_are_listed(blur, capsys):
    assert main(["train", "--help"]) == 0
    assert "  blur  (x-blur)\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--stepz", "3"], "unknown setting --stepz; did you mean '--steps'?"),
        (["--steps", "abc"], "--steps: 'abc' is no whole number"),
        (["--steps", "1.9"], "--steps: '1.9' is no whole number"),
        (["--steps", "0"], "steps (=0) must be at least 1"),
        (["--base-width", "-3"], "base_width (=-3) must be at least 1"),
        (["--speed.lr", "-1"], "lr (=-1.0) must be more than 0"),
        (["--speed.lr", "nan"], "lr (=nan) must be more than 0"),
        (["--seed", "-1"], "seed (=-1) must lie between 0 and 4294967295"),
        (["--device", "gpu"], "device (=gpu) must be auto, cpu, cuda, cuda:N, xpu, xpu:N or mps"),
        (["--average", "2"], "average (=2.0) must lie between 0 and 1, for example 0.999"),
        (["--precision", "int8"], "--precision: 'int8' must be one of 'auto', 'fp32', 'tf32', 'bf16', 'fp16'"),
        (["--observers", "shoot"], "observer 'shoot' is unknown; did you mean 'shout'?"),
        (["--data", "/no/such"], "/no/such: no such folder"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(blur, tmp_path, capsys, flags, message):
    assert main(["train", "blur", "--out", str(tmp_path / "run"), *flags]) == 2
    assert _error(capsys).startswith(message)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--out", "x"], "name the recipe first: i2i train RECIPE ... (recipes: "),
        (["blurr", "--out", "x"], "recipe 'blurr' is unknown; did you mean 'blur'?"),
        (["blur"], "where to? name the folder of the run: --out RUN"),
        (["--config", "/no/such.toml", "--out", "x"], "/no/such.toml cannot be read: No such file or directory"),
        (["blurr", "--config", "/no/such.toml"], "/no/such.toml cannot be read: No such file or directory"),
        (["blur", "--resume"], "--resume needs the run: --out RUN"),
        (["--resume", "--out", "/no/such"], "/no/such is no run to resume (it has no settings.toml);"),
        (
            ["blur", "--config", "/no/such.toml", "--out", "x"],
            "/no/such.toml cannot be read: No such file or directory",
        ),
    ],
)
def test_what_is_missing_is_said(blur, capsys, argv, message):
    assert main(["train", *argv]) == 2
    assert _error(capsys).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[run]\nseed = = 3", "Invalid value (at line 2, column 8)"),
        ("[run]\nsede = 3", "[run] has the unknown setting 'sede'; did you mean 'seed'?"),
        ("[settings]\nsteps = 1.9", "[settings] steps: 1.9 is no whole number"),
        ("[settings]\nsteps = true", "[settings] steps: True is no whole number"),
        ("[settings]\nsteps = 0", "[settings]: steps (=0) must be at least 1"),
        ("[settings.speed]\nlr = -1", "[settings] speed: lr (=-1.0) must be more than 0"),
        ("steps = 3", "has the unknown entry 'steps'"),
        ("recipe = 'other'", "is for recipe 'other', not for 'blur'"),
    ],
)
def test_mistakes_in_a_settings_file_name_the_spot(blur, tmp_path, capsys, text, message):
    config = tmp_path / "c.toml"
    config.write_text(text)
    assert _train(tmp_path / "run", "--config", str(config)) == 2
    error = _error(capsys)
    assert error.startswith(str(config))
    assert message in error


def test_a_settings_file_may_name_the_recipe(blur, tmp_path, capsys):
    config, run = tmp_path / "c.toml", tmp_path / "run"
    flags = ["--config", str(config), "--out", str(run), "--device", "cpu"]
    config.write_text("[settings]\nsteps = 1\n")
    assert main(["train", *flags]) == 2
    assert _error(capsys).startswith("name the recipe first: i2i train RECIPE ... (recipes: ")
    config.write_text("recipe = 'blur'\n[settings]\nsteps = 1\n")
    assert main(["train", *flags]) == 0
    assert tomllib.loads((run / "settings.toml").read_text())["recipe"] == "blur"


def test_a_run_ends_with_its_models_and_what_to_do_next(blur, tmp_path, capsys):
    run = tmp_path / "run"
    assert _train(run, "--steps", "2") == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert last == f"saved for use: {run / 'model' / 'a2b'}; i2i translate {run} IMAGES --out DIR"


def test_a_finished_run_is_not_trained_again(blur, tmp_path, capsys):
    run = tmp_path / "run"
    assert _train(run, "--steps", "2") == 0
    capsys.readouterr()
    assert main(["train", "--resume", "--out", str(run)]) == 0
    assert capsys.readouterr().out == f"{run} is already at 2 of 2 batches; for more: --steps N\n"
    assert main(["train", "--resume", "--out", str(run), "--steps", "3"]) == 0
    assert "training blur" in capsys.readouterr().out


def test_a_run_and_what_it_leaves(blur, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "c.toml").write_text(
        "recipe = 'blur'\n[run]\nseed = 5\nkeep_last = 2\n[settings]\nsteps = 3\nbase_width = 3\n"
    )
    flags = ["--config", "c.toml", "--steps", "4", "--data", "photos", "--observers", "shout", "--sample-every", "2"]
    assert _train(Path("run"), *flags) == 0
    stored = tomllib.loads(Path("run/settings.toml").read_text())
    assert stored["recipe"] == "blur"
    assert stored["settings"] == {
        "steps": 4,
        "epochs": 2,
        "base_width": 3,
        "speed": {"lr": 0.1},
    }  # default < config < flag
    assert (stored["run"]["seed"], stored["run"]["keep_last"]) == (5, 2)
    assert stored["run"]["data"] == str(tmp_path / "photos")
    assert "out" not in stored["run"]
    rows = [json.loads(row) for row in Path("run/metrics.jsonl").read_text().splitlines()]
    assert [row["batch"] for row in rows] == [1, 2, 3, 4]
    assert Path("run/model/a2b/config.json").is_file()
    assert len(list(Path("run/samples").iterdir())) == 2
    out = capsys.readouterr().out
    assert "training blur on cpu in fp32" in out
    assert "SHOUT 5 2\nSHOUT 5 4\n" in out


def test_a_resumed_run_ends_as_an_undisturbed_one(blur, tmp_path, capsys):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert _train(whole, "--steps", "5", "--seed", "3", "--base-width", "3") == 0
    assert _train(parts, "--steps", "2", "--seed", "3", "--base-width", "3") == 0
    assert main(["train", "--resume", "--out", str(parts), "--steps", "5"]) == 0
    assert (parts / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    weights = "model/a2b/model.safetensors"
    assert (parts / weights).read_bytes() == (whole / weights).read_bytes()
    assert tomllib.loads((parts / "settings.toml").read_text())["settings"]["steps"] == 5


def test_epochs_overrule_the_steps_of_the_run_before(blur, tmp_path, capsys):
    run = str(tmp_path / "run")
    assert _train(tmp_path / "run", "--steps", "2") == 0
    assert main(["train", "--resume", "--out", run, "--epochs", "1"]) == 0
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 3
    capsys.readouterr()
    assert main(["train", "--resume", "--out", run, "--epochs", "2", "--steps", "4"]) == 2
    assert _error(capsys) == "--steps and --epochs both say how long the run is; give one of them"


@pytest.fixture
def begun(blur, tmp_path, capsys):
    """A run that has begun, but was killed before its first checkpoint."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "settings.toml").write_text(
        "recipe = 'blur'\n[run]\nseed = 3\nlog_every = 1\ndevice = 'cpu'\n[settings]\nsteps = 2\n"
    )
    return run


def test_a_run_killed_before_its_first_checkpoint_begins_anew(begun):
    (begun / "metrics.jsonl").write_text('{"batch": 1, "total": 7.0}\n{"batch": 2, "to')
    assert main(["train", "--resume", "--out", str(begun)]) == 0
    rows = [json.loads(row) for row in (begun / "metrics.jsonl").read_text().splitlines()]
    assert [row["batch"] for row in rows] == [1, 2]
    assert rows[0].get("total") != 7.0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["blur", "--seed", "4"], "--seed is 4, but this run was begun with 3;"),
        (["--base-width", "9"], "--base-width is 9, but this run was begun with 2;"),
        (["--speed.lr", "1"], "--speed.lr is 1.0, but this run was begun with 0.1;"),
    ],
)
def test_a_resume_with_other_settings_names_both_values(begun, capsys, flags, message):
    before = (begun / "settings.toml").read_bytes()
    named, rest = (flags[:1], flags[1:]) if flags[0] == "blur" else ([], flags)
    assert main(["train", *named, "--resume", "--out", str(begun), *rest]) == 2
    assert _error(capsys).startswith(message)
    assert (begun / "settings.toml").read_bytes() == before


def test_a_resume_of_another_recipe_names_both(begun, capsys):
    (begun / "settings.toml").write_text("recipe = 'sharpen'\n")
    assert main(["train", "blur", "--resume", "--out", str(begun)]) == 2
    assert _error(capsys) == f"{begun} is a run of 'sharpen', not of 'blur'; leave the recipe out"


def test_a_folder_that_is_not_empty_is_refused_with_both_remedies(begun, capsys):
    (begun / "notes.txt").write_text("mine")
    assert _train(begun) == 2
    assert _error(capsys) == f"{begun} is not empty; choose another --out, or go on with the run in it: --resume"


def test_a_file_is_no_folder(blur, tmp_path, capsys):
    (tmp_path / "file").write_text("kept")
    assert _train(tmp_path / "file") == 2
    assert _error(capsys) == f"{tmp_path / 'file'} is a file, not a folder; choose another --out"
    assert main(["train", "--resume", "--out", str(tmp_path / "file")]) == 2
    assert _error(capsys) == f"{tmp_path / 'file'} is a file, not the folder of a run"
    assert _train(tmp_path / "file" / "run") == 2
    assert "cannot be made a folder" in _error(capsys)


def test_a_folder_in_use_is_refused_and_its_settings_stay(begun, capsys):
    before = (begun / "settings.toml").read_bytes()
    with FileLock(begun / ".lock"):
        assert main(["train", "--resume", "--out", str(begun), "--steps", "9"]) == 2
    assert "is in use by another run; wait for it, or choose another --out" in _error(capsys)
    assert (begun / "settings.toml").read_bytes() == before


def test_a_device_that_is_not_there(blur, tmp_path, capsys):
    assert main(["train", "blur", "--out", str(tmp_path / "run"), "--device", "cuda:77"]) == 2
    assert _error(capsys).startswith("device (=cuda:77) cannot be used here: ")
    assert not (tmp_path / "run").exists()


def test_a_run_cannot_become_shorter_than_it_is(begun, capsys):
    assert main(["train", "--resume", "--out", str(begun)]) == 0
    capsys.readouterr()
    before = (begun / "settings.toml").read_bytes()
    assert main(["train", "--resume", "--out", str(begun), "--steps", "1"]) == 2
    assert "batches behind it, more than the 1 asked for" in _error(capsys)
    assert (begun / "settings.toml").read_bytes() == before


def test_a_mistake_found_at_the_start_leaves_the_folder_usable(blur, tmp_path, capsys):
    assert _train(tmp_path / "run", "--precision", "tf32") == 2
    assert "needs a CUDA device" in _error(capsys)
    assert _train(tmp_path / "run") == 0


def test_a_dataset_in_a_folder_is_found_from_any_folder(blur, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows").mkdir()
    for named, stored in (("rows", str(tmp_path / "rows")), ("owner/name", "owner/name")):
        _, _, run = arguments("blur", ["--dataset", named], resume=False)
        assert run.dataset == stored


STAGED_PLUGIN = """
import i2i
@i2i.hookimpl
def register_recipes(register): register("grow", "grow_settings:Settings", "grow_settings:build")
"""
STAGED_SETTINGS = '''
from pathlib import Path
import attrs
from i2i.settings import at_least

@attrs.frozen
class Settings:
    """Grow."""
    from_: Path | None = None
    """What to begin with."""
    steps: tuple[int, ...] = ()
    """Batches of each stage; as many as epochs makes, when left out."""
    epochs: tuple[int, ...] = (1, 2)
    """Passes of each stage."""
    in_: int = attrs.field(default=1, validator=at_least(1))
    """A number."""

def build(settings, run): ...
'''


@pytest.fixture
def grow(install, tmp_path):
    """A recipe of stages, one of whose settings is a word of Python; and a run of it."""
    install("grow", "x-grow", grow_plugin=STAGED_PLUGIN, grow_settings=STAGED_SETTINGS)
    run = tmp_path / "run"
    run.mkdir()
    stored = "recipe = 'grow'\n[settings]\nsteps = [3, 4]\nfrom = '/models/x'\n"
    (run / "settings.toml").write_text(stored)
    return run


def test_epochs_of_stages_overrule_steps_of_the_run_before(grow, capsys):
    _, settings, _ = arguments(None, ["--resume", "--out", str(grow), "--epochs", "5", "6"], resume=True)
    assert (settings.steps, settings.epochs) == ((), (5, 6))
    _, settings, _ = arguments("grow", ["--config", str(grow / "settings.toml"), "--epochs", "5"], resume=False)
    assert (settings.steps, settings.epochs, settings.from_) == ((), (5,), Path("/models/x"))
    _, settings, _ = arguments(None, ["--resume", "--out", str(grow), "--steps", "7"], resume=True)
    assert settings.steps == (7,)
    assert main(["train", "--resume", "--out", str(grow), "--epochs", "2", "--steps", "4", "5"]) == 2
    assert _error(capsys) == "--steps and --epochs both say how long the run is; give one of them"


def test_a_setting_may_be_a_word_of_python(grow, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _, settings, _ = arguments("grow", ["--from", "model", "--in=2"], resume=False)
    assert (settings.from_, settings.in_) == (tmp_path / "model", 2)
    with pytest.raises(SystemExit):
        arguments("grow", ["--help"], resume=False)
    said = capsys.readouterr().out
    assert "--from " in said
    assert "from_" not in said
    assert main(["train", "grow", "--in", "0", "--out", "new"]) == 2
    assert _error(capsys) == "in (=0) must be at least 1"
    assert main(["train", "--resume", "--out", str(grow), "--from", "/models/y"]) == 2
    assert _error(capsys) == (
        "--from is /models/y, but this run was begun with /models/x; leave --from out to resume, or begin another run "
        "with another --out"
    )
