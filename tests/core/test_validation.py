from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from i2i.combine import alternate, repeat
from i2i.engine import Run, fit
from i2i.errors import CompositionError, DataError, I2IError, OutOfMemoryError, RunError, SettingsError
from i2i.models import load
from i2i.observers import Checkpoints, TensorBoard
from i2i.policy import Policy
from i2i.protocols import Observer, Seen
from i2i.recipes import Evaluation
from i2i.registry import recipe
from i2i.schedules import Plateau
from i2i.settings import RunSettings
from i2i.step import Step, player
from i2i.training import train
from i2i.validation import Validation, distinct
from i2i.values import Pair

X = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
HELD_OUT = [X[:3], X[3:]]


class Nets(NamedTuple):
    G: nn.Module


def make_nets() -> Nets:
    """``G(x) = w x`` with ``w`` from 0 on, and dropout, which must be off in validation."""
    random.seed(0)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.Dropout(0.5))
    nn.init.zeros_(net[0].weight)  # type: ignore[arg-type]
    return Nets(net)


def weight(net: nn.Module) -> float:
    return next(net.parameters()).item()


def make_step(lr: Any, moves: int = 1) -> Step[Nets, Tensor]:
    """Each move adds the learning rate to ``w``."""

    def loss(n: Nets, x: Tensor) -> dict[str, Tensor]:
        return {"w": -n.G.get_parameter("0.weight").sum()}

    return alternate(g=repeat(moves, player(lambda n: n.G, loss, torch.optim.SGD, weights={"w": 1}, lr=lr)))


def paired(nets: Nets, batch: Tensor) -> Mapping[str, tuple[Tensor, Tensor]]:
    """What is made should be 0.5 x, back and forth; draws random numbers, which it should not."""
    assert not torch.is_grad_enabled()
    random.random()
    torch.rand(1)
    return {"a2b": (nets.G(batch), 0.5 * batch), "b2a": (0.5 * nets.G(batch), batch)}


def evaluation(*plateaus: Plateau, **changes: Any) -> Evaluation:
    given = {"batches": lambda: HELD_OUT, "results": paired, "paired": True, "plateaus": plateaus, **changes}
    return Evaluation(**given)


def make_validation(*plateaus: Plateau, every: int = 1, curves: Sequence[Any] = (), **changes: Any) -> Validation:
    extractor = changes.pop("extractor", None)
    chosen = evaluation(*plateaus, **changes)
    return Validation(chosen, every, models=lambda nets: {"": nets.G}, curves=curves, extractor=extractor)


def run(out: Path | None, validation: Validation | None, *others: Observer, lr: Any = 0.1, **options: Any) -> Run:
    observers = [*others] if validation is None else [*others, validation]
    given = {"steps": 9, "policy": Policy(accumulate=2), "device": "cpu", **options}
    moves = given.pop("moves", 1)
    data = [X[:2], X[2:]]
    return fit(make_step(lr, moves), make_nets(), data, observers=observers, out=out, **given)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "validation.jsonl").read_text().splitlines()]


def psnr_of(w: float) -> tuple[float, float]:
    """Mean over images of both directions, from the formula."""
    forth, back = [], []
    for image in X.double().numpy():
        forth.append(10 * np.log10(4 / np.mean((w * image - 0.5 * image) ** 2)))
        back.append(10 * np.log10(4 / np.mean((0.5 * w * image - image) ** 2)))
    return float(np.mean(forth)), float(np.mean(back))


quiet = pytest.mark.filterwarnings("ignore:saved the weights only")


# --- what is measured -------------------------------------------------------------------------------------------------


@quiet
def test_figures_of_pairs_are_those_of_the_averages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, make_validation(every=4), policy=Policy(average=0.5))
    average, w, expected = 0.0, 0.0, {}
    for batch in range(1, 10):
        w += 0.1
        average = 0.5 * average + 0.5 * w
        expected[batch] = psnr_of(average)
    found = rows(tmp_path)
    assert [list(row) for row in found] == [
        ["batch", "a2b/psnr", "a2b/ssim", "b2a/psnr", "b2a/ssim", "psnr", "best"]
    ] * 3
    assert [row["batch"] for row in found] == [4, 8, 9]  # the last batch too
    for row in found:
        forth, back = expected[row["batch"]]
        assert (row["a2b/psnr"], row["b2a/psnr"]) == pytest.approx((forth, back), rel=1e-4)
        assert row["psnr"] == pytest.approx((forth + back) / 2, rel=1e-4)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 3
    assert said[0].startswith(f"validation at batch 4: a2b/psnr {expected[4][0]:.4g}, a2b/ssim ")


