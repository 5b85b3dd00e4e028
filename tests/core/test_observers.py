from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from i2i.course import Span
from i2i.engine import Run, fit
from i2i.errors import RunError, SettingsError
from i2i.observers import Checkpoints, JsonLines, Progress, Samples, TensorBoard, evaluating
from i2i.policy import Policy
from i2i.protocols import Observer, Seen
from i2i.step import Step, player


class One(NamedTuple):
    G: Any


def make_nets() -> One:
    torch.manual_seed(0)
    random.seed(0)
    return One(nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Conv2d(3, 3, 1)))


def loss(n: One, x: Tensor) -> Mapping[str, Tensor]:
    return {"l2": n.G(x).square().mean(), "l1": n.G(x).abs().mean() * random.random()}


def run(*observers: Observer, steps: int = 6, out: Path | None = None, average: float | None = None) -> Run:
    step: Step[One, Tensor] = player(lambda n: n.G, loss, torch.optim.Adam, weights={"l2": 1, "l1": 2}, lr=0.1)
    data = list(torch.randn(2, 3, 3, 8, 8, generator=torch.Generator().manual_seed(1)))
    policy = Policy(average=average)
    return fit(step, make_nets(), data, steps=steps, policy=policy, observers=observers, out=out, device="cpu")


def seen(batches: int, out: Path | None, **metrics: float) -> Seen:
    nets = make_nets()
    return Seen(batches, 100, metrics, nets, nets, torch.zeros(1), out, lambda: None)


@pytest.mark.parametrize("kind", [Progress, JsonLines, TensorBoard, Checkpoints])
def test_an_interval_must_be_positive(kind: Callable[[int], Observer]) -> None:
    with pytest.raises(SettingsError, match="^an observer is due every 0 batches; it must be 1 or more$"):
        kind(0)


@pytest.mark.parametrize("observer", [JsonLines(), TensorBoard(), Samples(lambda n, x: {}, None), Checkpoints()])
def test_what_writes_files_needs_a_folder(observer: Observer) -> None:
    with pytest.raises(RunError, match=r"needs out=\.\.\., a folder for the run$"):
        observer(seen(1, None))


# --- metrics.jsonl ----------------------------------------------------------------------------------------------------


