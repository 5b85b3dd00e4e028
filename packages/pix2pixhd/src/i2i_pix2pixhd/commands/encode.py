"""``i2i pix2pixhd encode``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from i2i.data import Scene
    from i2i_pix2pixhd.scene_files import ReadScene
    from i2i_pix2pixhd.step import Scene as Batch


def encode(
    model: str,
    /,
    *,
    data: Path,
    clusters: int = 10,
    load_size: int | None = None,
    instances: bool = False,
    colours: Path | None = None,
    seed: int = 0,
    device: str = "auto",
    skip_bad: bool = False,
) -> None:
    """Find the styles of all objects in training images, and those that are typical of each class.

    They are written into the folder of the model, where generate and edit find them.

    Args:
        model: a run or model of pix2pixHD that was trained with --styles.
        data: folder of the training scenes, as for i2i train pix2pixhd.
        clusters: styles of each class.
        load_size: width that scenes are brought to, in pixels; that of the run, or else their own, when left out.
        instances: objects of the instance maps have a style each, also for a model that does not see their edges; where
            the run is known, as in its training.
        colours: table of the colours of RGB label maps; the one of the training when left out.
        seed: of the search for typical styles.
        device: auto, cpu, cuda, cuda:N, xpu or mps.
        skip_bad: pass over scenes that cannot be used, instead of stopping.
    """
    from i2i.layers import at_least
    from i2i.shortage import memory_suffices
    from i2i_pix2pixhd import files, scene_files
    from i2i_pix2pixhd.styles import clusters as styles

    at_least("clusters", clusters, 1)
    at_least("seed", seed, 0)
    if load_size is not None:
        at_least("load_size", load_size, 1)
    net, folder, _ = files.load_model(model, device)
    print_of = styles.fingerprint(net)  # says at once that a model has no encoder
    table = scene_files.colours_of(net, colours)
    run = scene_files.trained(model)
    objects = instances or run.instances or net.boundaries or not net.labels
    scenes = scene_files.training_scenes(net, data, instances=objects)
    width = run.width if load_size is None else load_size

    def read(scene: Scene) -> ReadScene:
        return scene_files.read_scene(net, scene, colours=table, width=width)

    def batches() -> Iterator[Batch]:
        for _, found in scene_files.read_all(scenes, read, skip_bad=skip_bad, what="encode"):
            yield found.batch

    with memory_suffices("a smaller --load-size", lambda: f"the scenes of {data}"):
        rows = styles.encode_styles(net, batches())
        found = styles.cluster(rows, clusters, seed=seed, fingerprint=print_of)
    path = styles.save_styles(found, folder)
    count = sum(map(len, found.centres.values()))
    print(f"{len(rows.ids)} regions of {len(found.centres)} classes, {count} styles: {path}")
