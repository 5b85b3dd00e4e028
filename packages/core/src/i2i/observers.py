"""Observers: what watches a run. Each is called when due, with metrics on the host."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from i2i.checkpoint import prune, restore_rng, rng_state
from i2i.course import Course, Span
from i2i.errors import CompositionError, RunError, SettingsError
from i2i.files import write_file
from i2i.protocols import Observer, Seen
from i2i.step import modules_of
from i2i.tree import tree_map

if TYPE_CHECKING:
    from PIL import Image


class _Due:
    def __init__(self, every: int) -> None:
        if every < 1:
            raise SettingsError(f"an observer is due every {every} batches; it must be 1 or more")
        self.every = every


class _Writer(_Due):
    writes = True


class Progress(_Due):
    """A progress bar on stderr: terms, batches per second, time left.

    Args:
        every: batches between two looks.
        stages: of the run, if it has any: the bar then says which one it is in, and weighs them by their work.
    """

    def __init__(self, every: int = 10, stages: Sequence[Span] = ()) -> None:
        super().__init__(every)
        self._course = Course(stages) if stages else None
        self._bar: Any = None

    def __call__(self, seen: Seen) -> None:
        done: float = seen.batches if self._course is None else self._course.share(seen.batches, of=seen.length)
        stage = None if self._course is None else self._course.told(seen.batches)
        if self._bar is None:
            self._bar = self._begun(seen.length, done, stage)
        self._bar.set_description(stage, refresh=False)
        terms = {name: f"{value:.3g}" for name, value in seen.metrics.items() if not name.endswith("total")}
        self._bar.set_postfix(terms, refresh=False)
        self._bar.update(done - self._bar.n)

    @staticmethod
    def _begun(length: int, done: float, stage: str | None) -> Any:
        from tqdm import tqdm  # type: ignore[import-untyped,unused-ignore]

        pause = 0.1 if sys.stderr.isatty() else 10.0  # seconds between two lines; a log needs few
        if stage is None:
            return tqdm(total=length, initial=done, unit="batch", dynamic_ncols=True, mininterval=pause)
        form = "{l_bar}{bar}| [{elapsed}<{remaining}{postfix}]"
        # miniters=0, or tqdm guesses from the work of one stage when to look at the clock in the next.
        return tqdm(
            total=1.0, initial=done, desc=stage, bar_format=form, dynamic_ncols=True, mininterval=pause, miniters=0
        )

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()


class Rows:
    """A file in the run's folder with one JSON object per line, ``{"batch": 100, ...}``, and no times.

    Rows of a resumed run that lie beyond its checkpoint are dropped when they come again, so that the file ends as
    that of an undisturbed run.

    Args:
        name: of the file.
    """

    def __init__(self, name: str) -> None:
        self._name, self._begun = name, False

    def add(self, seen: Seen, values: Mapping[str, float]) -> None:
        """Write a row, and wait until it lies on the disk."""
        path = _folder(seen) / self._name
        if not self._begun:
            self._drop_from(path, seen.batches)
            self._begun = True
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"batch": seen.batches, **values}) + "\n")
            file.flush()
            os.fsync(file.fileno())  # no checkpoint may outlive the rows before it

    @staticmethod
    def _drop_from(path: Path, batch: int) -> None:
        if not path.exists():
            return
        kept = []
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["batch"] < batch:
                    kept.append(line + "\n")
            except (ValueError, KeyError, TypeError):
                continue  # cut off by a crash
        write_file(path, lambda file: file.write("".join(kept).encode()))


class JsonLines(_Writer):
    """``metrics.jsonl``: the metrics as `Rows`, ``{"batch": 100, "g/adv_a": 0.25, ...}``."""

    def __init__(self, every: int = 10) -> None:
        super().__init__(every)
        self._rows = Rows("metrics.jsonl")

    def __call__(self, seen: Seen) -> None:
        self._rows.add(seen, seen.metrics)


class TensorBoard(_Writer):
    """Curves in ``tensorboard/``; needs the extra ``i2i-core[tensorboard]``."""

    def __init__(self, every: int = 10) -> None:
        super().__init__(every)
        self._writer: Any = None

    def __call__(self, seen: Seen) -> None:
        self.draw(seen, seen.metrics)

    def draw(self, seen: Seen, values: Mapping[str, float]) -> None:
        """Draw curves on by a point; those of another observer lie beside the metrics."""
        if self._writer is None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise RunError("TensorBoard is not installed: pip install 'i2i-core[tensorboard]'") from error
            self._writer = SummaryWriter(str(_folder(seen) / "tensorboard"), purge_step=seen.batches)
        for name, value in values.items():
            self._writer.add_scalar(name, value, seen.batches)

    def close(self) -> None:
        """Write out what is buffered."""
        if self._writer is not None:
            self._writer.close()


class Samples(_Writer):
    """``samples/batch-N.png``: a grid of a fixed batch, translated by the nets to be used.

    Args:
        preview: ``preview(nets, batch) -> {"column": images (b, c, h, w)}``.
        batch: on the host.
        every: batches between two grids.
        also: after these numbers of batches there is one as well.
    """

    def __init__(
        self,
        preview: Callable[[Any, Any], Mapping[str, Tensor]],
        batch: Any,
        every: int = 500,
        also: Collection[int] = (),
    ) -> None:
        super().__init__(every)
        self._preview, self._batch, self.also = preview, batch, also

    def __call__(self, seen: Seen) -> None:
        path = _folder(seen) / "samples" / f"batch-{seen.batches:07d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.grid(seen.average).save(path)

    def grid(self, nets: Any) -> Image.Image:
        """Draw the batch as ``nets`` translate it; they and the random generators stay as they are."""
        from i2i.grids import grid

        with evaluating(nets):
            return grid(self._preview(nets, beside(nets, self._batch)))


def save_models(
    nets: Any, models: Callable[[Any], Mapping[str, nn.Module]], folder: Path, samples: Samples | None = None
) -> None:
    """Save what is for use.

    Args:
        nets: as `Seen.average` has them.
        models: ``models(nets) -> {"a2b": net}``, each for a folder of its name; one under ``""`` for ``folder`` itself.
        folder: of the models.
        samples: draws the picture of the model card; None leaves it out.
    """
    from i2i.models import save

    picture = None
    if samples is not None:
        from i2i.data import to_tensor

        picture = to_tensor(np.asarray(samples.grid(nets)))
    for name, net in models(nets).items():
        save(net, folder / name if name else folder, sample=picture)


class Checkpoints(_Writer):
    """A checkpoint to resume from, and ``model/``: what is saved for use.

    It also says which checkpoints are kept, whoever had them written.

    Args:
        every: batches between two.
        models: ``models(nets) -> {"a2b": net}``, or one under ``""``; None saves no model.
        samples: draws the picture of the model card; None leaves it out.
        keep_last: this many of the latest are kept.
        keep_every: those at multiples of it are kept too.
        kept: batches whose checkpoints are kept too, asked each time.
        also: after these numbers of batches one is written as well.
    """

    def __init__(
        self,
        every: int = 1000,
        models: Callable[[Any], Mapping[str, nn.Module]] | None = None,
        *,
        samples: Samples | None = None,
        keep_last: int = 3,
        keep_every: int | None = None,
        kept: Callable[[], Collection[int]] = tuple,
        also: Collection[int] = (),
    ) -> None:
        super().__init__(every)
        self.also = also
        if keep_last < 1:
            raise SettingsError(f"keep_last (={keep_last}) must be 1 or more: a run needs a checkpoint to resume from")
        self._models, self._samples, self._kept = models, samples, kept
        self._keep_last, self._keep_every = keep_last, keep_every

    def __call__(self, seen: Seen) -> None:
        folder = _folder(seen)
        seen.save()
        if self._models is not None:
            save_models(seen.average, self._models, folder / "model", self._samples)

    def prune(self, folder: Path) -> None:
        """Remove the checkpoints of the run in ``folder`` that are no longer to be kept; called after each new one."""
        prune(folder, self._keep_last, self._keep_every, self._kept())


def with_state(observers: Sequence[Observer]) -> dict[str, Any]:
    """Return the observers that have a state, by their class; those of one class are counted.

    Raises:
        CompositionError: one could save its state, but not go on from it.
    """
    found: dict[str, Any] = {}
    counts: Counter[str] = Counter()
    for observer in observers:
        if hasattr(observer, "state_dict"):
            name = f"{type(observer).__module__}:{type(observer).__qualname__}"
            if not hasattr(observer, "load_state_dict"):
                raise CompositionError(f"observer {name} has state_dict(); it needs load_state_dict() too")
            counts[name] += 1
            found[f"{name} {counts[name]}"] = observer
    return found


@contextmanager
def evaluating(nets: Any) -> Iterator[None]:
    """Put nets in eval mode, without gradients, and leave them and the random generators as they were."""
    modes = [(module, module.training) for net in modules_of(nets) for module in net.modules()]
    device = _device_of(nets)
    random_state = rng_state(device)
    for module, _ in modes:
        module.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        restore_rng(random_state, device)
        for module, mode in modes:
            module.training = mode


def beside(nets: Any, batch: Any) -> Any:
    """Return a batch on the device where ``nets`` are."""
    device = _device_of(nets)
    return tree_map(lambda leaf: leaf.to(device) if isinstance(leaf, Tensor) else leaf, batch)


def _device_of(nets: Any) -> torch.device:
    return next((p.device for net in modules_of(nets) for p in net.parameters()), torch.device("cpu"))


def _folder(seen: Seen) -> Path:
    if seen.out is None:
        raise RunError("this observer writes files: fit() needs out=..., a folder for the run")
    return seen.out