@quiet
def test_validation_disturbs_nothing(tmp_path: Path) -> None:
    class Draws:
        every = 1

        def __init__(self) -> None:
            self.drawn: list[Any] = []

        def __call__(self, seen: Seen) -> None:
            self.drawn.append((random.random(), torch.rand(1).item(), seen.nets.G.training))

    draws = Draws(), Draws()
    calm, watched = run(None, None, draws[0]), run(tmp_path, make_validation(), draws[1])
    assert weight(calm.nets.G) == weight(watched.nets.G)
    assert draws[0].drawn == draws[1].drawn
    assert watched.nets.G.training


class Levels(nn.Module):
    """Two features of an image: its mean and its highest level."""

    def forward(self, images: Tensor) -> Tensor:
        assert images.shape[1] == 3
        return torch.stack((images.mean((1, 2, 3)), images.amax((1, 2, 3))), 1)


def unpaired(nets: Nets, batch: Pair) -> Mapping[str, tuple[Tensor, Tensor]]:
    return {"a2b": (nets.G(batch.a) if len(batch.a) else batch.a, batch.b)}


@quiet
def test_unpaired_images_are_compared_as_sets(tmp_path: Path) -> None:
    """Three images of A, five of B; the three come again, as they do in our data, and count once."""
    b = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    batches = [Pair(X[[0, 1]], b[:2]), Pair(X[[2, 0]], b[2:4]), Pair(X[[1]], b[4:])]
    watch = make_validation(
        every=9, results=unpaired, paired=False, extractor=Levels(), batches=lambda: distinct(batches)
    )
    run(tmp_path, watch)
    made = 0.9 * X[:3]

    def of(images: Tensor) -> np.ndarray[Any, Any]:
        return np.stack([images.double().mean((1, 2, 3)).numpy(), images.double().amax((1, 2, 3)).numpy()], 1)

    x, y = of(made), of(b)
    kernels = [(one @ other.T / 2 + 1) ** 3 for one, other in ((x, x), (y, y), (x, y))]
    within = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in kernels[:2]]
    expected = within[0] + within[1] - 2 * kernels[2].mean()
    (row,) = rows(tmp_path)
    assert (row["a2b/distance"], row["distance"]) == pytest.approx((expected, expected), rel=1e-4)
    assert [len(side) for batch in distinct(batches) for side in batch] == [2, 2, 1, 2, 0, 1]


def test_every_pass_is_over_all_batches() -> None:
    """Data that go on where the last pass ended are wound back, also after a rehearsal."""

    class Going:
        position = 0

        def __iter__(self) -> Iterator[Tensor]:
            for batch in HELD_OUT[self.position % 2 :]:
                self.position += 1
                yield batch

        def state_dict(self) -> dict[str, int]:
            return {"position": self.position}

        def load_state_dict(self, state: Mapping[str, int]) -> None:
            self.position = state["position"]

    going = Going()
    watch = make_validation(batches=lambda: going)
    whole = make_validation().measure(make_nets())
    assert watch.measure(make_nets(), rehearsal=True) != whole
    assert watch.measure(make_nets()) == whole == watch.measure(make_nets())


@quiet
def test_stages_are_validated(tmp_path: Path) -> None:
    from i2i.stages import Stage, staged

    def grow(k: int, finished: Any) -> Stage:
        return Stage(make_nets(), make_step(0.1))

    watch = make_validation(every=3, results=lambda nets, batch: paired(nets.current, batch))
    watch._models = lambda nets: {"": nets.current.G}
    fit(staged(grow, [2, 2]), None, [X], observers=[watch], out=tmp_path, device="cpu")
    assert [row["psnr"] for row in rows(tmp_path)] == pytest.approx([np.mean(psnr_of(w)) for w in (0.1, 0.2)], rel=1e-4)