def test_json_lines_hold_the_exact_metrics_and_no_times(tmp_path: Path) -> None:
    expected: list[dict[str, Any]] = []

    class Watch:
        every = 2

        def __call__(self, seen: Seen) -> None:
            expected.append({"batch": seen.batches, **seen.metrics})

    run(JsonLines(2), Watch(), steps=5, out=tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows == expected
    assert [list(row) for row in rows] == [["batch", "l2", "l1", "total"]] * 3
    assert [row["batch"] for row in rows] == [2, 4, 5]
    for row in rows:
        assert row["total"] == pytest.approx(row["l2"] + 2 * row["l1"], rel=1e-6)


def test_json_lines_drop_what_comes_again_and_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    rows = [f'{{"batch": {batch}, "x": 0.1}}\n' for batch in (5, 10, 15, 20)]
    for torn in ('{"batch": 25, "x', '{"x": 1}\n', "null\n"):
        path.write_text("".join(rows) + torn)
        observer = JsonLines(5)
        observer(seen(15, tmp_path, x=0.25))
        assert path.read_text() == rows[0] + rows[1] + '{"batch": 15, "x": 0.25}\n'
        observer(seen(20, tmp_path, x=0.5))
        assert path.read_text() == rows[0] + rows[1] + '{"batch": 15, "x": 0.25}\n{"batch": 20, "x": 0.5}\n'
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.jsonl"]


# --- curves and progress ----------------------------------------------------------------------------------------------


def test_progress_shows_terms_without_totals_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(10)
    progress(seen(90, None, **{"g/adv": 0.123456, "g/total": 7.0}))
    progress(seen(100, None, **{"g/adv": 0.25, "g/total": 7.0}))
    progress.close()
    out, err = capsys.readouterr()
    assert out == ""
    assert "90/100" in err
    assert "100/100" in err
    assert "g/adv=0.25" in err
    assert "total" not in err


def test_progress_of_stages_says_which_and_weighs_them_by_their_work(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(10, [Span(20, 1.0, "scale"), Span(80, 2.25, "scale")])  # 20 and 180 of work
    progress(seen(20, None, **{"g/adv": 0.5}))
    progress(seen(60, None, **{"g/adv": 0.25, "g/total": 7.0}))
    progress(seen(100, None, **{"g/adv": 0.125}))
    progress.close()
    first, *_, last = capsys.readouterr().err.strip().split("\r")
    assert first.startswith("scale 1/2, batch 20/20:  10%|")
    assert first.endswith("<?]")
    assert last.startswith("scale 2/2, batch 80/80: 100%|")
    assert last.endswith("<00:00, g/adv=0.125]")


def test_time_left_counts_work_and_not_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    progress = Progress(1, [Span(10, 1.0), Span(10, 9.0)])
    progress(seen(0, None)._replace(length=20))
    bar = progress._bar
    clock = bar.start_t
    monkeypatch.setattr(bar, "_time", lambda: clock)
    for batches in range(1, 11):  # ten batches in ten seconds: a tenth of the work
        clock += 1
        progress(seen(batches, None)._replace(length=20))
    told = bar.format_dict
    assert (told["total"] - told["n"]) / told["rate"] == pytest.approx(90, rel=1e-6)
    progress.close()


def test_tensorboard_curves(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    writer = TensorBoard(1)
    for batches, value in ((1, 0.5), (2, 0.25)):
        writer(seen(batches, tmp_path, x=value))
    writer.close()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("x")] == [(1, 0.5), (2, 0.25)]


# --- samples ----------------------------------------------------------------------------------------------------------


def translate(nets: One, x: Tensor) -> dict[str, Tensor]:
    """Draws random numbers, which a preview should not."""
    assert not torch.is_grad_enabled()
    random.random()
    return {"input": x, "output": nets.G(x + 0 * torch.randn_like(x))}


def test_samples_are_a_grid_of_the_fixed_batch_by_the_nets_to_be_used(tmp_path: Path) -> None:
    batch = torch.linspace(-1, 1, 2 * 3 * 8 * 8).view(2, 3, 8, 8)
    found = run(Samples(translate, batch, every=4), steps=6, out=tmp_path, average=0.5)
    files = sorted((tmp_path / "samples").iterdir())
    assert [file.name for file in files] == ["batch-0000004.png", "batch-0000006.png"]
    sheet = np.asarray(Image.open(files[1]))
    with torch.no_grad():
        output = found.average.G.eval()(batch)
    for column, images in enumerate((batch, output)):
        for row, image in enumerate(images):
            expected = ((image.clamp(-1, 1) + 1) * 127.5).round().permute(1, 2, 0).numpy().astype(np.uint8)
            top, left = 14 + row * 98, 2 + column * 98
            np.testing.assert_array_equal(sheet[top : top + 96, left : left + 96][::12, ::12], expected)


def test_observers_are_called_at_further_batches_too(tmp_path: Path) -> None:
    batch = torch.zeros(1, 3, 8, 8)
    samples = Samples(translate, batch, every=4, also=(3, 5))
    run(samples, Checkpoints(4, keep_last=9, also=(3, 5)), steps=6, out=tmp_path)
    assert sorted(int(file.stem.split("-")[1]) for file in (tmp_path / "samples").iterdir()) == [3, 4, 5, 6]
    assert sorted(int(file.name.split("-")[1]) for file in (tmp_path / "checkpoints").iterdir()) == [3, 4, 5, 6]


def test_samples_disturb_nothing(tmp_path: Path) -> None:
    calm, watched = run(), run(Samples(translate, torch.zeros(1, 3, 8, 8), every=1), out=tmp_path)
    for found, expected in zip(watched.nets, calm.nets, strict=True):
        torch.testing.assert_close(found.state_dict(), expected.state_dict(), rtol=0, atol=0)
        assert found.training
    state = random.getstate(), torch.get_rng_state()
    run()
    assert random.getstate() == state[0]
    assert torch.equal(torch.get_rng_state(), state[1])


def test_evaluating_gives_back_modes_and_random_numbers_also_after_an_error() -> None:
    nets = make_nets()
    nets.G[1].eval()
    modes = [module.training for module in nets.G.modules()]
    states = random.getstate(), torch.get_rng_state()

    def fail() -> None:
        with evaluating(nets):
            assert not any(module.training for module in nets.G.modules())
            assert not torch.is_grad_enabled()
            random.random()
            torch.rand(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [module.training for module in nets.G.modules()] == modes
    assert torch.is_grad_enabled()
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])


# --- checkpoints ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keep_last", "keep_every", "left"), [(1, None, [7]), (2, None, [6, 7]), (1, 3, [3, 6, 7]), (2, 4, [4, 6, 7])]
)
def test_the_last_and_every_so_many_are_kept(
    keep_last: int, keep_every: int | None, left: list[int], tmp_path: Path
) -> None:
    run(Checkpoints(1, keep_last=keep_last, keep_every=keep_every), steps=7, out=tmp_path)
    assert sorted(int(path.name[5:]) for path in (tmp_path / "checkpoints").iterdir()) == left


def test_one_must_be_kept() -> None:
    with pytest.raises(SettingsError, match=r"^keep_last \(=0\) must be 1 or more: a run needs a checkpoint"):
        Checkpoints(keep_last=0)


@pytest.mark.parametrize(("name", "folder"), [("a2b", "model/a2b"), ("", "model")])
def test_what_is_saved_for_use_is_the_average(name: str, folder: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    with pytest.warns(UserWarning, match="saved the weights only"):
        found = run(Checkpoints(6, lambda nets: {name: nets.G}), out=tmp_path, average=0.5)
    saved = load_file(tmp_path / folder / "model.safetensors")
    torch.testing.assert_close(saved, dict(found.average.G.state_dict()), rtol=0, atol=0)
    assert not torch.equal(saved["0.weight"], found.nets.G[0].weight)


def test_others_write_before_a_checkpoint_is_taken(tmp_path: Path) -> None:
    order: list[str] = []

    class Late:
        every = 1

        def __call__(self, seen: Seen) -> None:
            order.append("late")

    class Noting(Checkpoints):
        def __call__(self, seen: Seen) -> None:
            order.append("checkpoint")

    run(Noting(1), Late(), steps=2, out=tmp_path)
    assert order == ["late", "checkpoint"] * 2
