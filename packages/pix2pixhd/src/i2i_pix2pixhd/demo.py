"""``i2i demo pix2pixhd``: photographs from label maps in three stages, styles of objects, and an edit.

The scenes are segments of six real photographs, see `i2i_pix2pixhd.scenes_of_photographs`. What is held out are other
regions of the same photographs, not other photographs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import attrs
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from i2i import photographs
from i2i.checkpoint import load_checkpoint
from i2i.data import coloured, read_ids, read_image
from i2i.demos import one_thread, to_colours, to_tensor
from i2i.errors import RunError
from i2i.grids import grid
from i2i.observers import evaluating
from i2i.photographs import Colours, likeness
from i2i.settings import RunSettings
from i2i.training import train
from i2i.values import Instanced
from i2i_pix2pixhd.commands.edit import edit
from i2i_pix2pixhd.commands.encode import encode
from i2i_pix2pixhd.commands.generate import generate
from i2i_pix2pixhd.networks import Channels, new_model, with_enhancer
from i2i_pix2pixhd.scene import SceneGenerator
from i2i_pix2pixhd.scenes_of_photographs import (
    CLASSES,
    CROP,
    Kind,
    Region,
    held_out_crops,
    regions,
    training_crops,
    write_scenes,
)
from i2i_pix2pixhd.settings import Settings
from i2i_pix2pixhd.step import half_size

SETTINGS = Settings(
    labels=CLASSES["lightness"],
    steps=(900, 250, 500),
    batch_size=2,
    load_size=CROP,
    crop_size=CROP,
    preprocess="crop",
    base_width=32,
    downs=3,
    blocks=3,
    local_blocks=2,
    discriminator_width=16,
    upsampling="resize",
    styles=True,
    encoder_downs=3,
    perceptual=False,
    lr=1e-3,
)
"""What learns on small crops in some minutes."""

MEAN, NEAREST = "mean photograph", "nearest label map"
USUAL = "joint, usual styles"
"""What is made of label and instance maps alone; the other rows of the stages know the styles of the real images."""
_CROPS = 720  # of the training regions, for the baselines
_SHOWN = ("00-astronaut", "02-chelsea", "04-china", "09-rocket", "11-flower", "13-coffee")
_EDITED = "13-coffee"


class Scenes(NamedTuple):
    """Scenes as tensors: ids ``(b, 1, h, w)``, images ``(b, 3, h, w)`` in ``[-1, 1]``."""

    labels: Tensor
    instances: Tensor
    image: Tensor


def demo(out: Path, seed: int = 0, steps: int | None = None, resume: bool = False) -> None:
    """Train, say how close each stage comes to the truth, and show styles and an edit.

    Args:
        out: ``data/``, ``run/``, ``result.json``, ``demo.png``, ``styles.png`` and more are made in it.
        seed: of the training; the data are always the same.
        steps: batches of each stage; those of `SETTINGS` when left out.
        resume: go on with the run in ``out``.

    Raises:
        RunError: ``out`` is not empty and is not to be resumed, or the extra ``demo`` is not installed.
    """
    if not resume and out.exists() and any(out.iterdir()):
        raise RunError(f"{out} is not empty; choose another --out, or go on with the demo in it: --resume")
    settings = SETTINGS if steps is None else attrs.evolve(SETTINGS, steps=(steps,))
    print("pix2pixHD on segments of six photographs (from scikit-image and scikit-learn):")
    print("  " + "; ".join(f"{name}: {licence}" for name, licence in photographs.LICENCES.items()))
    print("Classes say how light a segment is; its colour is a matter of style.", flush=True)
    training, held_out = write_data(out / "data")
    with one_thread():
        run = train_demo(settings, out, seed, resume=resume)
        made = results(settings, run, training, held_out)
        encode(str(run), data=out / "data")
        generate(str(run), out=out / "made", labels=out / "data" / "test_label", instances=out / "data" / "test_inst")
        made[USUAL] = to_tensor([read_picture(out / "made" / f"{name}.png") for name in held_out])
        show(out, made, held_out)
        styled(out, run, seed)


def write_data(folder: Path, kind: Kind = "lightness") -> tuple[dict[str, Region], dict[str, Region]]:
    """Write the scenes in the authors' layout; return the training regions and the held-out crops."""
    training, other = regions(kind)
    held_out = held_out_crops(other)
    write_scenes(folder, "train", training)
    write_scenes(folder, "test", held_out)
    return training, held_out


