"""``i2i demo ugatit``: paint a red disc or take it away, and say where one looked; on crops of real photographs.

The domains differ by a disc at a known place, see `i2i_ugatit.discs`, so that it can be measured whether attention
finds it. Pixels are not compared with a truth: where A gets its disc and how large it is, is free, and in minutes nets
of this size, whose norms take brightness and contrast away, do not learn to keep faces and fine detail. Width, blocks,
layers of the judges, size of the images and batches are all far below the authors'.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import attrs
import torch
from torch import Tensor, nn

from i2i import photographs
from i2i.demos import CROP, one_thread, read_colours, to_tensor
from i2i.errors import RunError
from i2i.grids import grid
from i2i.models import load
from i2i.settings import RunSettings
from i2i.training import train
from i2i_ugatit.discs import HELD_OUT, HeldOut, Sample, masks, write_data
from i2i_ugatit.discs_measured import GOALS, Figures, Held, called_b, figures, made, trained_classifier
from i2i_ugatit.heatmaps import overlay
from i2i_ugatit.recipe import make_nets
from i2i_ugatit.settings import Settings
from i2i_ugatit.terms import HEATMAP

SETTINGS = Settings(
    steps=600,
    batch_size=2,
    preprocess="none",
    load_size=CROP,
    crop_size=CROP,
    base_width=16,
    blocks=2,
    discriminator_width=16,
    discriminator_layers=(6, 4),
    lr=5e-4,
)
"""What learns on small crops in some minutes; the weights of the losses are the authors'."""

ROWS: Mapping[str, str] = {
    "a2b_called_b": "A to B, taken for B",
    "b2a_called_b": "B to A, taken for B",
    "peak_in_red": "B to A looks most at the red disc",
    "red_to_blue": "heat of the red disc / of the blue",
    "auc": "pixels of the red disc hotter (AUC)",
    "a2b_logits": "A to B knows the domain",
    "b2a_logits": "B to A knows the domain",
}
"""What the figures are called in the table."""
_SHOWN = slice(0, 36, 7)  # one crop of each photograph


class Translators(NamedTuple):
    """The generators of both directions."""

    a2b: nn.Module
    b2a: nn.Module


def demo(out: Path, seed: int = 0, steps: int | None = None, resume: bool = False) -> None:
    """Train, ask a classifier what the translations are, measure where attention lies, and draw it.

    Args:
        out: ``data/``, ``run/``, ``result.json`` and ``demo.png`` are made in it.
        seed: of the training; the data are always the same.
        steps: batches; those of `SETTINGS` when left out.
        resume: go on with the run in ``out``.

    Raises:
        RunError: ``out`` is not empty and is not to be resumed, or the extra ``demo`` is not installed.
    """
    if not resume and out.exists() and any(out.iterdir()):
        raise RunError(f"{out} is not empty; choose another --out, or go on with the demo in it: --resume")
    settings = attrs.evolve(SETTINGS, steps=steps or SETTINGS.steps)
    _introduce(out, seed, settings)
    held = as_tensors(write_data(out / "data"))
    with one_thread():
        classifier = classifier_of(out / "data")
        before = untrained(settings, seed)
        found = {"before": figures(*before, classifier, held)}
        after = train_demo(settings, out, seed, resume=resume)
        found["after"] = figures(*after, classifier, held)
    _report(out, {"a": called_b(classifier, held.a), "b": called_b(classifier, held.b)}, found)
    grid(columns(before, after, held)).save(out / "demo.png")
    _say_how_to_go_on(out)


def as_tensors(held_out: HeldOut) -> Held:
    """Stack the held-out crops, and which pixels of those of B the discs cover."""
    a, b = (_images(list(samples.values())) for samples in held_out)
    red, blue = (masks([getattr(sample, name) for sample in held_out.b.values()]) for name in ("red", "blue"))
    return Held(a, b, red, blue)


def classifier_of(data: Path) -> nn.Module:
    """Train the classifier on what the generators are trained on; it takes no part in their training."""
    return trained_classifier(*(to_tensor(read_colours(data / name)) for name in ("trainA", "trainB")))


