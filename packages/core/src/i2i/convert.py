"""Checkpoints of other code as models of i2i.

A converter is a function of a plugin (`i2i.hookspecs.register_converters`). `weights_of`, `filled` and what stands
between them are for its use: what is common to all files of weights is done there. `i2i.pickles` reads the files.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from i2i.entries import ConverterEntry
from i2i.errors import I2IError, ModelError, RunError, SettingsError
from i2i.layers import Norm
from i2i.models import CONFIG, save
from i2i.nearest import nearest
from i2i.parts import Spec
from i2i.pickles import read_checkpoint
from i2i.registry import converter
from i2i.tensorfile import NAMES

M = TypeVar("M", bound=nn.Module)

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "params", "weights")
# What DataParallel, DistributedDataParallel and torch.compile put in front of every name.
PREFIXES = ("module.", "_orig_mod.")
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_KEY = re.compile(r"\w[\w.-]*")


class Converted(NamedTuple):
    """A model that was converted, and where it was saved.

    Attributes:
        sources: the file (or folder) that it comes from; of a converter that takes files together, all of them.
        net: the model.
        folder: where it was saved.
    """

    sources: tuple[Path, ...]
    net: nn.Module
    folder: Path


class _Found(NamedTuple):
    """A model that is not saved yet."""

    sources: tuple[Path, ...]
    key: str
    net: nn.Module

    @property
    def named(self) -> str:
        """What it comes from, for messages."""
        return ", ".join(map(str, self.sources))


def convert_files(
    name: str, files: Sequence[str | Path], out: str | Path, options: Mapping[str, Any] | None = None
) -> list[Converted]:
    """Convert checkpoints and save them; nothing is written before all of them are understood.

    Args:
        name: a registered converter.
        files: the checkpoints; where a converter takes folders, those.
        out: the folder of the model, where there is one only; of several, each gets a folder of its own in it, named by
            its key (``a2b``).
        options: what this converter can be told beside the files: its keyword-only parameters.

    Returns:
        The models in the order of the files.

    Raises:
        PluginError: no such converter.
        ModelError: a file (or folder) cannot be read or is something else, two files hold models of one key, or ``out``
            holds something that is no model.
        SettingsError: no files, or an option that this converter does not have or that does not fit.
        RunError: a model cannot be written, or would take the place of one that a run has trained.
    """
    entry = converter(name)
    _check_options(entry, options or {})
    paths = [Path(file) for file in files]
    if not paths:
        what = ("folder", "FOLDER") if entry.folders else ("files", "FILE...")
        raise SettingsError(f"which {what[0]}? i2i convert {name} {what[1]} --out MODEL")
    convert = functools.partial(entry.load(), **(options or {}))
    if entry.together:
        together = convert({path: read_checkpoint(path) for path in paths})
        found = [_Found(tuple(paths), key, net) for key, net in together.items()]
    else:
        read = [(path, _converted(convert, path, folder=entry.folders)) for path in paths]
        found = [_Found((path,), key, net) for path, models in read for key, net in models.items()]
    folders = [Path(out)] if len(found) == 1 else _folders(found, Path(out))
    for folder in folders:
        _check_in_no_run(folder)
    return [Converted(each.sources, each.net, _saved(each.net, to)) for each, to in zip(found, folders, strict=True)]


def _check_in_no_run(folder: Path) -> None:
    run = next((above for above in folder.absolute().parents if (above / "settings.toml").is_file()), None)
    if run is not None:
        raise RunError(f"{folder} lies in {run}, a run, whose own models would be lost; choose another --out")


def _check_options(entry: ConverterEntry, options: Mapping[str, Any]) -> None:
    known = entry.options()
    for option in options:
        if option not in known:
            hint = nearest(option, known) if known else "it has none"
            raise SettingsError(f"converter {entry.name!r} has no option {option!r}; {hint}")


def _saved(net: nn.Module, folder: Path) -> Path:
    try:
        return save(net, folder)
    except RunError as error:
        said, _, _ = str(error).partition("; ")
        raise RunError(f"{said}; choose another --out") from error


def _converted(convert: Callable[..., Mapping[str, nn.Module]], path: Path, *, folder: bool) -> Mapping[str, nn.Module]:
    if folder:
        _check_folder(path)
        return convert(path)
    found = read_checkpoint(path)
    try:
        return convert(found, path.name)
    except I2IError as error:
        raise ModelError(f"{path}: {error}") from error


def _check_folder(path: Path) -> None:
    if path.is_file():
        raise ModelError(f"{path} is a file; name the folder that holds it: {path.parent}")
    if not path.is_dir():
        raise ModelError(f"{path}: no such folder")


def _folders(found: Sequence[_Found], out: Path) -> list[Path]:
    """A folder in ``out`` for each model, once it is certain that they do not mix with each other or something else."""
    known: dict[str, _Found] = {}
    for each in found:
        if not _KEY.fullmatch(each.key):
            raise ModelError(
                f"{each.named}: {each.key!r} is no name for a model; convert the file by itself, or rename it"
            )
        if (before := known.setdefault(each.key, each)) is not each:
            raise ModelError(
                f"{before.named} and {each.named} are both {each.key!r}; convert one of them to another --out"
            )
    if out.exists() and not out.is_dir():
        raise ModelError(f"{out} is a file; name a folder for the models")
    for held in sorted(out.iterdir()) if out.is_dir() else []:
        if not (held / CONFIG).is_file() and not held.name.startswith("."):
            raise ModelError(f"{out} holds {held.name}, not only folders of models; name an empty folder")
    return [out / key for key in known]


def inventory(found: Mapping[str, Any], most: int = 4) -> str:
    """Say in one line what a checkpoint holds.

    Example:
        >>> inventory({"head.weight": torch.zeros(8, 3), "epoch": 7})
        "2 entries: 'head.weight' [8, 3], 'epoch' (int)"
    """
    shown = [f"{_short(key)} {_kind(value)}" for key, value in islice(found.items(), most)]
    count = "1 entry" if len(found) == 1 else f"{len(found)} entries"
    return f"{count}: {', '.join(shown)}{', ...' if len(found) > most else ''}"


def _short(key: object) -> str:
    text = repr(key)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _kind(value: Any) -> str:
    return str(list(value.shape)) if isinstance(value, Tensor) else f"({type(value).__name__})"


def weights_of(found: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights in a checkpoint: without the wrapper around them and the prefix of their names.

    Args:
        found: what `read_checkpoint` returned, or a part of it.

    Returns:
        Float32 and int64 tensors by name.

    Raises:
        ModelError: it holds other things, or weights that are not finite.

    Example:
        >>> weights_of({"state_dict": {"module.a.weight": torch.ones(2, dtype=torch.float16)}, "epoch": 3})
        {'a.weight': tensor([1., 1.])}
    """
    for _ in range(4):  # a file may hold a mapping that holds itself
        found = next((found[key] for key in WRAPPERS if isinstance(found.get(key), Mapping)), found)
    if not found or not all(isinstance(key, str) and isinstance(value, Tensor) for key, value in found.items()):
        raise ModelError(f"is no state_dict of one net: {inventory(found) if found else 'it is empty'}")
    while prefix := next((p for p in PREFIXES if all(key.startswith(p) for key in found)), None):
        found = {key.removeprefix(prefix): value for key, value in found.items()}
    return {key: _plain(key, value) for key, value in found.items()}


