"""A photograph of 2048x1536 pixels through the default generator, whole and in tiles: evidence-tiles.json.

Untrained weights make noise of any image, in which no seam could be seen. So the generator first learns a change of
colours from crops of photographs, for a few minutes. Then ``i2i translate`` translates the photograph, and a smooth
image, in processes of their own: in one pass, with ``--tile``, and cut into files by hand, each of which then has its
own statistics.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from results import write

import i2i
from i2i import photographs
from i2i.modes import fixed_statistics
from i2i.passes import whole as one_pass
from i2i.tiles import shares
from i2i_cyclegan.generators import ImageGenerator, resnet_generator

STEPS = 300
CROP = 96  # of 112 pixels: instance norms lose the colours of a crop that has but one
TILE = 512
SIZE = (2048, 1536)  # of the photograph: width, height
SMOOTH_SIZE = (1024, 768)
LIMIT = 2 * 2**30  # bytes that the tiles may take
MATRIX = np.array([[1.1, 0.0, 0.1], [0.1, 0.9, 0.1], [0.0, 0.1, 0.6]])  # evening light: redder, less blue

#: Runs a command and prints its largest memory. The figure begins with that of the process that starts the command, so
#: this one must be small.
LAUNCHER = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_maxrss, usage.ru_utime)
sys.exit(os.waitstatus_to_exitcode(status))
"""

Picture = NDArray[np.uint8]


def main() -> int:
    """Measure; 1 if the tiles take too much memory, or their borders add to the steps of one pass."""
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes, too
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        net, loss = trained()
        i2i.save(net, folder / "model")
        found = {
            title: measured(folder / title, folder / "model", picture, net)
            for title, picture in (("smooth image", smooth(*SMOOTH_SIZE)), ("photograph", photograph(*SIZE)))
        }
    write("evidence-tiles", {"tile": TILE, "limit": LIMIT, "steps": STEPS, "loss": loss, "images": found})
    tiles = {title: image["passes"]["tiles"] for title, image in found.items()}
    seams = [one["same_statistics"]["largest"] for one in tiles.values()] + [tiles["smooth image"]["seam"]["largest"]]
    return 0 if max(seams) <= 1 and all(one["memory"] <= LIMIT for one in tiles.values()) else 1


def trained() -> tuple[ImageGenerator, float]:
    """Teach the default generator a change of colours; return it with its mean absolute error in the last steps."""
    torch.manual_seed(0)
    net = resnet_generator()
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-4, betas=(0.5, 0.999))
    pictures = list(photographs.load(112).values())
    losses = []
    for which, rows, columns in photographs.crops(pictures, CROP, STEPS, seed=0):
        crop = pictures[which][rows, columns]
        source, target = (
            torch.from_numpy(x.transpose(2, 0, 1) * 2 - 1)[None].float() for x in (crop, np.clip(crop @ MATRIX, 0, 1))
        )
        optimizer.zero_grad()
        loss = (net(source).image - target).abs().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if len(losses) % 20 == 0:
            print(f"step {len(losses)}: {np.mean(losses[-20:]):.3f}", flush=True)
    return net.eval(), float(np.mean(losses[-20:]))