@quiet
def test_curves(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    curves = TensorBoard(3)
    run(tmp_path, make_validation(every=4, curves=[curves]), curves, steps=6)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert {tag for tag in events.Tags()["scalars"] if tag.startswith("validation/")} == {
        f"validation/{name}" for name in ("a2b/psnr", "a2b/ssim", "b2a/psnr", "b2a/ssim", "psnr")
    }
    found = [(event.step, event.value) for event in events.Scalars("validation/psnr")]
    assert found == [(row["batch"], pytest.approx(row["psnr"])) for row in rows(tmp_path)]
    assert [event.step for event in events.Scalars("g/w")] == [3, 6]


# --- the best ---------------------------------------------------------------------------------------------------------


def forth(nets: Nets, batch: Tensor) -> Mapping[str, tuple[Tensor, Tensor]]:
    """Best where ``w`` is 0.5: after batch 5 at a rate of 0.1."""
    return {"": (nets.G(batch), 0.5 * batch)}


@quiet
@pytest.mark.parametrize(("every", "best"), [(1, 5), (3, 6), (4, 4)])
def test_the_best_models_and_their_checkpoint_are_kept(every: int, best: int, tmp_path: Path) -> None:
    watch = make_validation(every=every, results=forth)
    run(tmp_path, watch, Checkpoints(2, keep_last=1, kept=watch.kept))
    found = [row for row in rows(tmp_path) if row["best"]]
    assert found[-1]["batch"] == best
    assert list(found[-1]) == ["batch", "psnr", "ssim", "best"]  # one direction without a name
    assert weight(load(tmp_path / "best", into=make_nets().G)) == pytest.approx(best / 10)
    kept = {int(path.name[5:]) for path in (tmp_path / "checkpoints").iterdir()}
    assert kept == {best, 9}


@quiet
def test_checkpoints_of_former_bests_do_not_pile_up(tmp_path: Path) -> None:
    """Each of batches 1 to 4 is the best so far, long before the first of the regular checkpoints."""
    left: list[set[str]] = []

    class Look:
        every = 1

        def __call__(self, seen: Seen) -> None:
            left.append({path.name for path in (tmp_path / "checkpoints").glob("*")})

    watch = make_validation(results=forth)
    run(tmp_path, watch, Look(), Checkpoints(100, keep_last=2, kept=watch.kept), steps=5)
    assert left == [set(), {"step-1"}, {"step-1", "step-2"}, {"step-2", "step-3"}, {"step-3", "step-4"}]


@quiet
def test_a_figure_that_is_no_number_is_never_the_best(tmp_path: Path) -> None:
    def broken(nets: Nets, batch: Tensor) -> Mapping[str, tuple[Tensor, Tensor]]:
        return {"": (nets.G(batch) * (float("nan") if weight(nets.G) < 0.32 else 1), 0.5 * batch)}

    rate = Plateau(0.1, patience=2, factor=0.5, higher_is_better=True)
    run(tmp_path, make_validation(rate, results=broken), lr=rate, steps=5)
    found = rows(tmp_path)
    assert [row["best"] for row in found] == [False, False, False, True, True]  # 0.1 0.2 0.3 0.35 0.4
    assert weight(load(tmp_path / "best", into=make_nets().G)) == pytest.approx(0.4)


# --- plateaus and resuming --------------------------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize(("moves", "policy"), [(1, Policy()), (2, Policy(accumulate=2, average=0.6))])
def test_a_plateau_follows_the_figures(moves: int, policy: Policy, tmp_path: Path) -> None:
    """Held against torch's own, which sees the same formula."""
    rate = Plateau(0.1, patience=1, factor=0.3, threshold=0.02, higher_is_better=True)
    found = run(tmp_path, make_validation(rate, results=forth), lr=rate, moves=moves, policy=policy, steps=14)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", 0.3, 1, 0.02)
    w, average = 0.0, 0.0
    for _ in range(14):
        w += moves * optimizer.param_groups[0]["lr"]
        average = w if policy.average is None else policy.average * average + (1 - policy.average) * w
        plateau.step(psnr_of(average)[0] if abs(average - 0.5) > 1e-6 else 100)
    assert weight(found.nets.G) == pytest.approx(w, rel=1e-5)
    assert weight(found.average.G) == pytest.approx(average, rel=1e-5)
    assert rate(0) == pytest.approx(optimizer.param_groups[0]["lr"])
    assert rate(0) < 0.05


class Stop:
    """Interrupts the run after a batch, as Ctrl-C does."""

    every = 1

    def __init__(self, batch: int) -> None:
        self.batch = batch

    def __call__(self, seen: Seen) -> None:
        if seen.batches == self.batch:
            import signal

            signal.raise_signal(signal.SIGINT)


def whole_run(out: Path, *, stop: int | None = None, resume: bool = False) -> Run:
    rate = Plateau(0.1, patience=1, factor=0.3, threshold=0.02, higher_is_better=True)
    watch = make_validation(rate, every=2, results=forth)
    keeping = Checkpoints(3, keep_last=2, kept=watch.kept)
    others = [keeping] if stop is None else [keeping, Stop(stop)]
    return run(out, watch, *others, lr=rate, policy=Policy(average=0.6), steps=15, resume=resume)


def left(folder: Path) -> dict[str, bytes]:
    names = [folder / "validation.jsonl", *folder.glob("best/*"), *folder.glob("checkpoints/step-15/*")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in names}


@quiet
def test_a_resumed_run_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    whole_run(tmp_path / "whole")
    expected = left(tmp_path / "whole")
    assert "best/model.safetensors" in expected
    assert "checkpoints/step-15/state.json" in expected
    for stop in (1, 7, 12):
        folder = tmp_path / str(stop)
        with pytest.raises(KeyboardInterrupt):
            whole_run(folder, stop=stop)
        whole_run(folder, resume=True)
        assert left(folder) == expected, stop


@quiet
def test_rows_and_best_models_beyond_the_last_checkpoint_come_again(tmp_path: Path) -> None:
    """As after kill -9: what was validated since the last checkpoint is there, but no checkpoint knows of it."""
    whole_run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        whole_run(tmp_path / "killed", stop=3)
    (tmp_path / "killed" / "validation.jsonl").write_bytes((tmp_path / "whole" / "validation.jsonl").read_bytes())
    whole_run(tmp_path / "killed", resume=True)
    assert left(tmp_path / "killed") == left(tmp_path / "whole")


@quiet
def test_a_validation_that_is_new_in_a_resumed_run(tmp_path: Path) -> None:
    run(tmp_path, None, steps=4)
    run(tmp_path, make_validation(every=3), steps=9, resume=True)
    assert [row["batch"] for row in rows(tmp_path)] == [6, 9]


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: make_validation(every=0), SettingsError, r"validate_every \(=0\) must be 1 or more"),
        (lambda: make_validation(batches=lambda: None), DataError, "testA and testB .*--held-out-a .*--held-out-split"),
        (lambda: make_validation(paired=False), SettingsError, "--extractor resnet50 .*package.module:function"),
        (lambda: make_validation(extractor=Levels()), SettingsError, "by PSNR and SSIM; leave --extractor out"),
        (lambda: make_validation(Plateau(0.1)), CompositionError, "wrong side; it needs higher_is_better=True"),
        (lambda: make_validation(batches=list).measure(make_nets()), DataError, "held-out data have no batches"),
    ],
)
def test_refused(make: Callable[[], Any], kind: type[I2IError], message: str) -> None:
    with pytest.raises(kind, match=message):
        make()


