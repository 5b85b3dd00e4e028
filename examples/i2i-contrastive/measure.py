"""How close translations come to the truth, where it is known: ``python measure.py DATA PICTURE RUN [RUN ...]``.

``DATA`` holds ``testA`` and ``testB``, in which images belong together in the order of their names, as those of
``i2i demo cyclegan`` do. A line is printed for each run, and the picture shows what each makes of the first crops.
"""

from __future__ import annotations

import sys
from pathlib import Path

import i2i
from i2i.demos import HeldOut, evaluate, read_colours, to_tensor, translated
from i2i.grids import grid
from i2i.runs import model_folder

SHOWN = 8  # crops in the picture


def main(data: Path, picture: Path, *runs: Path) -> None:
    """Measure ``runs`` on the held-out images of ``data``, and draw them into ``picture``."""
    held_out = HeldOut(read_colours(data / "testA"), read_colours(data / "testB"))
    inputs, truths = (to_tensor(images[:SHOWN]) for images in held_out)
    columns = {"input": inputs}
    for run in runs:
        net = i2i.load(model_folder(str(run), None))
        near = evaluate(net, held_out)
        print(f"{run.name}: {near.psnr:.2f} dB, SSIM {near.ssim:.3f}")
        columns[run.name] = translated(net, inputs)
    grid(columns | {"truth": truths}).save(picture)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