def _plain(key: str, value: Tensor) -> Tensor:
    if value.layout != torch.strided or value.dtype not in NAMES or value.is_complex():
        raise ModelError(f"{_short(key)} is no plain tensor ({value.dtype}, {value.layout})")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise ModelError(f"{_short(key)} lies about its size {list(value.shape)}; the file is damaged")
    value = value.detach().to(torch.float32 if value.is_floating_point() else torch.int64)
    if not value.isfinite().all():
        raise ModelError(f"{_short(key)} is not finite: the training had failed by then; take an earlier checkpoint")
    return value


def convolutions(weights: Mapping[str, Tensor], pattern: str) -> list[int]:
    r"""Return the positions of convolutions in a sequence, in order.

    Args:
        weights: what `weights_of` returned.
        pattern: a regular expression for the whole name of such a weight, with the position as its group.

    Example:
        >>> found = {"model.10.weight": torch.ones(1, 1, 3, 3), "model.2.weight": torch.ones(1, 1, 3, 3)}
        >>> convolutions(found | {"model.3.weight": torch.ones(1)}, r"model\.(\d+)\.weight")
        [2, 10]
    """
    found = {match[1] for key, value in weights.items() if value.ndim == 4 and (match := re.fullmatch(pattern, key))}
    return sorted(map(int, found))


