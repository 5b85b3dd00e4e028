"""What ``--style`` asks for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from i2i.errors import ModelError, SettingsError
from i2i.nearest import nearest
from i2i.values import Instanced, Labelled
from i2i_pix2pixhd.styles.clusters import FILE, encode_styles, load_styles
from i2i_pix2pixhd.styles.tables import Choice, Table, read_table

if TYPE_CHECKING:
    from i2i_pix2pixhd.files import Loaded
    from i2i_pix2pixhd.scene import SceneGenerator
    from i2i_pix2pixhd.styles.clusters import Styles

_ENCODE = "encode:"


class StyleOption(NamedTuple):
    """How styles are chosen.

    Attributes:
        how: ``"sample"``, ``"nearest"``, ``"encode"`` (those of a real image) or ``"file"`` (named in a file).
        path: of the image, or the folder of them; of the file.
    """

    how: Literal["sample", "nearest", "encode", "file"]
    path: Path | None = None

    @property
    def images(self) -> Path | None:
        """Where the real images lie."""
        return self.path if self.how == "encode" else None


def read_option(style: str | None, model: SceneGenerator) -> StyleOption | None:
    """Return what ``--style`` asks for: by default the most usual style; None for a model without styles.

    Raises:
        SettingsError: it is none of its words and no file; or the model was trained without styles.
    """
    if not model.features:
        if style is not None:
            raise SettingsError(f"--style (={style}): this model was trained without styles; train one with --styles")
        return None
    if style is None or style == "nearest":
        return StyleOption("nearest")
    if style == "sample":
        return StyleOption("sample")
    if style.startswith(_ENCODE):
        return StyleOption("encode", _existing(style.removeprefix(_ENCODE), style))
    return StyleOption("file", _existing(style, style))


def _existing(path: str, style: str) -> Path:
    if path and Path(path).exists():
        return Path(path)
    hint = nearest(style, ["sample", "nearest", f"{_ENCODE}IMAGE", "FILE"])
    raise SettingsError(f"--style (={style}) names no file that is there; {hint}")


def choice_of(option: StyleOption, model: Loaded, seed: int) -> Choice:
    """Return the choice that needs nothing but the model and, where one is named, a file of styles.

    Where styles are named, or encoded, those that the model has seen are needed for the rest only: they may be missing,
    and where they are of no use, a line on standard error says so.

    Raises:
        DataError: the file of styles says something else.
        ModelError: the model has no styles yet, or those of another model.
    """
    styles: Styles | None = None
    needed = option.how in ("sample", "nearest")
    if needed or (model.folder / FILE).exists():
        try:
            styles = load_styles(model.folder, model.net, model.name)
        except ModelError as error:
            if needed:
                raise
            print(f"i2i: not used: {error}", file=sys.stderr)
    named = Table()
    if option.how == "file" and option.path is not None:
        named = read_table(option.path, model.net.features)
    return Choice(styles, named, seed if option.how == "sample" else None)


def encoded(model: SceneGenerator, scene: Labelled | Instanced) -> Table:
    """Return the styles of all regions of one scene with its real image, a batch of one."""
    rows = encode_styles(model, [scene])
    named = dict(zip(rows.ids.tolist(), rows.features.cpu(), strict=True))
    return Table({}, named) if isinstance(scene, Instanced) else Table(named, {})