def untrained(settings: Settings, seed: int) -> Translators:
    """Return generators newly initialised."""
    torch.manual_seed(seed)
    nets = make_nets(settings)
    return Translators(nets.G, nets.F)


def train_demo(settings: Settings, out: Path, seed: int, *, resume: bool = False) -> Translators:
    """Train in ``out/run`` and return the generators."""
    run, every = out / "run", max(1, settings.batches // 4)
    train(
        "ugatit",
        settings,
        RunSettings(
            data=out / "data", out=run, seed=seed, resume=resume and (run / "settings.toml").is_file(),
            precision="fp32", log_every=20, sample_every=every, checkpoint_every=min(every, 200),
        ),
    )  # fmt: skip
    return Translators(*(load(run / "model" / name) for name in Translators._fields))


def columns(before: Translators, after: Translators, held: Held) -> dict[str, Tensor]:
    """Return the picture: crops of both domains, where the generators look in them, and what they make of them."""
    a, b = held.a[_SHOWN], held.b[_SHOWN]
    forth, back = made(after.a2b, a), made(after.b2a, b)
    return {
        "A": a,
        "where it looks": overlay(a, forth.extras[HEATMAP]),
        "A to B": forth.image,
        "B": b,
        "looks, untrained": overlay(b, made(before.b2a, b).extras[HEATMAP]),
        "looks, trained": overlay(b, back.extras[HEATMAP]),
        "B to A": back.image,
    }


def table(found: Mapping[str, Figures]) -> list[str]:
    """Return the lines of the table: each figure before and after the training, and what it should be."""
    lines = [f"{f'{HELD_OUT} held-out crops of each':36}{'before':>8}{'after':>8}   goal"]
    for name, said in ROWS.items():
        before, after = (getattr(found[when], name) for when in ("before", "after"))
        goals = [goal for goal in GOALS if goal.figure == name]
        wanted = ", ".join(f"{goal} {'' if goal.met(found) else '(missed)'}".strip() for goal in goals)
        lines.append(f"{said:36}{before:8.2f}{after:8.2f}   {wanted}".rstrip())
    return lines


def _images(samples: Sequence[Sample]) -> Tensor:
    return to_tensor([sample.image for sample in samples])


def _introduce(out: Path, seed: int, settings: Settings) -> None:
    print("U-GAT-IT (light) on crops of six photographs (from scikit-image and scikit-learn):")
    print("  " + "; ".join(f"{name}: {licence}" for name, licence in photographs.LICENCES.items()))
    print("A: a blue disc in the lower half. B: that, and a red disc in the upper half; nothing else tells them apart.")
    print("Cut from left columns (A), right ones (B); held out: middle ones, unseen regions of the same photographs.")
    layers = " and ".join(map(str, settings.discriminator_layers))
    print(
        f"Reduced: width {settings.base_width} (authors: 64), {settings.depth} blocks (4), judges of {layers} layers "
        f"(7 and 5) and width {settings.discriminator_width} (64), images of {CROP} pixels (256)."
    )
    print(f"{settings.steps} batches of {settings.batch_size}, seed {seed}, into {out}", flush=True)


def _report(out: Path, classifier: Mapping[str, float], found: Mapping[str, Figures]) -> None:
    print("\n" + "\n".join(table(found)))
    reached = sum(goal.met(found) for goal in GOALS)
    print(f"\n{reached} of {len(GOALS)} goals are reached.")
    print(
        f"\n'Taken for B' by a classifier of its own, trained on real crops: it takes {classifier['a']:.2f} of the "
        f"held-out A for B and {classifier['b']:.2f} of B."
    )
    result = {"classifier": classifier, **{when: one._asdict() for when, one in found.items()}}
    (out / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _say_how_to_go_on(out: Path) -> None:
    print("No pixels are compared: a new disc may lie anywhere, and much else is lost in so short a training.")
    print(f"See {out / 'demo.png'}.")
    command = sys.argv[0] if Path(sys.argv[0]).name == "i2i" else "i2i"
    inputs = out / "data" / "testA"
    print(f"Translate a folder:  {command} translate {out / 'run'} {inputs} --out {out / 'translated'}")
    print(f"Where it looks:      {command} ugatit attention {out / 'run'} {inputs} --out {out / 'looked'}")
