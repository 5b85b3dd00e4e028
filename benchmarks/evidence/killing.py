"""Kill a training with SIGKILL, resume it, and hold what it leaves against an undisturbed run, byte for byte."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

STEPS = 45
EVERY = 7  # batches between two checkpoints
COMMON = f"--log-every 1 --checkpoint-every {EVERY} --sample-every 20 --device cpu --seed 5 --base-width 4"
CYCLEGAN = f"cyclegan --steps {STEPS} --load-size 18 --crop-size 16 --discriminator-width 4 --discriminator-layers 1"
SCALES = 5  # of the pyramid of SinGAN below
SINGAN = f"singan --steps {STEPS // SCALES} --min-size 12 --max-size 22 --scale-factor 0.8"
KINDS: Mapping[str, str] = {
    "resnet": f"{CYCLEGAN} --blocks 1 --dropout 0.3 --pool-size 3 --precision fp32",
    "unet": f"{CYCLEGAN} --generator unet --downs 2 --norm batch --discriminator-norm batch --pool-size 5 "
    "--batch-size 2 --average 0.9 --accumulate 2 --precision fp32",
    "wgan": f"{CYCLEGAN} --blocks 1 --criterion wgan --dropout 0.5 --pool-size 2 --precision bf16",
    "workers": f"{CYCLEGAN} --blocks 1 --pool-size 4 --workers 1 --precision fp32",
}
"""Tiny runs with all that a checkpoint must hold: dropout, pools, running statistics, averages, random penalties."""
STAGED: Mapping[str, str] = {
    "singan": f"{SINGAN} --average 0.9 --precision fp32",
    "singan-reference": f"{SINGAN} --reference --precision bf16",
}
"""Tiny runs with stages, each of which is grown on those before; they train on one photograph."""

#: folders of a run that must never hold half of anything under its own name, and what is under way in them
WRITTEN = {"checkpoints": ".step-*", "model": "**/.*"}

Start = Callable[[Sequence[str], Path], "Running"]


class Running(NamedTuple):
    """A process that trains: ``pid``, ``alive()``, and ``wait()``, which returns its exit code."""

    pid: int
    alive: Callable[[], bool]
    wait: Callable[[], int | None]


class Moment(NamedTuple):
    """When to kill: ``delay`` seconds after batch ``batch``, or when then something in ``writing`` is half written."""

    batch: int
    delay: float = 0.0
    writing: Sequence[str] = ()


class Kill(NamedTuple):
    """What a kill found: batch and checkpoint that were reached, and whether a checkpoint or model was half written."""

    batch: int
    checkpoint: int
    half_written: bool


class Outcome(NamedTuple):
    """What came of a kill: see `Kill`, and what differs in the end."""

    kind: str
    batch: int
    checkpoint: int
    half_written: bool
    differs: Sequence[str]


def by_command(arguments: Sequence[str], log: Path) -> Running:
    """Start the command ``i2i``, as a user does."""
    with log.open("ab") as file:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        command = [str(Path(sys.executable).with_name("i2i")), *arguments]
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
    return Running(process.pid, lambda: process.poll() is None, process.wait)


def by_fork(arguments: Sequence[str], log: Path) -> Running:
    """Start the same in a fork of a process that has imported everything: seconds faster."""
    context = multiprocessing.get_context("forkserver")
    recipes = ["i2i_cyclegan.recipe", "i2i_singan.recipe"]
    context.set_forkserver_preload(["torch._dynamo", "datasets", "i2i.training", *recipes])
    process = context.Process(target=_command, args=(list(arguments), str(log)))
    process.start()
    assert process.pid is not None

    def wait() -> int | None:
        process.join()
        return process.exitcode

    return Running(process.pid, process.is_alive, wait)


def _command(arguments: list[str], log: str) -> None:
    import torch

    from i2i.cli import main

    torch.set_num_threads(1)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.exit(main(arguments))


def write_photographs(folder: Path) -> Path:
    """Write small pictures of noise: five of A, four of B."""
    from PIL import Image

    draws = np.random.default_rng(0)
    for domain, count in (("trainA", 5), ("trainB", 4)):
        (folder / domain).mkdir(parents=True)
        for index in range(count):
            pixels = draws.integers(0, 256, (20, 22, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / domain / f"{index}.png")
    return folder


def train(kind: str, data: Path, out: Path, start: Start, *, changes: str = "") -> Running:
    """Start a training from the beginning; ``changes`` are flags that overrule those of its kind."""
    flags = [*{**KINDS, **STAGED}[kind].split(), *COMMON.split(), *changes.split()]
    read = data / "trainA" / "0.png" if kind in STAGED else data
    return start(["train", *flags, "--data", str(read), "--out", str(out)], out.with_suffix(".log"))


def resume(out: Path, start: Start) -> Running:
    """Go on with a training that was killed."""
    return start(["train", "--resume", "--out", str(out)], out.with_suffix(".log"))


def finish(running: Running, out: Path) -> dict[str, str]:
    """Wait for the end and return what the run leaves: digests by path."""
    code = running.wait()
    if code != 0:
        log = out.with_suffix(".log").read_text(errors="replace")
        raise RuntimeError(f"the training ended with code {code}:\n{log[-2000:]}")
    return left(out)


def left(out: Path) -> dict[str, str]:
    """Return digests of all files but those that hold times or the place of the run."""
    files = {path.relative_to(out): path for path in sorted(out.rglob("*")) if path.is_file()}
    ignored = ("tensorboard", "settings.toml", ".lock")
    return {
        str(name): hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in files.items()
        if name.parts[0] not in ignored
    }


def killed_and_resumed(
    kind: str, data: Path, out: Path, moment: Moment, undisturbed: Mapping[str, str], start: Start, again: Start
) -> Outcome:
    """Kill a training at a moment and resume it to its end."""
    found = kill(train(kind, data, out, start), out, moment)
    files = finish(resume(out, again), out)
    differs = sorted(name for name in {*files, *undisturbed} if files.get(name) != undisturbed.get(name))
    return Outcome(kind, *found, differs)


def kill(running: Running, out: Path, moment: Moment) -> Kill:
    """Kill a training at a moment."""
    _wait_for(moment, out, running)
    os.kill(running.pid, signal.SIGKILL)
    if running.wait() != -signal.SIGKILL:
        raise RuntimeError("the training ended before it could be killed")
    checkpoint = max((int(path.name[5:]) for path in (out / "checkpoints").glob("step-*")), default=0)
    return Kill(last_batch(out), checkpoint, bool(_half_written(out, tuple(WRITTEN))))


def moments(count: int, seed: int) -> list[Moment]:
    """Draw moments between the first batch and the last but a few; every third when a file is half written."""
    draws = random.Random(seed)
    drawn = [(draws.randrange(1, STEPS - EVERY - 1), draws.random() * 0.1) for _ in range(count)]
    return [Moment(*each, tuple(WRITTEN) if index % 3 == 1 else ()) for index, each in enumerate(drawn)]


def moments_in_stages(seed: int) -> list[Moment]:
    """Draw moments of a run with stages: one within each, then two for each but the last, within it and at its end.

    At the end of a stage a picture, a checkpoint and a model are made, and then the nets of the next stage.
    """
    draws, length = random.Random(seed), STEPS // SCALES
    checkpoint, model = WRITTEN
    within = [Moment(k * length + draws.randrange(1, length - 3), draws.random() * 0.02) for k in range(SCALES)]
    written = [
        Moment(k * length + draws.randrange(1, length - 3), writing=(half,))
        for k, half in enumerate((checkpoint, checkpoint, model, model))
    ]
    ends = [
        Moment((k + 1) * length, draws.random() * 0.2, halves)
        for k, halves in enumerate(((checkpoint,), (), (model,), ()))
    ]
    return within + written + ends


def last_batch(out: Path) -> int:
    """Return the batch of the last whole line of metrics; 0 where there is none."""
    path = out / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    record: dict[str, Any] = json.loads(lines[-1]) if lines else {"batch": 0}
    return int(record["batch"])


def _half_written(out: Path, folders: Sequence[str]) -> list[Path]:
    """Return what is under way: hidden files and folders beside the checkpoints and the models."""
    return [path for folder in folders for path in (out / folder).glob(WRITTEN[folder])]


def _wait_for(moment: Moment, out: Path, running: Running) -> None:
    while last_batch(out) < moment.batch:
        _check_alive(running)
        time.sleep(0.001)
    if not moment.writing:
        time.sleep(moment.delay)
        return
    while not (_half_written(out, moment.writing) and _stopped_while_writing(running, out, moment.writing)):
        _check_alive(running)


def _stopped_while_writing(running: Running, out: Path, folders: Sequence[str]) -> bool:
    """Halt the process and look again: it may have ended its writing before we could kill it."""
    os.kill(running.pid, signal.SIGSTOP)
    time.sleep(0.001)
    if _half_written(out, folders):
        return True
    os.kill(running.pid, signal.SIGCONT)
    return False


def _check_alive(running: Running) -> None:
    if not running.alive():
        raise RuntimeError("the training ended before it could be killed")