PLUGIN = """
import i2i
@i2i.hookimpl
def register_recipes(register): register("judged", "judged_code:Settings", "judged_code:build")
"""
CODE = """
import attrs, torch
from torch import nn
import i2i
from i2i.recipes import Evaluation

@attrs.frozen
class Settings:
    steps: int = 4
    size: int = 8
    evaluated: bool = True
    held_out: bool = True
    paired: bool = True

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)
    def forward(self, image):
        return i2i.Translation(self.layer(image))

class Mean(nn.Module):
    def forward(self, images):
        return images.mean((2, 3))

class Greedy(nn.Module):
    def forward(self, images):
        return torch.empty(2**50)

def make_mean():
    torch.rand(7)  # to make a net draws random numbers
    return Mean()

def build(settings, run):
    torch.manual_seed(1)
    held = torch.rand(4, 3, settings.size, settings.size)
    step = i2i.player(lambda n: n.G, lambda n, x: {"size": n.G(x.image).image.square().mean() * torch.rand(())},
                      torch.optim.SGD, weights={"size": 1}, lr=0.1)
    batches = [i2i.Single(torch.ones(1, 3, 8, 8))]
    held_out = [i2i.Single(held[:1]), i2i.Single(held[1:])]
    evaluation = Evaluation(batches=lambda: held_out if settings.held_out else None,
                            results=lambda nets, x: {"a2b": (nets.G(x.image).image, x.image)}, paired=settings.paired)
    return i2i.Recipe(nets=lambda: i2i.nets(G=Net()), step=step, data=lambda: batches, length=settings.steps,
                      preview=lambda nets, batch: {"input": batch.image}, models=lambda nets: {"a2b": nets.G},
                      preview_batch=lambda: batches[0], evaluation=evaluation if settings.evaluated else None)
"""


