"""``i2i pix2pixhd edit``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from i2i.errors import SettingsError

if TYPE_CHECKING:
    from torch import Tensor

    from i2i.policy import Precision
    from i2i_pix2pixhd.editing.editor import Editor
    from i2i_pix2pixhd.editing.renderer import EditedScene
    from i2i_pix2pixhd.editing.script import AppliedEdit
    from i2i_pix2pixhd.files import Loaded
    from i2i_pix2pixhd.scene import SceneGenerator
    from i2i_pix2pixhd.scene_files import ReadScene
    from i2i_pix2pixhd.styles.option import StyleOption
    from i2i_pix2pixhd.styles.tables import Table

_MOST_OF_PNG = 65535


def edit(
    model: str,
    /,
    *,
    labels: Path,
    script: Path,
    out: Path,
    instances: Path | None = None,
    style: str | None = None,
    each_step: bool = False,
    seed: int = 0,
    colours: Path | None = None,
    device: str = "auto",
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = "fp32",
) -> None:
    """Change a scene step by step, as a script says, and make its image.

    Writes result.png and what the scene is now: labels.png, instances.png and styles.json, of which it can be made and
    edited again. Nothing is written where the script cannot be followed to its end.

    Args:
        model: a run or model of pix2pixHD that reads label maps.
        labels: the label map of the scene.
        script: JSON such as {"edits": [{"do": "paint", "rectangle": [0, 0, 64, 32], "label": 7}]}.
        out: folder for the results.
        instances: the instance map of the scene; objects can be edited with one, and some models need it.
        style: which style objects get before they are edited: nearest (the most usual one of their class), sample (one
            by chance), encode:IMAGE (that of a real image of the scene), or a FILE of styles; nearest when left out.
        each_step: write the image after each edit, too: step-1.png and so on.
        seed: of styles that are drawn.
        colours: table of the colours of an RGB label map; the one of the training when left out.
        device: auto, cpu, cuda, cuda:N, xpu or mps.
        precision: number format of the model; auto takes bf16 where the device is fast in it.
    """
    from i2i_pix2pixhd import files, scene_files
    from i2i_pix2pixhd.editing.script import read_script, run_script
    from i2i_pix2pixhd.styles.option import read_option

    edits = read_script(script)
    files.check_folder(out)
    loaded = files.load_model(model, device)
    scene_files.check_instances(loaded.net, instances is not None, edited=True)
    option = read_option(style, loaded.net)
    scene = _scene(loaded.net, labels, instances, option, colours)
    editor = _editor(loaded, scene, option, seed, files.number_format(loaded.net, precision), depth=len(edits))
    steps = run_script(editor, edits, str(script))
    for step in steps:
        editor.renderer.table(step.scene)  # a region without a style is found before anything is written
    images, maps = _images(steps, each_step=each_step), _maps(editor, out)
    suffix = files.suffix_of(loaded.net)
    pictures = [out / f"{name}{suffix}" for each in images for name in each.names]
    files.check_targets([*pictures, *maps], [script, labels, instances, None if option is None else option.path])
    for path, image in zip(pictures, _made(editor, images), strict=True):
        print(files.write(image, path, loaded.net))
    for path, save in maps.items():
        save(path)
        print(path)


class _Images(NamedTuple):
    """Images of one scene, by name, each with the styles of its table."""

    names: Sequence[str]
    scene: EditedScene
    tables: Sequence[Table]


def _scene(
    net: SceneGenerator, labels: Path, instances: Path | None, option: StyleOption | None, colours: Path | None
) -> ReadScene:
    from i2i.data import Scene
    from i2i_pix2pixhd.scene_files import colours_of, read_scene

    image = None if option is None else option.images
    for flag, path in (("--labels", labels), ("--instances", instances), ("--style encode:", image)):
        if path is not None and path.is_dir():
            raise SettingsError(f"{flag} {path} is a folder; name the file of the scene that is edited")
    return read_scene(net, Scene(labels, instances, image), colours=colours_of(net, colours))


def _editor(
    loaded: Loaded, scene: ReadScene, option: StyleOption | None, seed: int, precision: Precision, depth: int
) -> Editor:
    from i2i_pix2pixhd.editing.editor import Editor
    from i2i_pix2pixhd.styles.option import choice_of, encoded

    choice = None if option is None else choice_of(option, loaded, seed)
    named = None if choice is None else choice.table
    return Editor(
        loaded.net,
        scene.labels,
        scene.instances,
        None if choice is None else choice.styles,
        table=named if scene.image is None else encoded(loaded.net, scene.batch),
        seed=seed,
        sample=option is not None and option.how == "sample",
        precision=precision,
        depth=depth,
    )


def _images(steps: Sequence[AppliedEdit], *, each_step: bool) -> list[_Images]:
    last = steps[-1].scene
    found = [_Images(["result"], last, [last.table])]
    for step in steps:
        if each_step:
            found.append(_Images([f"step-{step.number}"], step.scene, [step.scene.table]))
        if step.variants:
            names = [f"variant-{step.number}-{turn}" for turn in range(len(step.variants))]
            found.append(_Images(names, step.scene, step.variants))
    return found


def _made(editor: Editor, images: Sequence[_Images]) -> Iterator[Tensor]:
    from tqdm import tqdm

    with tqdm(total=sum(len(each.names) for each in images), unit="image", desc="edit", disable=None) as bar:
        for each in images:
            for image in editor.renderer.images(each.scene, each.tables):
                yield image
                bar.update()


def _maps(editor: Editor, out: Path) -> dict[Path, Callable[[Path], object]]:
    """What is written besides images: of each file, how."""
    from i2i_pix2pixhd.styles.tables import write_table

    scene, table = editor.scene, editor.renderer.table(editor.scene)
    found: dict[Path, Callable[[Path], object]] = {out / "labels.png": partial(_write_ids, scene.labels)}
    if scene.instances is not None:
        suffix = ".png" if int(scene.instances.max()) <= _MOST_OF_PNG else ".tif"
        found[out / f"instances{suffix}"] = partial(_write_ids, scene.instances)
    if editor.renderer.model.features:
        found[out / "styles.json"] = partial(write_table, table)
    return found


def _write_ids(ids: Tensor, path: Path) -> None:
    from i2i.data import write_ids
    from i2i.files import writing

    with writing(path, "what was written before is intact"):
        write_ids(ids.numpy(), path)
