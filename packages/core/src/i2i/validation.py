"""Validation while training: figures on held-out images, the best models kept, schedules told."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, product
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from i2i.errors import CompositionError, DataError, SettingsError
from i2i.extractors import features, load_extractor
from i2i.metrics import kernel_distance, psnr, ssim
from i2i.observers import Rows, Samples, beside, evaluating, save_models
from i2i.protocols import Seen
from i2i.recipes import Evaluation, Recipe
from i2i.settings import RunSettings
from i2i.values import Pair

Results = Mapping[str, tuple[Tensor, Tensor]]
FILE = "validation.jsonl"


class Figures(NamedTuple):
    """What one validation found.

    Attributes:
        values: by name: ``a2b/psnr`` and so on for each direction, and the mean over directions that decides.
        decides: the name of the one that decides.
    """

    values: Mapping[str, float]
    decides: str


class Curves(Protocol):
    """An observer that draws the figures of others too: `i2i.observers.TensorBoard`, and loggers of plugins."""

    def draw(self, seen: Seen, values: Mapping[str, float], /) -> None:
        """Draw curves on by a point."""
        ...


class Validation:
    """Measures the nets to be used on held-out images; writes ``validation.jsonl``, curves, and ``best/``.

    Paired: PSNR and SSIM; the mean PSNR over directions decides, higher is better. Unpaired: `kernel_distance` in the
    features of an extractor; its mean over directions decides, lower is better. After the best validation so far the
    models are saved to ``best/``, and a checkpoint is written that is kept (`kept`).

    Args:
        evaluation: what to translate, and what it should be like.
        every: batches between two validations.
        extractor: for unpaired images, from images ``(b, c, h, w)`` in ``[-1, 1]`` to features ``(b, d)``.
        models: ``models(nets) -> {"a2b": net}``: what is saved for use.
        samples: draws the picture of the model card.
        curves: where ``validation/...`` is drawn.

    Raises:
        CompositionError: a plateau that waits for figures to fall where they rise, or the other way round.
        DataError: there are no held-out images.
        SettingsError: unpaired images without an extractor, or paired ones with one.
    """

    writes = saves = True

    def __init__(
        self,
        evaluation: Evaluation,
        every: int,
        *,
        extractor: nn.Module | None = None,
        models: Callable[[Any], Mapping[str, nn.Module]],
        samples: Samples | None = None,
        curves: Sequence[Curves] = (),
    ) -> None:
        if every < 1:
            raise SettingsError(f"validate_every (={every}) must be 1 or more")
        _check_extractor(evaluation, extractor is not None)
        if any(plateau.higher_is_better is not evaluation.paired for plateau in evaluation.plateaus):
            wanted = "higher_is_better=True for PSNR" if evaluation.paired else "higher_is_better=False for a distance"
            raise CompositionError(f"a Plateau of this recipe waits for the wrong side; it needs {wanted}")
        batches = evaluation.batches()
        if batches is None:
            raise DataError(
                "no held-out images to validate on: put some into testA and testB (pairs: test) of --data, or name "
                "them by --held-out-a and --held-out-b, or --held-out-split"
            )
        self.every = every
        self._batches, self._evaluation, self._extractor = _Whole(batches), evaluation, extractor
        self._models, self._samples, self._curves = models, samples, curves
        self._rows = Rows(FILE)
        self._best: tuple[int, float] | None = None

    def __call__(self, seen: Seen) -> None:
        values, decides = self.measure(seen.average)
        figure = values[decides]
        for plateau in self._evaluation.plateaus:
            plateau.watch(figure)
        best = self._is_best(figure)
        if best:
            self._best = (seen.batches, figure)
        self._rows.add(seen, {**values, "best": best})
        for curves in self._curves:
            curves.draw(seen, {f"validation/{name}": value for name, value in values.items()})
        _say(seen.batches, values, best=best)
        if best and seen.out is not None:
            save_models(seen.average, self._models, seen.out / "best", self._samples)
            seen.save()

    def measure(self, nets: Any, *, rehearsal: bool = False) -> Figures:
        """Validate ``nets``; they and the random generators stay as they are.

        Args:
            nets: as `Evaluation.results` takes them.
            rehearsal: take no more images than are needed to find what is wrong with them.

        Raises:
            CompositionError: paired results that differ in shape.
            DataError: too few or too small images.
        """
        decides = "psnr" if self._evaluation.paired else "distance"
        with evaluating(nets):
            every = (self._evaluation.results(nets, beside(nets, batch)) for batch in self._batches)
            if self._evaluation.paired:
                values = _pairs(islice(every, 1) if rehearsal else every)
            else:
                values = self._distances(every, rehearsal=rehearsal)
        chosen = [value for name, value in values.items() if name.rpartition("/")[2] == decides]
        if not chosen:
            raise DataError("the held-out data have no batches")
        return Figures({**values, decides: sum(chosen) / len(chosen)}, decides)

    def kept(self) -> tuple[int, ...]:
        """Return the batch whose checkpoint is to be kept, if there is one."""
        return () if self._best is None else (self._best[0],)

    def state_dict(self) -> dict[str, Any]:
        """Return the best batch and its figure, and the state of the plateaus."""
        return {"best": self._best, "plateaus": [plateau.state_dict() for plateau in self._evaluation.plateaus]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what was saved."""
        self._best = state["best"]
        for plateau, saved in zip(self._evaluation.plateaus, state["plateaus"], strict=True):
            plateau.load_state_dict(saved)

    def _is_best(self, figure: float) -> bool:
        if not math.isfinite(figure):
            return False
        if self._best is None:
            return True
        return figure > self._best[1] if self._evaluation.paired else figure < self._best[1]

    def _distances(self, every: Iterable[Results], *, rehearsal: bool) -> dict[str, float]:
        found: dict[str, tuple[list[Tensor], list[Tensor]]] = {}
        for results in every:
            for name, sides in results.items():
                for seen, images in zip(found.setdefault(name, ([], [])), sides, strict=True):
                    seen.extend(self._features(images))
            if rehearsal and all(len(seen) > 1 for sides in found.values() for seen in sides):
                break
        return {
            _label(name, "distance"): kernel_distance(
                *(torch.stack(seen) if seen else torch.empty(0, 1) for seen in sides)
            )
            for name, sides in found.items()
        }

    def _features(self, images: Tensor) -> Tensor:
        assert self._extractor is not None  # for the type checker
        return features(self._extractor.to(images.device), images).cpu() if len(images) else torch.empty(0)


