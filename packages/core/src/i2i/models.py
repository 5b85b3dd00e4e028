"""Models on disk: ``model.safetensors``, ``config.json``, a model card and a sample picture. No pickle, ever."""

from __future__ import annotations

import json
import re
import textwrap
import warnings
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from i2i import registry, specs
from i2i.card import model_card
from i2i.errors import ModelError, SettingsError
from i2i.files import write_file, writing
from i2i.parts import Spec
from i2i.pixels import TAKEN, formats_of, from_json, to_json
from i2i.tensorfile import NAMES, Entry, TensorFile, what_else, write_tensors

CONFIG = "config.json"
CARD = "README.md"
SAMPLE = "sample.png"
# config.json names its weights. A model of another build gets the name that is not in use, so that replacing
# config.json is the one moment at which the folder changes from the old model to the new one.
WEIGHTS = ("model.safetensors", "model-2.safetensors")
_FIELDS: Mapping[str, Callable[[Any], bool]] = {
    "weights": lambda value: value in WEIGHTS,
    "spec": lambda value: value is None or isinstance(value, dict),
    "aliases": lambda value: isinstance(value, dict) and all(isinstance(name, str) for name in value.values()),
    "channels": lambda value: isinstance(value, list) and len(value) == 2 and all(map(_is_count, value)),
    "reads": lambda value: _is_format(value),
    "writes": lambda value: _is_format(value),
    "multiple": lambda value: isinstance(value, int),
    "parameters": lambda value: isinstance(value, int),
    "versions": lambda value: isinstance(value, dict),
    "takes": lambda value: isinstance(value, str) and value in TAKEN,
    "size": lambda value: isinstance(value, list) and len(value) == 2 and all(type(side) is int for side in value),
}
_OPTIONAL = ("reads", "writes", "takes", "size")  # not there in models of earlier versions, or of images of any size
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def save(net: nn.Module, folder: str | Path, *, sample: Tensor | None = None) -> Path:
    """Save a network for use: its weights and how to build it, but nothing of its training.

    A model that is there already is replaced. A reader, or a crash, at any moment finds the old or the new one
    complete. A net that no registered part made (or that was changed since) is saved with its weights only; a warning
    says how to load it.

    Args:
        net: the module; best one that a part returned, so that it carries a ``spec``.
        folder: is made if needed; empty, or holding a model.
        sample: a picture for the model card, ``(c, h, w)`` in ``[-1, 1]``.

    Returns:
        The folder.

    Raises:
        ModelError: ``folder`` holds other things, or the net holds what safetensors cannot.
        RunError: it cannot be written (disk full, ...); a model that was there is intact.

    Example:
        >>> import tempfile
        >>> net = nn.Conv2d(3, 3, 1)  # made by no part, so its weights only
        >>> folder = save(net, tempfile.mkdtemp())
        >>> load(folder, into=nn.Conv2d(3, 3, 1)).weight.equal(net.weight)
        True
    """
    folder = Path(folder)
    before = _before(folder)
    tensors, aliases = _tensors(net)
    config = _describe(net, tensors, aliases)
    config["weights"] = before["weights"] if before else WEIGHTS[0]
    if before and before != config:
        config["weights"] = WEIGHTS[1 - WEIGHTS.index(before["weights"])]
    with writing(folder, "a complete model is still there" if before else "make room and save it again"):
        folder.mkdir(parents=True, exist_ok=True)
        write_file(folder / config["weights"], lambda file: write_tensors(file, tensors))
        if before != config:
            write_file(folder / CONFIG, lambda file: file.write(json.dumps(config, indent=1).encode()))
        for unused in set(WEIGHTS) - {config["weights"]}:
            (folder / unused).unlink(missing_ok=True)
        _decorate(folder, config, sample)
    return folder