def train_demo(settings: Settings, out: Path, seed: int, *, resume: bool = False) -> Path:
    """Train in ``out/run``, where a checkpoint is kept at the end of each stage; return that folder."""
    run = out / "run"
    every = max(settings.lengths(1)) // 2
    train(
        "pix2pixhd",
        settings,
        RunSettings(
            data=out / "data", out=run, seed=seed, resume=resume and (run / "settings.toml").is_file(),
            precision="fp32", log_every=20, sample_every=max(every, 1), checkpoint_every=200, keep_last=20,
        ),
    )  # fmt: skip
    return run


def results(
    settings: Settings, run: Path, training: Mapping[str, Region], held_out: Mapping[str, Region]
) -> dict[str, Tensor]:
    """Return simple answers for the held-out scenes, and what each stage makes of them, ``(b, 3, h, w)`` by name.

    The stages give objects the styles that their encoder finds in the real images, as in training.
    """
    made = {name: to_tensor(images) for name, images in baselines(training, held_out).items()}
    scenes = as_scenes(list(held_out.values()))
    for number, name in enumerate(settings.names):
        made[name] = result_of(stage_model(settings, run, number), scenes, half=name == "global")
    return made


def psnr(made: Tensor, truths: Tensor) -> list[float]:
    """Return how close images ``(b, 3, h, w)`` are to the truth, one by one, in decibels."""
    pairs = zip(to_colours(made), to_colours(truths), strict=True)
    return [likeness([image], [truth]).psnr for image, truth in pairs]


def baselines(training: Mapping[str, Region], held_out: Mapping[str, Region]) -> dict[str, list[Colours]]:
    """Return what needs no network: the mean photograph, and the photograph with the most similar label map."""
    known = training_crops(dict(training), _CROPS)
    maps = np.stack([region.labels for region in known])
    nearest = [int((maps == region.labels).mean((1, 2)).argmax()) for region in held_out.values()]
    mean = np.mean([region.image for region in known], axis=0)
    return {MEAN: [mean] * len(held_out), NEAREST: [known[k].image for k in nearest]}


def as_scenes(found: Sequence[Region]) -> Scenes:
    """Stack regions of one size."""
    labels, instances = (
        torch.from_numpy(np.stack([getattr(region, name) for region in found]))[:, None]
        for name in ("labels", "instances")
    )
    return Scenes(labels, instances, to_tensor([region.image for region in found]))


def stage_model(settings: Settings, run: Path, number: int) -> SceneGenerator:
    """Return the model as it was at the end of a stage."""
    end = sum(settings.lengths(1)[: number + 1])
    weights = load_checkpoint(run / "checkpoints" / f"step-{end}")["state"]["nets"][number][0]
    model = new_model(settings, Channels(0, 3), None)
    if number:
        model = with_enhancer(settings, model)
    model.load_state_dict(weights)
    return model


def result_of(model: SceneGenerator, scenes: Scenes, *, half: bool = False) -> Tensor:
    """Make the images ``(b, 3, h, w)`` of scenes in the styles of the real ones, cut to ``[-1, 1]``.

    Args:
        model: of one stage.
        scenes: of full size.
        half: the model sees them at half their size; what it makes is enlarged.
    """
    seen = half_size(Instanced(*scenes)) if half else Instanced(*scenes)
    assert isinstance(seen, Instanced)  # for the type checker
    with evaluating((model,)):
        features = model.encode(seen.image, seen.labels, seen.instances) if model.features else None
        made = model.render(seen.labels, seen.instances, features).image
    if half:
        made = F.interpolate(made, scale_factor=2, mode="bicubic")
    return made.clamp(-1, 1)