@pytest.fixture
def judged(install: Callable[..., Path]) -> Callable[..., Any]:
    """``judged(folder, run settings, settings...)`` trains a toy recipe that can be validated."""
    install("judged", "x-judged", judged_plugin=PLUGIN, judged_code=CODE)

    def start(out: Path, given: Mapping[str, Any], **settings: Any) -> Any:
        base = {"out": out, "device": "cpu", "precision": "fp32", "validate_every": 2}
        return train("judged", recipe("judged").settings()(**settings), RunSettings(**{**base, **given}))

    return start


@quiet
@pytest.mark.parametrize("extractor", [None, "judged_code:make_mean"])
def test_a_run_is_validated(extractor: str | None, judged: Callable[..., Any], tmp_path: Path) -> None:
    plain = judged(tmp_path / "plain", {"validate_every": 0})
    found = judged(tmp_path / "run", {"extractor": extractor, "keep_last": 1}, paired=extractor is None)
    assert [row["batch"] for row in rows(tmp_path / "run")] == [2, 4]
    assert ("a2b/psnr" in rows(tmp_path / "run")[0]) is (extractor is None)
    assert (tmp_path / "run" / "best" / "a2b" / "model.safetensors").is_file()
    assert found.nets.G.layer.weight.equal(plain.nets.G.layer.weight)
    assert not (tmp_path / "plain" / "validation.jsonl").exists()
    best = [row["batch"] for row in rows(tmp_path / "run") if row["best"]][-1]
    assert (tmp_path / "run" / "checkpoints" / f"step-{best}").is_dir()


NOTE_PLUGIN = """
import i2i
@i2i.hookimpl
def register_observers(register): register("note", "note_code:Note")
"""
NOTE_CODE = """
import json
class Note:
    every = 3
    def __init__(self, run):
        self.out = run.out
    def __call__(self, seen):
        pass
    def draw(self, seen, values):
        with (self.out / "note.jsonl").open("a") as file:
            print(json.dumps({"batch": seen.batches, **values}), file=file)
"""


@quiet
def test_an_observer_of_a_plugin_that_draws_is_told_the_figures(
    install: Callable[..., Path], judged: Callable[..., Any], tmp_path: Path
) -> None:
    install("note", "x-note", note_plugin=NOTE_PLUGIN, note_code=NOTE_CODE)
    judged(tmp_path, {"observers": ("note",)})
    noted = [json.loads(line) for line in (tmp_path / "note.jsonl").read_text().splitlines()]
    assert [row["batch"] for row in noted] == [2, 4]
    assert noted == [
        {"batch": row["batch"], **{f"validation/{name}": row[name] for name in ("a2b/psnr", "a2b/ssim", "psnr")}}
        for row in rows(tmp_path)
    ]


MEAN = {"extractor": "judged_code:make_mean"}


@pytest.mark.parametrize(
    ("given", "settings", "kind", "message"),
    [
        ({}, {"evaluated": False}, SettingsError, "recipe 'judged' has no validation; leave --validate-every out"),
        ({}, {"paired": False}, SettingsError, "--extractor resnet50"),
        (MEAN, {}, SettingsError, "leave --extractor out"),
        ({**MEAN, "validate_every": 0}, {}, SettingsError, r"extractor \(=judged_code:make_mean\) needs --validate-"),
        ({}, {"held_out": False}, DataError, "no held-out images to validate on"),
        ({}, {"size": 5}, DataError, "images of 5 x 5 pixels are too small for SSIM"),
        ({"extractor": "judged_code:Net"}, {"paired": False}, SettingsError, "the extractor returns Translation for"),
    ],
)
def test_mistakes_are_found_before_training(
    given: Any, settings: Any, kind: type[I2IError], message: str, judged: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(kind, match=message):
        judged(tmp_path / "run", given, **settings)
    assert not (tmp_path / "run").exists()


def test_missing_packages_are_found_before_training(
    judged: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics.functional.image", None)
    with pytest.raises(RunError, match=r"pip install 'i2i-core\[metrics\]'"):
        judged(tmp_path / "run", {})
    assert not (tmp_path / "run").exists()


def test_a_validation_that_does_not_fit_into_memory_is_said_in_one_line(
    judged: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(OutOfMemoryError, match="a first validation on cpu: out of memory, .* --crop-size"):
        judged(tmp_path / "run", {"extractor": "judged_code:Greedy"}, paired=False)


@quiet
def test_a_run_with_an_extractor_goes_on_without_validation(judged: Callable[..., Any], tmp_path: Path) -> None:
    judged(tmp_path / "run", MEAN, paired=False)
    assert judged(tmp_path / "run", {**MEAN, "validate_every": 0, "resume": True}, paired=False, steps=5).batches == 5
