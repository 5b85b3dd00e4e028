"""``i2i convert``."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from i2i.registry import name_of

if TYPE_CHECKING:
    from torch import nn


def convert(name: str, files: tuple[Path, ...], /, *, out: Path) -> None:
    """Convert checkpoints of other code to models, which i2i translate and i2i.load can use; nothing in them is run.

    Args:
        name: the converter, for example cyclegan or pix2pix; i2i --help lists them.
        files: the checkpoints (.pth), or for some converters (singan) the folders that hold them.
        out: folder of the model; of several files, each gets a folder in it, for example a2b and b2a.
    """
    from i2i.convert import convert_files

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        converted = convert_files(name, files, out)
    for line in said:
        print(f"i2i: {line.message}", file=sys.stderr)
    for source, net, folder in converted:
        print(f"{source}: {_described(net)}\n  -> {folder}")


def _described(net: nn.Module) -> str:
    """Say what was inferred: the part, its size and its arguments."""
    from i2i.parts import Spec

    parameters = sum(parameter.numel() for parameter in net.parameters())
    spec = getattr(net, "spec", None)
    if not isinstance(spec, Spec):
        return f"{type(net).__name__}, {parameters:,} parameters"
    arguments = ", ".join(f"{name} {value}" for name, value in spec.arguments.items())
    reads, writes = (getattr(getattr(net, side, None), "colours", "stored") for side in ("reads", "writes"))
    colours = "" if (reads, writes) == ("stored", "stored") else f"\n  reads {reads}, writes {writes}"
    return f"{name_of(spec.factory) or spec.factory}, {parameters:,} parameters\n  {arguments}{colours}"
