"""``i2i convert``."""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from i2i.cli.flags import call
from i2i.entries import ConverterEntry
from i2i.registry import converter, name_of

if TYPE_CHECKING:
    from torch import nn

    from i2i.parts import Spec


def main(argv: Sequence[str]) -> int:
    """Convert as the arguments say; a converter that is named first adds its own flags.

    Raises:
        I2IError: a mistake in the arguments or the files.
    """
    named = argv[0] if argv and not argv[0].startswith("-") else None
    call(convert if named is None else with_options(converter(named)), argv, "i2i convert")
    return 0


def convert(name: str, files: tuple[Path, ...], /, *, out: Path) -> None:
    """Convert checkpoints of other code to models, which i2i translate and i2i.load can use; nothing in them is run.

    Args:
        name: the converter, for example cyclegan or pix2pix; i2i --help lists them. i2i convert NAME --help shows the
            flags that one of them adds.
        files: the checkpoints (.pth), or for some converters (singan) the folders that hold them.
        out: folder of the model; of several models, each gets a folder in it, for example a2b and b2a.
    """
    _convert(name, files, out, {})


def with_options(entry: ConverterEntry) -> Callable[..., None]:
    """Return `convert` with the options of a converter as further flags; its docstring says what they are."""
    options = entry.options()
    if not options:
        return convert

    def command(name: str, files: tuple[Path, ...], /, *, out: Path, **options: Any) -> None:
        _convert(name, files, out, options)

    function, signature = entry.load(), inspect.signature(convert)
    hints = get_type_hints(function)
    about = inspect.getdoc(function) or ""
    command.__annotations__ = get_type_hints(convert) | {option: hints.get(option, str) for option in options}
    command.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), *options.values()]
    )
    command.__doc__ = "\n".join([inspect.getdoc(convert) or "", *(_help(option, about) for option in options)])
    return command


def _help(option: str, about: str) -> str:
    """What a docstring says about a parameter, as a further line of ``Args:``."""
    found = re.search(rf"^ +{option}: (.*(?:\n {{8}}.*)*)", about, re.MULTILINE)
    return f"    {option}: {' '.join(found[1].split()) if found else ''}"


def _convert(name: str, files: Sequence[Path], out: Path, options: Mapping[str, Any]) -> None:
    from i2i.convert import convert_files

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        converted = convert_files(name, files, out, options)
    for line in said:
        print(f"i2i: {line.message}", file=sys.stderr)
    for sources, net, folder in converted:
        print(f"{', '.join(map(str, sources))}: {_described(net)}\n  -> {folder}")


def _described(net: nn.Module) -> str:
    """Say what was inferred: the part, its size and its arguments."""
    from i2i.parts import Spec

    parameters = sum(parameter.numel() for parameter in net.parameters())
    spec = getattr(net, "spec", None)
    if not isinstance(spec, Spec):
        return f"{type(net).__name__}, {parameters:,} parameters"
    reads, writes = (getattr(getattr(net, side, None), "colours", "stored") for side in ("reads", "writes"))
    colours = "" if (reads, writes) == ("stored", "stored") else f"\n  reads {reads}, writes {writes}"
    return f"{_part(spec)}, {parameters:,} parameters\n{textwrap.indent(_arguments(spec), '  ')}{colours}"


def _part(spec: Spec) -> str:
    return name_of(spec.factory) or spec.factory


def _arguments(spec: Spec) -> str:
    """The arguments in a line, and those of each part among them in lines of its own."""
    specs = {name: getattr(value, "spec", None) for name, value in spec.arguments.items()}
    shown = {name: _part(of) if (of := specs[name]) else value for name, value in spec.arguments.items()}
    lines = [", ".join(f"{name} {value}" for name, value in shown.items())]
    lines += [f"{name}: {textwrap.indent(_arguments(of), '  ').lstrip()}" for name, of in specs.items() if of]
    return "\n".join(lines)