def load(model: str | Path, *, into: nn.Module | None = None, device: str | torch.device | None = None) -> nn.Module:
    """Load a saved network, in eval mode.

    ``net.reads`` and ``net.writes`` say what its images are in files, see `i2i.PixelFormat`.

    Only registered parts are built, first without memory: every name, shape and type is compared with the header of
    the file before memory is taken. The global random state is not touched.

    Args:
        model: a folder that `save` wrote, or a Hub id ``"owner/name"``.
        into: load the weights into this net instead of building one.
        device: where the net shall be; None: the CPU, or where ``into`` is.

    Returns:
        The net, or ``into``.

    Raises:
        ModelError: no such model, a file of it is damaged or lies, a plugin is missing, or the net differs.
    """
    folder = _folder(model)
    while True:
        config = _config(folder)
        try:
            net = _load(folder, config, into)
        except ModelError:
            if _config(folder) == config:
                raise
            continue  # the model was replaced while it was read
        net.reads, net.writes = from_json(config["reads"]), from_json(config["writes"])  # type: ignore[assignment]
        net.eval()
        return net if device is None else net.to(device)


def describe(model: str | Path) -> dict[str, Any]:
    """Return what ``i2i info`` shows of a model: the contents of ``config.json`` and the size of the weights.

    Raises:
        ModelError: no such model, or a file of it is damaged.
    """
    folder = _folder(model)
    config = _config(folder)
    with TensorFile(folder / config["weights"]) as file:
        dtypes = sorted({NAMES[entry.dtype] for entry in file.entries.values()})
        size = sum(entry.end - entry.begin for entry in file.entries.values())
    return {"folder": str(folder), **config, "dtypes": dtypes, "bytes": size}


def _before(folder: Path) -> dict[str, Any] | None:
    """The config of the model in ``folder``; None where there is nothing, or no more than a first save left."""
    if not folder.exists():
        return None
    if not folder.is_dir():
        raise ModelError(f"{folder} is a file; name a folder for the model")
    if (folder / CONFIG).exists():
        return _config(folder)
    ours = {*WEIGHTS, *(f".{name}.tmp" for name in (*WEIGHTS, CONFIG))}
    if foreign := sorted(path.name for path in folder.iterdir() if path.name not in ours):
        raise ModelError(f"{folder} holds {foreign[0]} and is no model; name an empty folder")
    return None


