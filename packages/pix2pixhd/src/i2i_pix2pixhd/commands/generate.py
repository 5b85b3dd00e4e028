"""``i2i pix2pixhd generate``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from i2i.errors import SettingsError

if TYPE_CHECKING:
    from torch import Tensor

    from i2i.data import Scene
    from i2i.policy import Precision
    from i2i_pix2pixhd.files import Loaded
    from i2i_pix2pixhd.scene import SceneGenerator
    from i2i_pix2pixhd.scene_files import ReadScene
    from i2i_pix2pixhd.styles.option import StyleOption
    from i2i_pix2pixhd.styles.tables import Choice


def generate(
    model: str,
    /,
    *,
    out: Path,
    labels: Path | None = None,
    instances: Path | None = None,
    images: Path | None = None,
    style: str | None = None,
    count: int = 1,
    seed: int = 0,
    load_size: int | None = None,
    colours: Path | None = None,
    device: str = "auto",
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = "fp32",
    skip_bad: bool = False,
) -> None:
    """Make images of label maps; names and sizes are kept.

    Args:
        model: a run or model of pix2pixHD.
        out: folder for the images.
        labels: label maps: a folder, such as gtFine/val of Cityscapes, or a file.
        instances: instance maps of the same names, for a model that was trained with them.
        images: what a model without classes reads in place of label maps.
        style: which style objects get: nearest (the most usual one of their class), sample (one by chance),
            encode:IMAGE (that of a real image of the scene, or of a folder of them), or a FILE of styles; nearest when
            left out.
        count: with --style sample: images of each scene.
        seed: of sample; an object of the same id gets the same style in all scenes.
        load_size: width that scenes are brought to before, in pixels; their own when left out.
        colours: table of the colours of RGB label maps; the one of the training when left out.
        device: auto, cpu, cuda, cuda:N, xpu or mps.
        precision: number format of the model; auto takes bf16 where the device is fast in it.
        skip_bad: pass over scenes that cannot be used, instead of stopping.
    """
    from i2i.layers import at_least
    from i2i_pix2pixhd import files, scene_files
    from i2i_pix2pixhd.styles.option import read_option

    for name, value, least in (("count", count, 1), ("seed", seed, 0), ("load_size", load_size, 1)):
        if value is not None:
            at_least(name, value, least)
    files.check_folder(out)
    loaded = files.load_model(model, device)
    net = loaded.net
    source = _source(net, labels, images)
    scene_files.check_instances(net, instances is not None)
    table = scene_files.colours_of(net, colours)
    option = read_option(style, net)
    choice = _choice(option, loaded, count, seed)
    scenes = scene_files.find_scenes(net, source, instances, None if option is None else option.images)
    suffix = files.suffix_of(net)
    targets = {scene: _targets(scene.labels, source, out, count, suffix) for scene in scenes}
    files.check_targets(
        [path for each in targets.values() for path in each], [path for each in scenes for path in each]
    )
    number_format = files.number_format(net, precision)

    def read(scene: Scene) -> ReadScene:
        return scene_files.read_scene(net, scene, colours=table, width=load_size)

    written = 0
    for scene, found in scene_files.read_all(scenes, read, skip_bad=skip_bad, what="generate"):
        for path, image in zip(targets[scene], _made(net, found, choice, count, number_format), strict=True):
            files.write(image, path, net)
            written += 1
    print(f"{written} image{'s' * (written != 1)}: {out}")


def _source(net: SceneGenerator, labels: Path | None, images: Path | None) -> Path:
    if labels is not None and images is not None:
        raise SettingsError("--labels and --images both name what the model reads; name one of them")
    if net.labels and images is not None:
        raise SettingsError("this model reads label maps, not images; name them with --labels")
    if labels is None and images is None:
        raise SettingsError(f"of what? name {'label maps with --labels' if net.labels else 'images with --images'} DIR")
    return labels or images  # type: ignore[return-value]


def _choice(option: StyleOption | None, loaded: Loaded, count: int, seed: int) -> Choice | None:
    from i2i_pix2pixhd.styles.option import choice_of

    if count > 1 and (option is None or option.how != "sample"):
        raise SettingsError(f"--count (={count}) makes images that differ by chance; that goes with --style sample")
    return None if option is None else choice_of(option, loaded, seed)


def _targets(path: Path, source: Path, out: Path, count: int, suffix: str) -> Sequence[Path]:
    """The files of one scene, in the sub-folder that it lies in."""
    target = out / (path.relative_to(source) if source.is_dir() else Path(path.name)).with_suffix("")
    return [target.with_name(f"{target.name}{f'-{turn}' * (count > 1)}{suffix}") for turn in range(count)]


def _made(
    net: SceneGenerator, scene: ReadScene, choice: Choice | None, count: int, precision: Precision
) -> Iterator[Tensor]:
    """Make the images ``(c, h, w)`` of a scene; where there is a real image of it, with its styles."""
    import attrs

    from i2i_pix2pixhd.editing.renderer import rendered
    from i2i_pix2pixhd.styles.option import encoded

    if choice is not None and scene.image is not None:
        choice = attrs.evolve(choice, table=encoded(net, scene.batch))
    for turn in range(count):
        features = None if choice is None else choice.features(net, scene.labels, scene.instances, turn)
        yield rendered(net, scene.labels, scene.instances, features, precision=precision)[0]
