"""``i2i singan sample``, ``reconstruct`` and ``animate``: images of noise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

_LESS = "a smaller --tile, --scale-h or --scale-v"

_FILMED = (0, 1, 2)  # the start scales of the paper's films
Item = TypeVar("Item")


def sample(
    model: str,
    /,
    *,
    out: Path,
    count: int = 50,
    start_scale: int = 0,
    scale_h: float = 1.0,
    scale_v: float = 1.0,
    seed: int = 0,
    device: str = "auto",
    tile: int = 512,
) -> None:
    """Make new images of the kind of the photograph, of any size.

    Args:
        model: a run or model of SinGAN.
        out: folder for the samples: sample-000.png and so on.
        count: how many samples.
        start_scale: where noise begins; above 0 the layout of the photograph is kept, and only finer details change.
        scale_h: width of the samples as a multiple of that of the photograph.
        scale_v: height of the samples as a multiple of that of the photograph.
        seed: of the noise; each sample has noise of its own, whatever the count.
        device: auto, cpu, cuda, cuda:N, xpu or mps.
        tile: make large images in tiles of this side, to save memory; the result is the same.
    """
    from i2i.shortage import memory_suffices
    from i2i_singan.files import load_model, write
    from i2i_singan.sampling import samples

    net = load_model(model, device)
    names = [f"sample-{index:03}" for index in range(count)]
    with memory_suffices(_LESS, lambda: f"a sample of {scale_h:g} times the width and {scale_v:g} times the height"):
        made = samples(net, count, seed=seed, start_scale=start_scale, scale_v=scale_v, scale_h=scale_h, tile=tile)
        written = write((each[0] for each in _counted(made, count, "image", "sample")), out, names, net)
    print(f"{count} sample{'s' * (count != 1)}: {written[0]}{f' to {written[-1].name}' * (count != 1)}")


def reconstruct(
    model: str,
    /,
    *,
    out: Path,
    all_scales: bool = False,
    reference: bool = False,
    device: str = "auto",
) -> None:
    """Make the photograph as the model gives it of its fixed noise, and say how far off it is.

    Args:
        model: a run or model of SinGAN.
        out: folder for the images.
        all_scales: write the image of every scale, not of the finest only.
        reference: as the authors' pictures: each net normalises by its own image as in training, and decimals are cut
            off.
        device: auto, cpu, cuda, cuda:N, xpu or mps.
    """
    from i2i_singan import sampling
    from i2i_singan.files import load_model, write

    net = load_model(model, device)
    found = sampling.reconstruct(net, train_mode=reference)
    for k, images in enumerate(found):
        if all_scales or k == len(net) - 1:
            height, width = net.sizes[k]
            print(f"scale {k}, {width}x{height}: {_error(images, net[k].image):.2f} % of the range off (RMSE)")
            for path in write(images, out, _names(k, images, all_scales), net, reference=reference):
                print(path)


def _error(made: Tensor, image: Tensor) -> float:
    return float((made.clamp(-1, 1) - image).square().mean().sqrt()) / 2 * 100


def _names(k: int, images: Tensor, all_scales: bool) -> list[str]:
    name = "reconstruction" + f"-scale-{k}" * all_scales
    return [name] if len(images) == 1 else [f"{name}-image-{index:03}" for index in range(len(images))]


def animate(
    model: str,
    /,
    *,
    out: Path,
    start_scale: tuple[int, ...] = _FILMED,
    alpha: float = 0.1,
    beta: tuple[float, ...] = (0.8, 0.85, 0.9, 0.95),
    frames: int = 100,
    fps: float = 10.0,
    format: Literal["gif", "webp", "mp4"] = "gif",
    as_is: bool = False,
    steps: int | None = None,
    seed: int = 0,
    device: str = "auto",
    tile: int = 512,
) -> None:
    """Make short films in which the photograph moves, with a model that is trained for that beforehand.

    Args:
        model: a run or model of SinGAN.
        out: folder for the films.
        start_scale: where the noise moves; higher: only finer details do. Several give several films.
        alpha: how strongly each frame is drawn back to the photograph, 0 to 1.
        beta: how steadily the movement goes on, 0 to 1. Several give several films.
        frames: of each film.
        fps: frames per second.
        format: gif, webp or mp4.
        as_is: animate the model as it is, without training another one for that.
        steps: batches of each scale in that training; as many as the run of the model had when left out.
        seed: of the noise.
        device: auto, cpu, cuda, cuda:N, xpu or mps.
        tile: make large images in tiles of this side, to save memory; the result is the same.
    """
    from i2i.errors import SettingsError
    from i2i.films import check_film, write_film
    from i2i_singan.apps import animate as app
    from i2i_singan.files import folder, load_model
    from i2i_singan.sampling import check_start_scale

    net = load_model(model, device)
    own = as_is or net.noise_padding
    if own and steps is not None:
        raise SettingsError(f"--steps (={steps}) is for the training before; this model is animated as it is")
    films = list(product(start_scale, beta))
    if not films:
        raise SettingsError("which films? --start-scale and --beta need a number each, or leave them out")
    for each in beta:  # what is wrong is found before anything is trained
        app.check_animation(net, alpha=alpha, beta=each, frames=frames, seed=seed, tile=tile)
    scales = len(net) if own else app.animated_scales(model)
    if start_scale == _FILMED:
        films = [(k, each) for k, each in films if k < scales]
    for k, _ in films:
        check_start_scale(scales, k)
    check_film(out / f"film.{format}", fps)
    folder(out)
    net = net if own else app.animation_model(model, steps=steps, device=device)
    for k, each in films:
        path = out / f"start-{k}-alpha-{alpha:g}-beta-{each:g}.{format}"
        made = app.animate(net, start_scale=k, alpha=alpha, beta=each, frames=frames, seed=seed, tile=tile)
        print(write_film(app.pictures(net, _counted(made, frames, "frame", path.name)), path, fps))


def _counted(items: Iterable[Item], total: int, unit: str, what: str) -> Iterator[Item]:
    from tqdm import tqdm

    yield from tqdm(items, total=total, unit=unit, desc=what, disable=None)