def has_batch_norm(weights: Mapping[str, Tensor]) -> bool:
    """Tell whether a net of convolutions has batch norms: of the usual norms they alone have weights of their own.

    Example:
        >>> has_batch_norm({"0.weight": torch.ones(8, 3, 3, 3), "0.bias": torch.ones(8), "1.weight": torch.ones(8)})
        True
    """
    return any(key.endswith(".weight") and value.ndim == 1 for key, value in weights.items())


def with_statistics(weights: Mapping[str, Tensor], norm: Norm) -> dict[str, Tensor]:
    """Make files of old versions of PyTorch equal to new ones.

    Instance norm used to save statistics that nothing reads; batch norm did not save the number of its batches.

    Args:
        weights: what `weights_of` returned.
        norm: of the net.

    Returns:
        The weights with all the statistics of batch norms, without those of instance norms.

    Example:
        >>> list(with_statistics({"1.bias": torch.ones(2), "2.running_mean": torch.ones(2)}, "instance"))
        ['1.bias']
    """
    if norm == "instance":
        return {key: value for key, value in weights.items() if key.rpartition(".")[2] not in _STATISTICS}
    means = [key for key in weights if key.endswith(".running_mean")] if norm == "batch" else []
    return {key.replace("running_mean", "num_batches_tracked"): torch.tensor(0) for key in means} | dict(weights)


def filled(build: Callable[[], M], weights: Mapping[str, Tensor]) -> M:
    """Build a net and give it the weights of a file.

    Args:
        build: makes the net; it is called on the meta device, so that the size of a wrong guess costs nothing.
        weights: what `weights_of` returned.

    Returns:
        The net in eval mode; it keeps the tensors of ``weights``.

    Raises:
        ModelError: the net cannot be built, or a name or shape differs; the first difference is named.

    Example:
        >>> filled(lambda: nn.Conv2d(1, 1, 1), {"weight": torch.ones(1, 1, 1, 1), "bias": torch.zeros(1)}).bias.item()
        0.0
    """
    try:
        with torch.device("meta"):
            net = build()
    except SettingsError as error:
        raise ModelError(f"holds a net that cannot be built: {error}; {inventory(weights)}") from error
    wanted = net.state_dict()
    misfit = f"does not fit {_title(net)}"
    for key, value in wanted.items():
        if key not in weights:
            raise ModelError(f"{misfit}: {key} {list(value.shape)} is missing; {inventory(weights)}")
        if value.shape != weights[key].shape:
            raise ModelError(f"{misfit}: {key} should be {list(value.shape)}, not {list(weights[key].shape)}")
    if extra := next((key for key in weights if key not in wanted), None):
        raise ModelError(f"{misfit}: {_short(extra)} {list(weights[extra].shape)} belongs to nothing in it")
    net.load_state_dict(dict(weights), assign=True)
    return net.eval()


def _title(net: nn.Module) -> str:
    spec = getattr(net, "spec", None)
    return spec.factory.rpartition(":")[2] if isinstance(spec, Spec) else type(net).__name__
