"""The size that images have in a generator: their own, one that was asked for, or the only one that it accepts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from i2i.errors import DataError, SettingsError

if TYPE_CHECKING:
    from torch import Tensor, nn

Size = tuple[int, int]  # (width, height)


@frozen
class Fitting:
    """How images are brought to size before a generator, and what sizes it accepts; sizes are (width, height).

    Attributes:
        net: the generator; where it has an attribute ``size``, that (height, width) is the only one it accepts.
        fit: bring images to that size, and results back.
        short: bring the short side to this, the aspect kept; None: leave it.
    """

    net: nn.Module
    fit: bool = False
    short: int | None = None

    @property
    def only(self) -> Size | None:
        """The only size that the net accepts; None where it accepts more than one."""
        size = getattr(self.net, "size", None)
        return (size[1], size[0]) if isinstance(size, tuple) else None

    def inside(self, size: Size) -> Size:
        """Return the size at which an image of ``size`` goes through the net.

        Example:
            >>> Fitting(None, short=10).inside((40, 20))
            (20, 10)
        """
        if self.fit and self.only is not None:
            return self.only
        if self.short is None:
            return size
        scale = self.short / min(size)
        return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)

    def result(self, size: Size) -> Size:
        """Return the size of the result for an image of ``size``."""
        return size if self.fit else self.inside(size)

    def check(self, size: Size, name: str) -> None:
        """Check that the net accepts an image of ``size``, continued to its ``multiple`` where that is missing.

        Raises:
            DataError: it does not; the message begins with ``name``, and says what does.
        """
        from i2i.passes import extent

        inside, only = self.inside(size), self.only
        if only is None or tuple(extent(side, self.net).whole for side in inside) == only:
            return
        brought = f" ({inside[0]}x{inside[1]} by --size {self.short})" if inside != size else ""
        raise DataError(
            f"{name} is {size[0]}x{size[1]}{brought}, but this model was built for {only[0]}x{only[1]}; "
            "use --fit, which brings images to that size and results back"
        )

    def check_files(self, sources: Iterable[Path]) -> None:
        """Check images by their headers, so that one of another size is found before any is translated.

        Raises:
            DataError: the net does not accept the size of one (named).
        """
        from i2i.data.images import header_size

        for source in sources if self.only is not None and not self.fit else ():
            try:
                size = header_size(source)
            except DataError:
                continue  # said when it is reached
            self.check(size, str(source))


def fitting(net: nn.Module, *, fit: bool = False, size: int | None = None, tile: int | None = None) -> Fitting:
    """Return how images are brought to size for ``net``; the arguments are those of `i2i.translate.translate_files`.

    Raises:
        SettingsError: ``fit`` with ``size`` or ``tile``, or for a net that accepts other sizes; tiles of a net that
            accepts one size only.
    """
    check_alone(fit=fit, size=size, tile=tile)
    found = Fitting(net, fit, size)
    if fit and found.only is None:
        raise SettingsError("--fit is for models that accept one size only; this one accepts others, so leave it out")
    if tile is not None and found.only is not None:
        raise SettingsError(
            f"this model was built for {found.only[0]}x{found.only[1]} and translates no tiles; use --fit, not --tile"
        )
    return found


def check_alone(*, fit: bool, size: int | None, tile: int | None) -> None:
    """Check that only one flag says at which size images are translated.

    Raises:
        SettingsError: ``fit`` comes with another one.
    """
    others = [flag for flag, value in (("--size", size), ("--tile", tile)) if value is not None]
    if fit and others:
        raise SettingsError(f"--fit brings images to the size of the model; leave out {' and '.join(others)}")


def brought_to(image: Tensor, size: Size) -> Tensor:
    """Resize what a net made, ``(c, h, w)``, to ``size`` (width, height), before it is rounded to levels.

    Values are clamped to ``[-1, 1]`` first: what lies beyond is not seen, and would spread to its neighbours.

    Example:
        >>> import torch
        >>> brought_to(torch.full((3, 4, 4), 2.0), (6, 5)).shape
        torch.Size([3, 5, 6])
    """
    import torch

    from i2i.data import resize

    if (image.shape[2], image.shape[1]) == size:
        return image
    array = image.detach().to("cpu", torch.float32).clamp(-1, 1).permute(1, 2, 0).numpy()
    return torch.from_numpy(resize(array, size)).permute(2, 0, 1)
