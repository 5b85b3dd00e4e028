"""What W&B gets of a run: from the real package, offline, and by a small server on this machine."""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import wandb
from i2i_wandb import WandB
from server import Server, serving
from torch import Tensor, nn
from wandb.cli.cli import sync

import i2i
from i2i import registry
from i2i.cli import main
from i2i.observers import Checkpoints, JsonLines, Samples


def loss(nets: Any, batch: Tensor) -> Mapping[str, Tensor]:
    return {"size": nets.G(batch).square().mean() * random.random()}


def run(out: Path, observer: Any = None, steps: int = 6, resume: bool = False) -> i2i.Run:
    torch.manual_seed(0)
    random.seed(0)
    step = i2i.player(lambda n: n.G, loss, torch.optim.SGD, weights={"size": 1}, lr=0.1)
    batches = [torch.full((1, 3, 4, 4), value) for value in (0.5, 1.0, 2.0)]
    grids = Samples(lambda nets, batch: {"made": nets.G(batch)}, batches[0], 3)
    observers = [JsonLines(2), grids, *([observer] if observer else []), Checkpoints(2)]
    return i2i.fit(
        step,
        i2i.nets(G=nn.Conv2d(3, 3, 1)),
        batches,
        steps=steps,
        observers=observers,
        out=out,
        resume=resume,
        device="cpu",
    )


def rows(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the points of a history without W&B's own columns; of a picture, its caption."""
    plain = [{name: value for name, value in row.items() if name[0] != "_"} for row in history]
    return [{name: value["caption"] if name == "samples" else value for name, value in row.items()} for row in plain]


def written(out: Path) -> dict[int, dict[str, Any]]:
    """Return the rows of metrics.jsonl by their batch."""
    found = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return {row["batch"]: row for row in found}


def only(server: Server) -> dict[str, Any]:
    (found,) = server.runs.values()
    return found


def test_it_is_registered() -> None:
    entry = registry.observer("wandb")
    assert entry.distribution == "i2i-wandb"
    assert entry.build(i2i.RunSettings(log_every=7)).every == 7
    (plugin,) = (found for found in registry.registry().plugins if found.name == "wandb")
    assert (plugin.problem, plugin.note) == (None, None)


def test_a_run_of_the_command_line_and_its_resumption(toy: None, server: Server, tmp_path: Path) -> None:
    out = tmp_path / "horses"
    begin = ["train", "toy", "--out", str(out), "--steps", "5", "--device", "cpu", "--observers", "wandb"]
    assert main([*begin, "--log-every", "2", "--sample-every", "3"]) == 0
    found = only(server)
    assert (found["name"], found["exitcode"]) == ("horses", 0)
    settings = {name: entry["value"] for name, entry in found["config"].items() if name != "_wandb"}
    assert settings == tomllib.loads((out / "settings.toml").read_text())
    points = rows(found["history"])
    pictures = [row for row in points if "samples" in row]
    assert pictures == [{"batch": batch, "samples": f"batch {batch}"} for batch in (3, 5)]
    curves = [row for row in points if "samples" not in row]
    assert [row["batch"] for row in curves] == [1, 2, 4, 5]
    assert curves[1:] == list(written(out).values())
    media = [data for name, data in found["files"].items() if name.startswith("media/images/")]
    drawn = [(out / "samples" / f"batch-{batch:07d}.png").read_bytes() for batch in (3, 5)]
    assert sorted(media) == sorted(drawn)

    assert main(["train", "--resume", "--out", str(out), "--steps", "7"]) == 0
    assert only(server)["exitcode"] == 0
    assert only(server)["config"]["settings"]["value"]["steps"] == 7
    later = rows(only(server)["history"])
    assert later[: len(points)] == points
    assert later[len(points) :] == [
        written(out)[6],
        {"batch": 6, "samples": "batch 6"},
        written(out)[7],
        {"batch": 7, "samples": "batch 7"},
    ]


def uploaded(out: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, dict[str, Any]]:
    """Upload the last folder of W&B, as its user would, and return the id of the run and what arrived."""
    wandb.teardown()
    monkeypatch.setenv("WANDB_MODE", "online")
    folder = sorted((out / "wandb").glob("offline-run-*"))[-1]
    with serving() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
        sync.main([str(folder)], standalone_mode=False)
    ((name, found),) = server.runs.items()
    return name, found


def test_offline_the_last_folder_holds_the_whole_run_also_when_it_was_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    out = tmp_path / "run"
    run(out, WandB(2), steps=4)
    (first,) = (out / "wandb").glob("offline-run-*")
    run(out, WandB(2), steps=6, resume=True)
    name, found = uploaded(out, monkeypatch)
    assert first.name.endswith(f"-{name}")
    assert (found["name"], found["exitcode"]) == ("run", 0)
    curves = [row for row in rows(found["history"]) if "samples" not in row]
    assert curves == [written(out)[batch] for batch in (2, 4, 6)]
    assert [row["batch"] for row in rows(found["history"]) if "samples" in row] == [3, 4, 6]


def test_without_an_account_the_run_is_logged_offline_and_that_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "run", WandB(2))
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("W&B: ")]
    assert said == [
        "W&B: No API key configured. Use `wandb login` to log in.; "
        f"logged to {tmp_path / 'run' / 'wandb'} instead, from where `wandb sync` uploads it"
    ]
    assert [row["batch"] for row in rows(uploaded(tmp_path / "run", monkeypatch)[1]["history"])] == [1, 2, 4, 3, 6, 6]


