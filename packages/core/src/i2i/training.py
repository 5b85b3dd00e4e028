"""Train a registered recipe into a run folder: what ``i2i train`` and the demos do."""

from __future__ import annotations

import importlib.util
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from i2i.checkpoint import latest
from i2i.course import Course
from i2i.devices import usable_device
from i2i.engine import Run, fit, locked
from i2i.entries import RecipeEntry
from i2i.errors import DataError, RunError, SettingsError
from i2i.headroom import Planned, disk_line, memory_line
from i2i.net import place
from i2i.observers import Checkpoints, JsonLines, Progress, Samples, TensorBoard
from i2i.policy import Policy, Precision, best_precision
from i2i.protocols import Observer
from i2i.recipes import Recipe
from i2i.registry import help_for, observer, part_of, recipe
from i2i.settings import LENGTHS, MAY_DIFFER, RunSettings, check_resumed
from i2i.shortage import IN_TRAINING, memory_suffices
from i2i.toml import changed, read_settings, write_settings
from i2i.validation import validation_of

_UNBEGUN = (".lock", "settings.toml")  # all that a run leaves that stopped before it trained


def train(name: str, settings: Any, run: RunSettings) -> Run:
    """Train recipe ``name``, or go on with it.

    Args:
        name: of a registered recipe.
        settings: an instance of its settings.
        run: ``out`` must be set: a new or empty folder, or with ``resume`` that of a run with the same settings. A run
            that was killed before its first checkpoint begins anew.

    Raises:
        RunError: the folder is in use or not empty, or the run to be resumed has other settings.
        SettingsError: there is no ``out``, or no such device.
    """
    entry = recipe(name)
    out = _out(entry, settings, run)
    device = usable_device(run.device)
    precision: Precision = best_precision(device) if run.precision == "auto" else run.precision
    policy = Policy(
        precision=precision,
        accumulate=run.accumulate,
        average=run.average,
        guarded=run.guarded,
        graphed=run.graphed,
    )
    built = entry.build(settings, run)
    _seed(run.seed)
    nets, data = built.nets(), built.data()
    # Reads the preview batch and some that are held out: bad data are found before anything is written.
    watching = _observers(name, built, run, device, nets)
    chosen = f"{precision} (auto)" if run.precision == "auto" else precision
    with locked(out):
        # Once more: another run may have begun there meanwhile. And stages are as long as they were begun.
        _out(entry, settings, run, staged=len(built.stages) > 1)
        trained = _trained(out, built.length) if run.resume else 0
        write_settings(out / "settings.toml", entry.name, run, settings)
        if trained == built.length:
            more = "" if len(built.stages) > 1 else "; for more: --steps N"
            print(f"{out} is already at {trained} of {trained} batches{more}", flush=True)
        else:
            print(f"training {name} on {device} in {chosen}: {out}", flush=True)
            planned = Planned(entry, settings, run, built, nets, policy, device)
            print(memory_line(planned), flush=True)
            if line := disk_line(planned, out):
                print(line, flush=True)
        try:
            ended = fit(
                built.step,
                nets,
                data,
                steps=built.length,
                policy=policy,
                observers=watching,
                out=out,
                resume=trained > 0,
                device=device,
            )
        except DataError as error:
            raise _with_way_on(error, out, skip_bad=run.skip_bad) from error
        except (KeyboardInterrupt, SystemExit):
            print(f"stopped; go on with: i2i train --resume --out {out}", file=sys.stderr)
            raise
    if trained < built.length:
        _say_what_next(ended, built, out)
    return ended


def _with_way_on(error: DataError, out: Path, *, skip_bad: bool) -> DataError:
    """Return an error of the data that ended a run, with the command that goes on from what it had trained, if any."""
    saved = latest(out)
    if saved is None:  # the folder is as good as new: the same command begins anew in it
        return error
    flags = "--resume" if skip_bad else "--resume --skip-bad"
    return DataError(f"{error}; {saved[0]} batches are saved, go on with: i2i train {flags} --out {out}")


def _say_what_next(ended: Run, built: Recipe, out: Path) -> None:
    models = built.models(ended.average)
    if not models:
        return
    folders = ", ".join(str(Path(out, "model", name)) for name in models)
    of_others = [net for net in models.values() if getattr(net, "takes", None)]
    use = f"i2i translate {out} IMAGES --out DIR"
    if of_others:  # of noise, of label maps
        use = f"{help_for(part_of(of_others[0]))} lists what it can make"
    print(f"saved for use: {folders}; {use}", flush=True)


def _out(entry: RecipeEntry, settings: Any, run: RunSettings, *, staged: bool = False) -> Path:
    """Return the run's folder after checking that this run may use it."""
    if run.out is None:
        raise SettingsError("where to? name the folder of the run: --out RUN")
    if run.out.is_file():
        raise RunError(f"{run.out} is a file, not a folder; choose another --out")
    path = run.out / "settings.toml"
    if not run.resume:
        if run.out.is_dir() and any(file.name not in _UNBEGUN for file in run.out.iterdir()):
            raise RunError(f"{run.out} is not empty; choose another --out, or go on with the run in it: --resume")
        return run.out
    if not path.is_file():
        raise RunError(
            f"{run.out} is no run to resume (it has no settings.toml); leave --resume out to begin one there"
        )
    document = read_settings(path)
    if document.recipe != entry.name:
        raise RunError(f"{run.out} is a run of {document.recipe!r}, not of {entry.name!r}; choose another --out")
    before = changed(RunSettings(), document.run, f"{path}: [run]")
    saved = before, changed(entry.settings()(), document.settings, f"{path}: [settings]")
    check_resumed(saved, (run, settings), may_differ=MAY_DIFFER - LENGTHS if staged else MAY_DIFFER)
    return run.out


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)


def _observers(name: str, built: Recipe, run: RunSettings, device: torch.device, nets: Any) -> Sequence[Observer]:
    # Reading metrics off the CPU costs nothing; off another device it would stall each batch.
    progress = Progress(1 if device.type == "cpu" else 10, built.stages)
    ends = Course(built.stages).ends
    observers: list[Observer] = [progress, JsonLines(run.log_every)]
    if importlib.util.find_spec("tensorboard"):
        observers.append(TensorBoard(run.log_every))
    samples = Samples(built.preview, built.preview_batch(), run.sample_every, ends) if run.sample_every else None
    if samples is not None:
        observers.append(samples)
    observers += [observer(name).build(run) for name in run.observers]
    curves: list[Any] = [each for each in observers if hasattr(each, "draw")]
    validation = validation_of(name, built, run, samples=samples, curves=curves)
    if validation is not None:
        if nets is not None:  # a staged step has none yet
            with memory_suffices(IN_TRAINING, lambda: f"a first validation on {device}"):
                place(nets, device, channels_last=False)
                validation.measure(nets, rehearsal=True)
        observers.append(validation)
    checkpoints = Checkpoints(
        run.checkpoint_every,
        built.models,
        samples=samples,
        keep_last=run.keep_last,
        keep_every=run.keep_every,
        kept=tuple if validation is None else validation.kept,
        also=ends,
    )
    return [*observers, checkpoints]


def _trained(out: Path, length: int) -> int:
    """Return how many batches the last checkpoint has behind it; 0 where there is none to go on from.

    Raises:
        SettingsError: the run shall be shorter than what is trained already.
    """
    found = latest(out)
    if found is not None and found[0] > length:
        raise SettingsError(
            f"{out} has {found[0]} batches behind it, more than the {length} asked for; take more steps"
        )
    return 0 if found is None else found[0]