def smooth(width: int, height: int) -> Picture:
    """Return an image of slow gradients in all colours."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    waves = [np.sin(2 * x + 3 * y), np.cos(3 * x - 2 * y), 2 * x * y - 1]
    return np.round((np.stack(waves, 2) * 0.4 + 0.5) * 255).astype(np.uint8)


def photograph(width: int, height: int) -> Picture:
    """Return a photograph of a temple, enlarged and cropped."""
    pixels = photographs.load(height)["china"]
    left = (pixels.shape[1] - width) // 2
    return np.round(np.clip(pixels[:, left : left + width], 0, 1) * 255).astype(np.uint8)


def measured(folder: Path, model: Path, picture: Picture, net: ImageGenerator) -> dict[str, Any]:
    """Translate a picture in each way; seams are compared with the pass over the whole picture."""
    cuts = [[share.result.start for share in shares(n, TILE, net)][1:] for n in picture.shape[:2]]
    blocks = [list(range(TILE, n, TILE)) for n in picture.shape[:2]]
    whole, made = translated(folder / "whole", model, {"all": picture})
    passes = {"whole": made}
    tiled, passes["tiles"] = translated(folder / "tiles", model, {"all": picture}, "--tile", str(TILE))
    parts = {
        f"{row}-{column}": across
        for row, down in enumerate(np.split(picture, blocks[0]))
        for column, across in enumerate(np.split(down, blocks[1], 1))
    }
    alone, passes["alone"] = translated(folder / "alone", model, parts)
    passes["tiles"]["seam"] = seam(tiled["all"], whole["all"], cuts)
    between = [[place + TILE // 4 for place in places] for places in cuts]  # no tile ends there
    passes["tiles"]["elsewhere"] = seam(tiled["all"], whole["all"], between)
    passes["tiles"]["same_statistics"] = seam(tiled["all"], with_statistics(net, picture), cuts)
    together = np.vstack(
        [np.hstack([alone[f"{row}-{i}"] for i in range(len(blocks[1]) + 1)]) for row in range(len(blocks[0]) + 1)]
    )
    passes["alone"]["seam"] = seam(together, whole["all"], blocks)
    return {"size": list(picture.shape[1::-1]), "passes": passes}


def with_statistics(net: ImageGenerator, picture: Picture) -> Picture:
    """Translate a picture in one pass with the statistics that its tiles have."""
    image = torch.from_numpy(picture.transpose(2, 0, 1) / 127.5 - 1)[None].float()
    scale = TILE / (picture.shape[0] * picture.shape[1]) ** 0.5
    size = [round(n * scale) for n in picture.shape[:2]]
    small = torch.nn.functional.interpolate(image, size, mode="bilinear", antialias=True)
    with torch.inference_mode(), fixed_statistics(net, lambda: one_pass(net, small)):
        made = net(image).image[0]
    return ((made + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()


def translated(
    folder: Path, model: Path, pictures: dict[str, Picture], *flags: str
) -> tuple[dict[str, Picture], dict[str, Any]]:
    """Run ``i2i translate`` in a process of its own; return its results, its time and its largest memory in bytes."""
    (folder / "in").mkdir(parents=True)
    for name, picture in pictures.items():
        Image.fromarray(picture).save(folder / "in" / f"{name}.png")
    translate = [str(Path(sys.executable).with_name("i2i")), "translate", str(model), str(folder / "in")]
    command = [*translate, "--out", str(folder / "out"), "--device", "cpu", *flags]
    begun = time.perf_counter()
    process = subprocess.run([sys.executable, "-S", "-c", LAUNCHER, *command], check=True, stdout=subprocess.PIPE)
    seconds = time.perf_counter() - begun
    largest, user = map(float, process.stdout.split())
    memory = int(largest) * (1 if sys.platform == "darwin" else 1024)
    print(f"{folder.parent.name}, {folder.name}: {memory / 2**30:.2f} GiB, {seconds:.0f} s", flush=True)
    images = {name: np.asarray(Image.open(folder / "out" / f"{name}.png")) for name in pictures}
    return images, {"memory": memory, "seconds": round(seconds, 1), "cpu_seconds": round(user, 1)}


def seam(picture: Picture, whole: Picture, cuts: Sequence[Sequence[int]]) -> dict[str, float]:
    """Compare the steps across the borders of tiles with those of the whole pass at the same places, in levels of 255.

    Returns:
        ``largest``: the largest step, less the largest one of the whole pass. ``mean``: the mean step along the
        border where it exceeds that of the whole pass most, less that. ``difference``: mean absolute difference of the
        results.
    """
    largest, mean = [], []
    for axis, places in enumerate(cuts):
        steps = [np.abs(np.diff(x.astype(float), axis=axis)) for x in (picture, whole)]
        for place in places:
            ours, theirs = (np.take(x, place - 1, axis) for x in steps)
            largest.append((ours.max(), theirs.max()))
            mean.append(ours.mean() - theirs.mean())
    ours, theirs = np.max(largest, axis=0)
    difference = np.abs(picture.astype(float) - whole).mean()
    return {
        "largest": float(ours - theirs),
        "mean": round(float(max(mean)), 3),
        "difference": round(float(difference), 2),
    }


if __name__ == "__main__":
    sys.exit(main())
