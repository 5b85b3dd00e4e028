"""Features of a generator: what named layers of any net that is built already make of an image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from torch import Tensor, nn

from i2i import Translation
from i2i.errors import SettingsError
from i2i.nearest import nearest

INPUT = "input"
"""The layer that is the image as it is read."""


class _AllSeen(Exception):  # noqa: N818 (no error: the rest of the net is not needed)
    pass


class FeaturedGenerator(nn.Module):
    """A generator that also shows what some of its layers make of the image.

    It holds the net itself, no copy, and has no weights of its own: save ``net`` for use. Hooks are set for the time of
    a pass only, so that a copy of it watches its own layers.

    Args:
        net: a generator.
        layers: at least one: ``"input"``, or a module by the name that ``net.named_modules()`` gives it. Of a module
            that runs several times in a pass the first result counts.

    Raises:
        SettingsError: there is no such layer, or it is named twice.

    Example:
        >>> import torch
        >>> from i2i import as_generator
        >>> net = as_generator(nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ConvTranspose2d(8, 3, 2, 2)))
        >>> (first,) = (name for name, module in net.named_modules() if isinstance(module, nn.Conv2d))
        >>> featured = FeaturedGenerator(net, ["input", first])
        >>> [tuple(maps.shape) for maps in featured.features(torch.zeros(1, 3, 16, 16))]
        [(1, 3, 16, 16), (1, 8, 8, 8)]
    """

    def __init__(self, net: nn.Module, layers: Sequence[str]) -> None:
        super().__init__()
        known = [INPUT, *(name for name, _ in net.named_modules() if name)]
        for layer in layers:
            if layer not in known:
                raise SettingsError(f"layers (={layer!r}): no layer of the generator; {nearest(layer, known)}")
        if not layers or len(set(layers)) < len(layers):
            raise SettingsError(f"layers (={' '.join(layers)!r}) must be one name or more, each once")
        self.net = net
        self.layers = tuple(layers)

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Translation:
        """Translate ``image``; the extras hold the features, ``(b, c, h, w)``, as ``features.<layer>``."""
        with self._watched(image) as seen:
            made: Translation = self.net(image, condition)
        features = {f"features.{layer}": maps for layer, maps in zip(self.layers, self._all(seen), strict=True)}
        return Translation(made.image, {**made.extras, **features})

    def features(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return a map ``(b, c, h, w)`` per layer; what comes after the last of them is not computed."""
        with self._watched(image, stop=True) as seen, suppress(_AllSeen):
            self.net(image)
        return self._all(seen)

    def features_of(self, made: Translation) -> tuple[Tensor, ...]:
        """Return the features of the image that was translated to ``made``, as `features` does."""
        return tuple(made.extras[f"features.{layer}"] for layer in self.layers)

    @contextmanager
    def _watched(self, image: Tensor, *, stop: bool = False) -> Iterator[dict[str, Tensor]]:
        seen = {INPUT: image}
        wanted = {INPUT, *self.layers}

        def hook(layer: str) -> Callable[[nn.Module, object, object], None]:
            def keep(module: nn.Module, inputs: object, maps: object) -> None:
                if not isinstance(maps, Tensor) or maps.ndim != 4:
                    raise SettingsError(f"layers (={layer!r}): this layer makes no map (b, c, h, w)")
                seen.setdefault(layer, maps)
                if stop and wanted == set(seen):
                    raise _AllSeen

            return keep

        modules = {layer: self.net.get_submodule(layer) for layer in self.layers if layer != INPUT}
        handles = [module.register_forward_hook(hook(layer)) for layer, module in modules.items()]
        try:
            yield seen
        finally:
            for handle in handles:
                handle.remove()

    def _all(self, seen: dict[str, Tensor]) -> tuple[Tensor, ...]:
        for layer in self.layers:
            if layer not in seen:
                raise SettingsError(f"layers (={layer!r}): this layer does not run when an image is translated")
        return tuple(seen[layer] for layer in self.layers)