def _tensors(net: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of ``net`` by name, shared ones once, and the other names of those: ``{other name: name}``."""
    tensors: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    seen: dict[Any, str] = {}
    for name, value in net.state_dict().items():
        if not isinstance(value, Tensor) or value.dtype not in NAMES:
            raise ModelError(f"{name} of the net is a {getattr(value, 'dtype', type(value).__name__)}: cannot be saved")
        view = (value.device, value.data_ptr(), value.shape, value.stride(), value.dtype) if value.numel() else name
        first = seen.setdefault(view, name)
        if first == name:
            tensors[name] = value
        else:
            aliases[name] = first
    return tensors, aliases


def _describe(net: nn.Module, tensors: Mapping[str, Tensor], aliases: Mapping[str, str]) -> dict[str, Any]:
    spec = _spec(net, tensors, aliases)
    reads, writes = formats_of(net)
    takes, size = getattr(net, "takes", None), getattr(net, "size", None)
    if takes is not None and takes not in TAKEN:
        raise ModelError(f"takes (={takes}) of the net must be {' or '.join(TAKEN)}, or None where it reads images")
    owners = {registry.part(name).distribution for name in specs.parts_in(spec)}
    return {
        "format": "i2i-model",
        "spec": spec,
        "channels": [getattr(net, "in_channels", None), getattr(net, "out_channels", None)],
        "reads": to_json(reads),
        "writes": to_json(writes),
        "multiple": getattr(net, "multiple", 1),
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "aliases": dict(aliases),
        "versions": {name: metadata.version(name) for name in ("i2i-core", *sorted(owners - {"i2i-core"}), "torch")},
        **({"takes": takes} if takes is not None else {}),
        **({"size": list(size)} if isinstance(size, tuple) else {}),
    }


def _spec(net: nn.Module, tensors: Mapping[str, Tensor], aliases: Mapping[str, str]) -> dict[str, Any] | None:
    """The spec of ``net``, if building it again gives a net with the same tensors; else None, with a warning."""
    try:
        if not isinstance(getattr(net, "spec", None), Spec):
            raise ModelError(f"no registered part made this {type(net).__name__}")
        spec = specs.to_json(net.spec)  # type: ignore[arg-type]
        held = {name: Entry(tensor.dtype, tuple(tensor.shape), 0, 0) for name, tensor in tensors.items()}
        built = specs.build_on_meta(spec, "the net", most=_most(held))
        _compare("the net", held, aliases, built)
    except ModelError as error:
        warnings.warn(f"saved the weights only, use i2i.load(folder, into=net): {error}", stacklevel=4)
        return None
    return spec


def _decorate(folder: Path, config: Mapping[str, Any], sample: Tensor | None) -> None:
    """Write the picture and the card."""
    if sample is not None:
        from i2i.data.images import write_image
        from i2i.grids import viewable

        picture = folder / f".new-{SAMPLE}"
        write_image(viewable(sample), picture)
        picture.replace(folder / SAMPLE)
    card = model_card(config, folder, picture=(folder / SAMPLE).exists())
    write_file(folder / CARD, lambda file: file.write(card.encode()))


def _folder(model: str | Path) -> Path:
    """The local folder of a model, fetched from the Hub if there is no such folder."""
    path = Path(model)
    if path.is_dir():
        return path
    wanted = f"expected a folder with {CONFIG} and {WEIGHTS[0]}, as i2i.save writes"
    if path.exists():
        with open(path, "rb") as file:
            kind = what_else(file.read(8)) or "a file"
        raise ModelError(f"{path} is {kind} and was not opened; {wanted}")
    if not isinstance(model, str) or not _HUB_ID.fullmatch(model):
        raise ModelError(f"{path}: no such folder; {wanted}, or a Hub id such as owner/name")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ModelError(
            f"{model}: no such folder; to fetch models from the Hub: pip install huggingface_hub"
        ) from error
    try:
        # Plugins keep tensors of theirs beside the weights; what lies in folders is no part of a model.
        return Path(snapshot_download(model, allow_patterns=[CONFIG, "*.safetensors"], ignore_patterns=["*/*"]))
    except (OSError, ValueError) as error:  # the base classes of all that the Hub client raises
        quoted = str(error).partition("\n")[0] if str(error).startswith("Got: ") else str(error)
        said = re.sub(r"\.? \(Request ID[^)]*\)", "", " ".join(quoted.split()))
        said = re.sub(r"^Got: \w+: (\[Errno -?\d+\] )?", "", said)  # an error that the client quotes
        reason = textwrap.shorten(re.split(r"[.,:;(] | for url", said)[0].rstrip("."), 80, placeholder=" ...")
        raise ModelError(
            f"{model}: no such folder, and no such model could be fetched from the Hub: {reason}"
        ) from error


def _config(folder: Path) -> dict[str, Any]:
    """Read and check ``config.json``."""
    path = folder / CONFIG
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        found = next((f" (it holds {p.name})" for p in sorted(folder.iterdir()) if not p.name.startswith(".")), "")
        raise ModelError(f"{folder} is no model of i2i: it has no {CONFIG}{found}") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: damaged (no JSON); use another copy of the model") from error
    if not isinstance(config, dict) or config.get("format") != "i2i-model":
        raise ModelError(f"{path}: was not written by i2i (its format is not 'i2i-model')")
    if config.pop("from_noise", None) is True:  # what earlier versions wrote
        config["takes"] = "noise"
    _check_config(config, path)
    return _with_formats(config)


def _with_formats(config: Mapping[str, Any]) -> dict[str, Any]:
    """Add the formats that models saved without them have: 8 bits, and the channels of the net."""
    taken, made = config["channels"]
    reads, writes = formats_of(SimpleNamespace(in_channels=taken, out_channels=made))
    return {"reads": to_json(reads), "writes": to_json(writes), **config}


def _is_count(value: Any) -> bool:
    return value is None or (isinstance(value, int) and value > 0)


def _is_format(value: Any) -> bool:
    try:
        from_json(value)
    except SettingsError:
        return False
    return True


def _check_config(config: Mapping[str, Any], path: Path) -> None:
    for name, well_formed in _FIELDS.items():
        if name not in config and name in _OPTIONAL:
            continue
        if name not in config or not well_formed(config[name]):
            raise ModelError(f"{path}: {name} (={str(config.get(name))[:80]}) is not what i2i writes there")
    specs.check(config["spec"], str(path))


def _load(folder: Path, config: Mapping[str, Any], into: nn.Module | None) -> nn.Module:
    spec, aliases, where = config["spec"], config["aliases"], str(folder / CONFIG)
    with TensorFile(folder / config["weights"]) as file:
        if into is None and spec is None:
            raise ModelError(f"{folder} holds weights only: build the net and use i2i.load({str(folder)!r}, into=net)")
        net = into if into is not None else specs.build_on_meta(spec, where, most=_most(file.entries))
        _compare(str(file.path), file.entries, aliases, net)
        tensors = file.read()
    for other, name in aliases.items():
        tensors[other] = tensors[name]
    if into is None and not _only_persistent(net):
        with torch.random.fork_rng(devices=[]):
            into = specs.build(spec, where)
    if into is not None:
        into.load_state_dict(tensors)
        return into
    net.load_state_dict(_tied_like(net, tensors), assign=True)
    return net


def _most(entries: Mapping[str, Entry]) -> int:
    # Weight and spectral norm register a weight several times.
    return 64 + 4 * len(entries)


def _compare(where: str, entries: Mapping[str, Entry], aliases: Mapping[str, str], net: nn.Module) -> None:
    """Compare what a file holds with what a net needs.

    Raises:
        ModelError: names the first tensor that differs.
    """
    wanted = {name: value for name, value in net.state_dict().items() if isinstance(value, Tensor)}
    held = {name: entries[source] for name, source in aliases.items() if source in entries} | dict(entries)
    for name, value in wanted.items():
        if name not in held:
            raise ModelError(f"{where}: tensor {name!r}, which {type(net).__name__} needs, is missing")
        entry = held[name]
        if entry.shape != tuple(value.shape):
            raise ModelError(f"{where}: tensor {name!r} has shape {list(entry.shape)}, expected {list(value.shape)}")
        if entry.dtype != value.dtype:
            raise ModelError(f"{where}: tensor {name!r} is {entry.dtype}, expected {value.dtype}")
    if extra := sorted(held.keys() - wanted.keys()):
        raise ModelError(f"{where}: tensor {extra[0]!r} belongs to nothing in this {type(net).__name__}")


def _only_persistent(net: nn.Module) -> bool:
    """Whether the state_dict holds every tensor of ``net``: no non-persistent buffer, no tensor in an attribute."""
    saved = {id(value) for value in net.state_dict(keep_vars=True).values()}
    attributes = [value for module in net.modules() for value in vars(module).values() if isinstance(value, Tensor)]
    return not attributes and all(id(buffer) in saved for buffer in net.buffers())


def _laid_out_like(built: Tensor, read: Tensor) -> Tensor:
    """Give a weight the memory format that it was built in: in another one, sums come out with other roundings."""
    if read.stride() == built.stride():
        return read
    return torch.empty_like(built, device=read.device, requires_grad=False).copy_(read)


def _tied_like(net: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give each parameter object of ``net`` one new parameter, so that what is shared stays shared."""
    new: dict[int, nn.Parameter] = {}
    result = dict(tensors)
    for name, parameter in net.named_parameters(remove_duplicate=False):
        made = nn.Parameter(_laid_out_like(parameter, tensors[name]), requires_grad=parameter.requires_grad)
        result[name] = new.setdefault(id(parameter), made)
    return result
