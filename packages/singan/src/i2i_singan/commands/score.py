"""``i2i singan score``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from i2i.errors import SettingsError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from i2i.pixels import PixelFormat
    from i2i_singan.inception import Extractor
    from i2i_singan.model import PyramidGenerator
    from i2i_singan.scores import Scores

_COUNT = 50  # samples


def score(
    model: str,
    /,
    *,
    out: Path,
    samples: Path | None = None,
    count: int | None = None,
    start_scale: int | None = None,
    weights: Path | None = None,
    layer: Literal["first-pool", "second-pool"] | None = None,
    extractor: str | None = None,
    reference: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Measure how diverse samples are, and how far from the photograph they are patch by patch (SIFID).

    Args:
        model: a run or model of SinGAN.
        out: folder for score.json.
        samples: a picture or a folder of pictures to score, instead of samples that are made.
        count: how many samples are made; 50 when left out.
        start_scale: the scale that they begin at, above 0 with the photograph below it; 0 when left out.
        weights: a file with the weights of torchvision's inception_v3, for SIFID.
        layer: where in Inception: before the first pool as the authors measured, or before the second as they wrote;
            first-pool when left out.
        extractor: a function of yours that returns a network that makes feature maps, package.module:function.
        reference: cut decimals of samples off, as the authors' code does when it writes them, instead of rounding.
        seed: of the noise.
        device: auto, cpu, cuda, cuda:N, xpu or mps.
    """
    _check(samples, count, start_scale, weights, extractor)
    if layer is not None and weights is None:
        raise SettingsError(f"--layer (={layer}) is of Inception; name its weights as well: --weights FILE")
    from i2i.devices import usable_device
    from i2i.pixels import formats_of
    from i2i_singan.files import folder, load_model
    from i2i_singan.scores import score as measure

    place = usable_device(device)
    network = _extractor(weights, layer or "first-pool", extractor, place)
    net = load_model(model, device)
    pixels = formats_of(net)[1]
    found = _read(samples, pixels) if samples is not None else _made(net, count or _COUNT, start_scale or 0, seed)
    if len(found.names) == 1 and network is None:
        raise SettingsError("one sample has no diversity; take more, or name --weights FILE for SIFID")
    target = _as_written(net[-1].image, pixels, place, reference)
    images = (_as_written(image, pixels, place, reference) for image in _counted(found))
    scores = measure(images, target, None if network is None else network.net)
    _write(folder(out) / "score.json", {"model": model, **found.origin, **_record(scores, found.names, network)})
    _tell(scores, network)
    print(out / "score.json")


class _Samples(NamedTuple):
    """What is scored: names, images ``(1, c, h, w)`` that are made or read one after the other, and where from."""

    names: list[str]
    images: Iterable[Tensor]
    origin: dict[str, Any]


def _check(
    samples: Path | None, count: int | None, start_scale: int | None, weights: Path | None, extractor: str | None
) -> None:
    if weights is not None and extractor is not None:
        raise SettingsError("--weights is for Inception, --extractor for another network; name one of them")
    for name, value in (("--count", count), ("--start-scale", start_scale)):
        if samples is not None and value is not None:
            raise SettingsError(f"{name} is for samples that are made; leave it out with --samples")
    if count is not None and count < 1:
        raise SettingsError(f"--count (={count}) must be at least 1")


def _extractor(weights: Path | None, layer: Any, extractor: str | None, device: torch.device) -> Extractor | None:
    from i2i_singan.inception import inception, own_extractor

    if weights is None and extractor is None:
        return None
    found = inception(weights, layer) if weights is not None else own_extractor(str(extractor))
    return found._replace(net=found.net.to(device))


def _made(net: PyramidGenerator, count: int, start_scale: int, seed: int) -> _Samples:
    from i2i_singan.sampling import samples

    images = samples(net, count, seed=seed, start_scale=start_scale)
    names = [f"sample-{index:03}" for index in range(count)]  # as i2i singan sample calls them
    return _Samples(names, images, {"seed": seed, "start_scale": start_scale})


def _read(source: Path, pixels: PixelFormat) -> _Samples:
    from i2i.data import find_images, read_image, to_batch

    paths = find_images(source)
    root = source if source.is_dir() else source.parent
    images = (to_batch([read_image(path, pixels)], pixels) for path in paths)
    return _Samples([str(path.relative_to(root)) for path in paths], images, {"pictures": str(source)})


def _as_written(images: Tensor, pixels: PixelFormat, device: torch.device, reference: bool) -> Tensor:
    """Return images as they are once they were written to files."""
    from i2i.data import to_array, to_batch

    return to_batch([to_array(image, pixels, reference=reference) for image in images], pixels).to(device)


def _counted(found: _Samples) -> Iterator[Tensor]:
    from tqdm import tqdm

    yield from tqdm(found.images, total=len(found.names), unit="image", desc="score", disable=None)


def _record(found: Scores, names: list[str], network: Extractor | None) -> dict[str, Any]:
    record: dict[str, Any] = {"samples": found.samples, "diversity": found.diversity}
    if network is None:
        return record
    each = dict(zip(names, found.distances, strict=True))
    return record | {"distance": {"name": network.measure, "mean": found.distance, "each": each}}


def _write(path: Path, record: dict[str, Any]) -> None:
    from i2i.files import write_file, writing

    with writing(path, "a score that was there is intact"):
        write_file(path, lambda file: file.write(json.dumps(record, indent=2).encode() + b"\n"))


def _tell(found: Scores, network: Extractor | None) -> None:
    count = f"{found.samples} sample{'s' * (found.samples != 1)}"
    if found.diversity is not None:
        print(f"diversity: {found.diversity:.4g} of the photograph's contrast ({count})")
    if network is None:
        print("no distance was measured: name the weights of Inception (--weights FILE) for SIFID, or an --extractor")
    else:
        print(f"{network.measure}: {found.distance:.4g} (mean of {count})")
