"""The mixes of docs/recipes on real photographs: benchmarks/results/evidence-mixes.json, and pictures in docs/images.

``python benchmarks/evidence/mixes.py [MIX ...]`` runs the code of each page as it stands there, in a folder with the
data that it names, on one thread; then again with the changes of each row below. All is measured on images that no
training has seen. Models are kept in ``runs/mixes``, and trained again only where the code has changed.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from results import RESULTS, write
from torch import Tensor

from i2i import photographs
from i2i.demos import (
    CROP,
    SHORT_SIDE,
    HeldOut,
    one_thread,
    to_colours,
    to_tensor,
    translated,
    write_colours,
    write_held_out,
)
from i2i.grids import grid
from i2i.models import load
from i2i.photographs import Colours, Likeness, likeness
from i2i_cyclegan import demo as thermal_demo
from i2i_cyclegan.pix2pix import demo as sketch_demo
from i2i_singan import PyramidGenerator, generate, reconstruct
from i2i_singan.demo import PHOTOGRAPH, measured
from i2i_singan.demo import SHORT_SIDE as SMALL_SIDE
from i2i_ugatit import overlay
from i2i_ugatit.demo import as_tensors, classifier_of
from i2i_ugatit.discs import write_data as write_discs
from i2i_ugatit.discs_measured import aucs, called_b, enlarged, made, peaks_inside
from i2i_ugatit.terms import HEATMAP

NAME = "evidence-mixes"
ROOT = Path(__file__).parents[2]
RUNS = ROOT / "runs" / "mixes"
IMAGES = ROOT / "docs" / "images"
PAGE = "the mix"
PAIRS, PAIRS_SEED = 8, 5  # given to the mix with a few pairs
SHOWN = [0, 14, 28, 35]  # of the held-out crops: astronaut, chelsea, china, flower
AUTHORS = "authors' weight"  # a row that is not shown in the picture
SAMPLES = 4  # of a pyramid, in its picture
RUN = "import random, torch; random.seed(0); torch.manual_seed(0); exec(compile(open('mix.py').read(), 'mix', 'exec'))"

Figures = dict[str, Any]
Models = Mapping[str, Path]
"""Where the models of each row lie."""


class Data(NamedTuple):
    """Data that were written, and what is done with what was learnt from them.

    Attributes:
        figures: ``figures(folder)`` of the models in a folder.
        columns: ``columns(models)``: the picture.
        baselines: figures of what needs no training.
    """

    figures: Callable[[Path], Figures]
    columns: Callable[[Models], Mapping[str, Tensor]]
    baselines: Figures


class Mix(NamedTuple):
    """A page of docs/recipes.

    Attributes:
        data: writes the data that its code names into a folder.
        rows: what is changed in the code, by what it is called: pairs of old and new text.
        after: runs after the code of the page, so that more can be measured.
    """

    data: Callable[[Path], Data]
    rows: Mapping[str, Sequence[tuple[str, str]]]
    after: str = ""


def main() -> int:
    """Train what is missing of the mixes that are asked for; the others keep their figures."""
    path = RESULTS / f"{NAME}.json"
    for name in sys.argv[1:] or MIXES:
        with one_thread():
            figures = mixed(name, MIXES[name])
        before = json.loads(path.read_text("utf-8"))["mixes"] if path.is_file() else {}
        found = {**before, name: figures}
        write(NAME, {"mixes": {key: found[key] for key in MIXES if key in found}})
    return 0


def mixed(name: str, mix: Mix) -> Figures:
    """Train the rows of a mix, draw its picture, and return all figures."""
    shutil.rmtree(RUNS / name / "data", ignore_errors=True)
    data = mix.data(RUNS / name / "data")
    code, rows, models = code_of(name), [], {}
    for row, changes in {PAGE: (), **mix.rows}.items():
        models[row] = RUNS / name / row
        seconds = trained(RUNS / name / "data", models[row], changed(code, changes) + mix.after)
        rows.append({"row": row, "seconds": seconds, **data.figures(models[row])})
        print(name, rows[-1], flush=True)
    grid(data.columns(models)).save(IMAGES / f"mix-{name}.png", optimize=True)
    return {"baselines": data.baselines, "rows": rows}


def code_of(name: str) -> str:
    """Return the code of a page."""
    page = (ROOT / "docs" / "recipes" / f"{name}.md").read_text("utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return str(code)


def changed(code: str, changes: Sequence[tuple[str, str]]) -> str:
    """Return the code with other text in some places."""
    for old, new in changes:
        if code.count(old) != 1:
            raise SystemExit(f"{old!r} is {code.count(old)} times on the page; it must be there once")
        code = code.replace(old, new)
    return code


def trained(data: Path, out: Path, code: str) -> float:
    """Run code in the folder of its data, move the models that it saves to ``out``; return the seconds of one core."""
    kept = out / "mix.py"
    if kept.is_file() and kept.read_text("utf-8") == code:
        return float(json.loads((out / "seconds.json").read_text("utf-8")))
    shutil.rmtree(out, ignore_errors=True)
    (data / "mix.py").write_text(code, encoding="utf-8")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([sys.executable, "-c", RUN], cwd=data, env=environment, check=True)
    seconds = round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before, 1)
    out.mkdir(parents=True)
    for model in data.glob("*-model"):
        model.rename(out / model.name)
    (out / "seconds.json").write_text(json.dumps(seconds), encoding="utf-8")
    (data / "mix.py").rename(kept)
    return seconds


def renamed(folder: Path, names: Mapping[str, str]) -> None:
    """Give the folders of a demo the names that a page has for them."""
    for old, new in names.items():
        (folder / old).rename(folder / new)


def thermal_data(folder: Path) -> Data:
    """Photographs, and thermal pictures of other regions."""
    held = thermal_demo.write_data(folder)
    baselines = thermal_demo.baselines(folder, held)
    renamed(folder, {"trainA": "photos", "trainB": "thermal"})
    return of_translations(held, baselines)


def paired_data(folder: Path) -> Data:
    """Pencil sketches, and what they were drawn from."""
    held = sketch_demo.write_data(folder)
    baselines = sketch_demo.baselines(folder, held)
    renamed(folder, {"trainA": "sketches", "trainB": "photos"})
    return of_translations(held, baselines)


def few_pairs_data(folder: Path) -> Data:
    """Pencil sketches of left columns, photographs of right ones, and a few pairs of crops of the left ones."""
    regions = {name: photographs.columns(whole) for name, whole in photographs.load(SHORT_SIDE).items()}
    left, middle, right = ({name: region[k] for name, region in regions.items()} for k in range(3))
    drawn, held_out_drawn = ({n: sketch_demo.sketch(one) for n, one in part.items()} for part in (left, middle))
    for name in regions:
        write_colours(folder / "sketches" / f"{name}.png", drawn[name])
        write_colours(folder / "photos" / f"{name}.png", right[name])
    sketches, photos = [], []
    for index, (which, rows, columns) in enumerate(photographs.crops(list(left.values()), CROP, PAIRS, PAIRS_SEED)):
        sketches.append(list(drawn.values())[which][rows, columns])
        photos.append(list(left.values())[which][rows, columns])
        write_colours(folder / "pairs" / f"{index}.png", np.concatenate((sketches[-1], photos[-1]), axis=1))
    held = write_held_out(folder, held_out_drawn, middle)
    mapped = mapped_by(sketches, photos, held.inputs)
    baselines = {
        "input itself": likeness(held.inputs, held.truths),
        "best colour map of the pairs": likeness(mapped, held.truths),
    }
    return of_translations(held, baselines)


def mapped_by(source: Sequence[Colours], target: Sequence[Colours], inputs: Sequence[Colours]) -> list[Colours]:
    """Map colours of crops by the affine map of least squares between the pixels of pairs."""
    with_one = [np.pad(crop.reshape(-1, 3), ((0, 0), (0, 1)), constant_values=1) for crop in (*source, *inputs)]
    wanted = np.concatenate([crop.reshape(-1, 3) for crop in target])
    colour_map, *_ = np.linalg.lstsq(np.concatenate(with_one[: len(source)]), wanted, rcond=None)
    return [(pixels @ colour_map).reshape(CROP, CROP, 3) for pixels in with_one[len(source) :]]


def of_translations(held: HeldOut, baselines: Mapping[str, Likeness]) -> Data:
    """Measure how close translations of held-out crops come to the truth."""
    inputs, truths = map(to_tensor, held)

    def figures(folder: Path) -> Figures:
        models = sorted(folder.glob("*-model"))
        close = {model.name: likeness(to_colours(translated(load(model), inputs)), held.truths) for model in models}
        found = close.pop("mix-model")._asdict()
        return found | {name.removesuffix("-model"): other._asdict() for name, other in close.items()}

    def columns(models: Models) -> Mapping[str, Tensor]:
        shown = {row: translated(load(folder / "mix-model"), inputs[SHOWN]) for row, folder in models.items()}
        return {"input": inputs[SHOWN], **shown, "truth": truths[SHOWN]}

    return Data(figures, columns, {name: row._asdict() for name, row in baselines.items()})


def disc_data(folder: Path) -> Data:
    """Crops with a red disc in the upper half, and others without; all have a blue one in the lower half."""
    held, classifier = as_tensors(write_discs(folder)), classifier_of(folder)
    renamed(folder, {"trainB": "marked", "trainA": "plain"})
    outside = torch.from_numpy(~held.red)[:, None]

    def kept(image: Tensor) -> float:
        """PSNR of what is not the red disc."""
        error = ((image - held.b).square() * outside).sum((1, 2, 3)) / (3 * outside.sum((1, 2, 3)))
        return float((10 * torch.log10(4 / error)).mean())

    def figures(folder: Path) -> Figures:
        found = made(load(folder / "mix-model"), held.b)
        heat = enlarged(found.extras[HEATMAP], held.b)
        return {
            "called_marked": called_b(classifier, found.image),
            "peak_in_red": float(peaks_inside(heat, held.red).mean()),
            "auc": float(np.mean(aucs(heat, held.red))),
            "kept": kept(found.image),
        }

    def columns(models: Models) -> Mapping[str, Tensor]:
        images = held.b[SHOWN]
        found = {"input": images}
        for row, folder in ((row, folder) for row, folder in models.items() if row != AUTHORS):
            translation = made(load(folder / "mix-model"), images)
            found[row] = translation.image
            found[f"heat: {row}"] = overlay(images, translation.extras[HEATMAP])
        return found

    baselines = {"input itself": {"called_marked": called_b(classifier, held.b)}}
    return Data(figures, columns, baselines)


def one_photograph(folder: Path) -> Data:
    """One small photograph."""
    write_colours(folder / "photo" / f"{PHOTOGRAPH}.png", photographs.load(SMALL_SIDE)[PHOTOGRAPH])

    def model_in(folder: Path) -> PyramidGenerator:
        net = load(folder / "mix-model")
        assert isinstance(net, PyramidGenerator)
        return net

    def figures(folder: Path) -> Figures:
        return dict(measured(model_in(folder)))

    def columns(models: Models) -> Mapping[str, Tensor]:
        trained = [model_in(folder) for folder in models.values()]
        drawn = [torch.cat((reconstruct(model)[-1], generate(model, SAMPLES))) for model in trained]
        titles = ["fixed noise", *(f"sample {index + 1}" for index in range(SAMPLES))]
        photograph = torch.cat([model[-1].image for model in trained])
        shown = {title: torch.stack([row[k] for row in drawn]) for k, title in enumerate(titles)}
        return {"photograph": photograph, **shown}

    return Data(figures, columns, {})


R1 = ',\n    r1=i2i.every(8, i2i.player(lambda n: (n.DA, n.DB), r1_loss, adam, lr=5e-4, weights={"r1": 1})))\n'
MIXES: Mapping[str, Mix] = {
    "attention-and-scales": Mix(
        disc_data,
        {
            AUTHORS: [('"cam": 100}', '"cam": 1000}')],
            "no attention": [('"cam": 100}', '"cam": 0}')],
            "no matching": [('"match": 10', '"match": 0')],
        },
    ),
    "averaged-cyclegan": Mix(
        thermal_data,
        {"no penalty": [(R1, ")\n")]},
        after='i2i.save(run.nets.G, "last-model")\n',
    ),
    "coarse-to-fine": Mix(thermal_data, {"full size only": [("[800, 500]", "[1, 960]")]}),
    "pyramid-norm": Mix(one_photograph, {"SinGAN's norm": [(", norm=iln(32)", "")]}),
    "matched-unet": Mix(paired_data, {"no matching": [('"match": 10', '"match": 0')]}),
    "few-pairs": Mix(
        few_pairs_data,
        {
            "no pairs": [('"pairs": 10', '"pairs": 0')],
            "pairs alone": [('"adv": 1, "cycle": 10', '"adv": 0, "cycle": 0')],
        },
    ),
}


if __name__ == "__main__":
    sys.exit(main())