def show(out: Path, made: Mapping[str, Tensor], held_out: Mapping[str, Region]) -> None:
    """Print the figures, write ``result.json``, and draw ``demo.png``."""
    truths = as_scenes(list(held_out.values())).image
    rows = {name: np.array(psnr(images, truths)) for name, images in made.items()}
    print(f"\n{f'{len(held_out)} held-out scenes':24}{'PSNR':>9}")
    for name, values in rows.items():
        print(f"{name:24}{values.mean():6.2f} dB")
    shares = {name: float((rows[USUAL] > rows[name]).mean()) for name in (MEAN, NEAREST)}
    for name, share in shares.items():
        print(f"Made of maps alone, it is nearer to the truth than the {name} in {share:.0%} of the scenes.")
    found = {"psnr": {name: float(values.mean()) for name, values in rows.items()}, "nearer_than": shares}
    (out / "result.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    names = list(held_out)
    chosen = [names.index(name) for name in _SHOWN]
    scenes = as_scenes([held_out[name] for name in _SHOWN])
    columns = {"labels": coloured(scenes.labels)} | {name: images[chosen] for name, images in made.items()}
    grid({**columns, "truth": scenes.image}).save(out / "demo.png")
    print(f"See {out / 'demo.png'}.")


def styled(out: Path, run: Path, seed: int) -> None:
    """Make a scene in several styles, and edit it; by the commands themselves."""
    data, made = out / "data", out / "styles"
    scene = {kind: data / f"test_{kind}" / f"{_EDITED}.png" for kind in ("label", "inst", "img")}
    given: dict[str, Any] = {"labels": scene["label"], "instances": scene["inst"]}
    generate(str(run), out=made / "nearest", **given)
    generate(str(run), out=made / "sample", style="sample", count=3, seed=seed, **given)
    generate(str(run), out=made / "encoded", style=f"encode:{scene['img']}", **given)
    script = out / "edits.json"
    script.write_text(json.dumps(edits(read_ids(scene["label"])), indent=1) + "\n", encoding="utf-8")
    edit(str(run), script=script, out=out / "edited", style=f"encode:{scene['img']}", each_step=True, **given)
    pictures = [scene["img"], *(made / "encoded").iterdir(), *(made / "nearest").iterdir()]
    pictures += [*sorted((made / "sample").iterdir()), *sorted((out / "edited").glob("step-*.png"))]
    names = ["real", "its styles", "nearest", "sample", "sample ", "sample  "]
    names += [f"edit {number}" for number in range(1, len(pictures) - len(names) + 1)]
    shown = [read_picture(path) for path in pictures]
    grid({name: to_tensor([image]) for name, image in zip(names, shown, strict=True)}).save(out / "styles.png")
    print(f"See {out / 'styles.png'}. Try: i2i pix2pixhd edit {run} --labels {scene['label']} --instances "
          f"{scene['inst']} --script {script} --out {out / 'again'}")  # fmt: skip


def edits(labels: NDArray[np.int32]) -> dict[str, Any]:
    """Return a script for a scene: its most frequent class becomes another one on the right, and a disc is added."""
    counts = np.bincount(labels.ravel(), minlength=SETTINGS.labels)
    first, second = (int(k) for k in np.argsort(-counts)[:2])
    return {
        "edits": [
            {"do": "add", "stroke": [[36, 92]], "radius": 18, "label": second, "name": "disc"},
            {"do": "restyle", "object": "disc", "style": "sample"},
            {"do": "paint", "rectangle": [72, 0, CROP, CROP // 2], "label": first},
        ]
    }


def read_picture(path: Path) -> Colours:
    """Read an image ``(h, w, 3)`` in 0 ... 1."""
    return read_image(path) / 255.0