def test_a_server_that_refuses_the_run_does_not_end_it(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.broken = True
    assert run(tmp_path / "run", WandB(2)).batches == 6
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("W&B: ")]
    assert len(said) == 1
    assert said[0].endswith("instead, from where `wandb sync` uploads it")
    assert len(list((tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb"))) == 1


def test_a_server_that_is_gone_in_mid_run_does_not_end_it(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "1")

    class Watch(WandB):
        def __call__(self, seen: i2i.Seen) -> None:
            super().__call__(seen)
            if seen.batches == 2:
                server.shutdown()
                server.server_close()

    assert run(tmp_path / "run", Watch(2)).batches == 6
    assert list(written(tmp_path / "run")) == [2, 4, 6]


def test_what_wandb_raises_is_said_once_and_the_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    (tmp_path / "run" / "samples").mkdir(parents=True)
    (tmp_path / "run" / "samples" / "batch-0000002.png").write_text("no picture")
    assert run(tmp_path / "run", WandB(2)).batches == 6
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("W&B: ")]
    assert len(said) == 1
    assert said[0].endswith("; nothing more is logged, the training goes on")


def test_an_interrupted_run_is_no_complete_one(server: Server, tmp_path: Path) -> None:
    class Impatient(WandB):
        def __call__(self, seen: i2i.Seen) -> None:
            super().__call__(seen)
            if seen.batches == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", Impatient(2))
    assert only(server)["exitcode"] == 1
    assert [row["batch"] for row in rows(only(server)["history"])] == [1, 2, 4, 3]


def test_figures_of_validation_are_drawn_and_come_again_in_a_new_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    out = tmp_path / "run"
    out.mkdir()
    (out / "validation.jsonl").write_text(
        '{"batch": 1, "psnr": 20.0, "best": true}\n{"batch": 9, "psnr": 1.0}\n{"batch": 1'
    )

    class Validated(WandB):
        also = ()  # begins after batch 2, with what lies in the folder

        def __call__(self, seen: i2i.Seen) -> None:
            super().__call__(seen)
            self.draw(seen, {"validation/psnr": float(seen.batches)})

    run(out, Validated(2), steps=2)
    history = rows(uploaded(out, monkeypatch)[1]["history"])
    assert [row for row in history if "validation/psnr" in row] == [
        {"batch": batch, "validation/psnr": figure} for batch, figure in ((1, 20.0), (2, 2.0))
    ]


def test_training_is_the_same_with_it_and_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    logged, plain = run(tmp_path / "logged", WandB(2)), run(tmp_path / "plain")
    assert torch.equal(logged.nets.G.weight, plain.nets.G.weight)
    assert (tmp_path / "logged" / "metrics.jsonl").read_bytes() == (tmp_path / "plain" / "metrics.jsonl").read_bytes()


def test_a_run_of_wandb_that_the_caller_has_begun_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    own = wandb.init(dir=tmp_path, name="mine")
    run(tmp_path / "run", WandB(2), steps=2)
    assert wandb.run is own
    own.log({"still": 1})
    assert own.summary["still"] == 1
    own.finish()
