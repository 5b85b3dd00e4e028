"""The observer: metrics, figures of validation, sample pictures and settings of a run go to Weights & Biases."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import wandb

from i2i import RunSettings, Seen
from i2i.toml import read_settings

UPLOAD_SECONDS = 300.0  # how long the end of a run waits for what is still to be uploaded, unless W&B is told otherwise


class WandB:
    """Log a run to Weights & Biases (W&B), under the name of its folder; files of W&B lie in ``wandb/`` there.

    A resumed run goes on in the same run of W&B. Where W&B cannot be reached, or nobody is logged in, the run is logged
    into the folder instead, from where ``wandb sync`` uploads it. What W&B raises is said once and ends no training.

    Args:
        every: batches between two points of a curve.
    """

    writes = True
    also = (1,)  # W&B may ask who you are: best while somebody still looks

    def __init__(self, every: int = 50) -> None:
        self.every = every
        self._id, self._known = secrets.token_hex(4), False
        self._pictured = 0  # the batch of the last sample picture that was logged
        self._run: wandb.Run | None = None
        self._broken = self._complete = False

    def __call__(self, seen: Seen) -> None:
        """Log the metrics, and sample pictures that are new."""
        self._complete = seen.batches == seen.length
        self._guarded(lambda: self._log(seen, seen.metrics))

    def draw(self, seen: Seen, values: Mapping[str, float]) -> None:
        """Log what another observer found, such as validation."""
        self._guarded(lambda: self._log(seen, values))

    def close(self) -> None:
        """Tell W&B that the run is over, and whether it is complete."""
        run = self._run
        if run is not None:
            self._guarded(lambda: run.finish(exit_code=0 if self._complete else 1))

    def state_dict(self) -> dict[str, Any]:
        """Return which run of W&B this is, and the last picture that it has."""
        return {"id": self._id, "pictured": self._pictured}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the run of W&B that was saved."""
        self._id, self._pictured, self._known = state["id"], state["pictured"], True

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # no matter what: a training is worth more than its log
            if not self._broken:
                _warn(error, "nothing more is logged, the training goes on")
            self._broken = True

    def _log(self, seen: Seen, values: Mapping[str, float]) -> None:
        if self._broken or seen.out is None:
            return
        if self._run is None:
            self._run = self._begun(seen.out, seen.batches)
        self._run.log({"batch": seen.batches, **values})
        for path in sorted((seen.out / "samples").glob("batch-*.png")):
            batch = int(path.stem.removeprefix("batch-"))
            if self._pictured < batch <= seen.batches:
                self._run.log({"batch": batch, "samples": wandb.Image(path, caption=f"batch {batch}")})
                self._pictured = batch

    def _begun(self, out: Path, batches: int) -> wandb.Run:
        """Begin or go on with the run of W&B, and give it what the folder has from before, if it lacks that."""
        try:
            run = self._init(out)
        except wandb.Error as error:
            _warn(error, f"logged to {out / 'wandb'} instead, from where `wandb sync` uploads it")
            wandb.teardown()  # all that W&B does in this process, or the id counts as taken
            run = self._init(out, mode="offline")
        run.define_metric("batch", hidden=True)
        run.define_metric("*", step_metric="batch")  # not W&B's own step, which can never go back to a checkpoint
        run.config.update(_settings(out), allow_val_change=True)  # type: ignore[no-untyped-call]
        if not run.resumed:
            self._pictured = 0
            for row in _earlier(out, batches):
                run.log(row)
        return run

    def _init(self, out: Path, **mode: Any) -> wandb.Run:
        wait = wandb.setup().settings.finish_timeout or UPLOAD_SECONDS
        return wandb.init(
            id=self._id,
            name=out.resolve().name,
            dir=out,
            resume="allow" if self._known else None,
            reinit="create_new",  # leave a run of W&B alone that the caller may have begun
            settings=wandb.Settings(finish_timeout=wait),
            **mode,
        )


def build(run: RunSettings) -> WandB:
    """Return the observer of ``i2i train ... --observers wandb``."""
    return WandB(run.log_every)


def _settings(out: Path) -> dict[str, Any]:
    """Return the settings of the run as tables; none where it is no run of ``i2i train``."""
    path = out / "settings.toml"
    return dict(read_settings(path)._asdict()) if path.exists() else {}


def _earlier(out: Path, batches: int) -> Iterator[dict[str, Any]]:
    """Yield what the run has written down before ``batches``; a crash may have torn the last line of a file."""
    for name, prefix in (("metrics.jsonl", ""), ("validation.jsonl", "validation/")):
        path = out / name
        for line in path.read_text("utf-8").splitlines() if path.exists() else ():
            try:
                row = json.loads(line)
                batch = row.pop("batch")
            except (ValueError, KeyError):
                continue
            if batch < batches:
                yield {"batch": batch, **{prefix + key: value for key, value in row.items() if key != "best"}}


def _warn(error: Exception, consequence: str) -> None:
    print(f"W&B: {' '.join(str(error).split()) or type(error).__name__}; {consequence}", file=sys.stderr)