def validation_of(
    name: str, built: Recipe, run: RunSettings, *, samples: Samples | None, curves: Sequence[Curves]
) -> Validation | None:
    """Return the validation that a run asks for, None where it asks for none.

    Args:
        name: of the recipe.
        built: the recipe.
        run: ``validate_every``, ``extractor``.
        samples: draws the picture of the model card.
        curves: where ``validation/...`` is drawn.

    Raises:
        DataError: there are no held-out images.
        RunError: torchvision, torchmetrics or the weights of the extractor are missing.
        SettingsError: the recipe cannot be validated, or the extractor is missing or unknown.
    """
    if not run.validate_every:
        if run.extractor is not None and not run.resume:
            raise SettingsError(f"extractor (={run.extractor}) needs --validate-every, the batches between validations")
        return None
    if built.evaluation is None:
        raise SettingsError(f"recipe {name!r} has no validation; leave --validate-every out")
    _check_extractor(built.evaluation, run.extractor is not None)
    with evaluating(()):  # to make a network draws random numbers
        extractor = None if run.extractor is None else load_extractor(run.extractor)
    return Validation(
        built.evaluation,
        run.validate_every,
        extractor=extractor,
        models=built.models,
        samples=samples,
        curves=curves,
    )


def distinct(batches: Iterable[Pair]) -> Iterable[Pair]:
    """Return batches in which images that come again are left out, on each side by itself.

    Where unpaired domains differ in number, the images of the smaller one are repeated. A distance between sets of
    images would take the copies for further images.

    Args:
        batches: of images on the host; may be gone through again.

    Returns:
        The same batches, some with fewer images on one side than on the other, or with none.
    """
    return _Distinct(batches)


class _Whole:
    """Batches that are gone through from the first one on each time, wherever the last pass has ended."""

    def __init__(self, batches: Iterable[Any]) -> None:
        self._batches: Any = batches
        self._start = self._batches.state_dict() if hasattr(self._batches, "state_dict") else None

    def __iter__(self) -> Iterator[Any]:
        if self._start is not None:
            self._batches.load_state_dict(self._start)
        return iter(self._batches)


class _Distinct(_Whole):
    def __iter__(self) -> Iterator[Pair]:
        known: tuple[set[bytes], set[bytes]] = (set(), set())
        for batch in super().__iter__():
            yield Pair(*(images[_new(images, before)] for images, before in zip(batch, known, strict=True)))


def _new(images: Tensor, known: set[bytes]) -> list[int]:
    """The places of images that were not there before."""
    places = []
    for place, image in enumerate(images):
        digest = hashlib.blake2b(image.contiguous().numpy().tobytes(), digest_size=16).digest()
        if digest not in known:
            known.add(digest)
            places.append(place)
    return places


def _label(name: str, figure: str) -> str:
    return f"{name}/{figure}" if name else figure


def _pairs(every: Iterable[Results]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for results in every:
        for (name, (made, real)), measure in product(results.items(), (psnr, ssim)):
            found.setdefault(_label(name, measure.__name__), []).extend(measure(made, real).tolist())
    return {name: sum(each) / len(each) for name, each in found.items()}


def _check_extractor(evaluation: Evaluation, there: bool) -> None:
    if evaluation.paired and there:
        raise SettingsError("pairs are measured by PSNR and SSIM; leave --extractor out")
    if not evaluation.paired and not there:
        raise SettingsError(
            "unpaired images are compared in the features of a network that you name: --extractor resnet50 (of "
            "torchvision), or --extractor package.module:function"
        )


def _say(batch: int, values: Mapping[str, float], *, best: bool) -> None:
    from tqdm import tqdm  # type: ignore[import-untyped,unused-ignore]

    told = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    tqdm.write(f"validation at batch {batch}: {told}" + (" (best so far)" if best else ""))
