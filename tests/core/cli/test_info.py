"""``i2i info``."""

from __future__ import annotations

from pathlib import Path

from i2i.cli import main


def _rows(capsys) -> dict[str, str]:
    lines = capsys.readouterr().out.splitlines()
    return {line.strip().split("  ")[0]: line.strip().partition("  ")[2].strip() for line in lines}


def test_a_run_and_its_model(blur, tmp_path, capsys):
    run = tmp_path / "run"
    flags = ["--device", "cpu", "--steps", "3", "--base-width", "5", "--checkpoint-every", "2", "--log-every", "1"]
    assert main(["train", "blur", "--out", str(run), *flags]) == 0
    capsys.readouterr()
    assert main(["info", str(run)]) == 0
    rows = _rows(capsys)
    assert (rows["recipe"], rows["batches"], rows["base_width"]) == ("blur", "3 of 3", "5")
    assert rows["checkpoints"].count("step-") == 2
    assert rows["models"] == str(run / "model" / "a2b")
    assert rows["metrics"] == "at batch 3"
    assert main(["info", str(run / "model" / "a2b")]) == 0
    rows = _rows(capsys)
    assert (rows["part"], rows["width"], rows["channels"]) == ("blur/net", "5", "3 -> 3")
    assert rows["parameters"].startswith("38 ")  # 3 * 5 + 5 + 5 * 3 + 3
    assert rows["sizes"] == "any; padded inside to multiples of 4"
    assert rows["reads"] == rows["writes"] == "3 x 8 bits, 0 to 255"
    assert "torch" in rows["versions"]
    assert "x-blur 1.0" in rows["versions"]


def test_a_run_that_has_just_begun_and_whose_recipe_is_gone(tmp_path, capsys):
    (tmp_path / "settings.toml").write_text("recipe = 'gone'\n[settings]\nwidth = 3\n")
    (tmp_path / "metrics.jsonl").write_text('{"batch": 4, "g/total": 0.5}\n{"batch": 5, "g/to')
    assert main(["info", str(tmp_path)]) == 0
    rows = _rows(capsys)
    assert rows["batches"].startswith("0 of unknown (recipe 'gone' is unknown")
    assert (rows["checkpoints"], rows["models"], rows["width"]) == ("none yet", "none yet", "3")
    assert (rows["metrics"], rows["g/total"]) == ("at batch 4", "0.5")


def test_neither_a_model_nor_a_run(tmp_path, capsys):
    assert main(["info", str(Path(tmp_path, "no"))]) == 2
    err = capsys.readouterr().err
    assert err.startswith("i2i: error: ")
    assert err.count("\n") == 1


def test_a_run_of_the_library_is_a_run(tmp_path, capsys):
    import torch

    import i2i

    step = i2i.player(
        lambda n: n.G, lambda n, x: {"size": n.G(x).square().mean()}, torch.optim.SGD, weights={"size": 1}, lr=0.1
    )
    i2i.fit(step, i2i.nets(G=torch.nn.Linear(1, 1)), [torch.ones(1, 1)], steps=2, out=tmp_path / "run", device="cpu")
    assert main(["info", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    assert "none: trained from Python" in said
    assert "step-2" in said


def test_a_run_that_is_validated_has_a_best(tmp_path, capsys):
    (tmp_path / "settings.toml").write_text("recipe = 'gone'\n")
    rows = ['{"batch": 4, "a2b/psnr": 20.5, "best": true}', '{"batch": 8, "a2b/psnr": 20.25, "best": false}', '{"ba']
    (tmp_path / "validation.jsonl").write_text("\n".join(rows))
    assert main(["info", str(tmp_path)]) == 0
    found = _rows(capsys)
    assert found["best validation"] == f"at batch 4: {tmp_path / 'best'}"
    assert found["a2b/psnr"] == "20.5"
    assert "best" not in found


def test_metrics_come_before_the_settings_and_the_best_models_are_models(tmp_path, capsys):
    (tmp_path / "settings.toml").write_text("recipe = 'gone'\n[settings]\nwidth = 3\n")
    (tmp_path / "metrics.jsonl").write_text('{"batch": 4, "g/total": 0.5}\n')
    (tmp_path / "validation.jsonl").write_text('{"batch": 4, "a2b/psnr": 20.5, "best": true}\n')
    for name in ("model/a2b", "best/a2b"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text("{}")
    assert main(["info", str(tmp_path)]) == 0
    rows = _rows(capsys)
    assert rows["models"] == f"{tmp_path / 'model' / 'a2b'}, {tmp_path / 'best' / 'a2b'}"
    names = [name for name in rows if name in ("metrics", "best validation", "settings", "width")]
    assert names == ["metrics", "best validation", "settings", "width"]
