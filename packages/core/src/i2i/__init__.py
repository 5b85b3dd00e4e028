"""i2i: GAN image-to-image translation from small typed parts.

Names are imported when they are first used, so that ``i2i --help`` does not wait for torch.
"""

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from i2i import data, losses, observers, schedules, terms, testing
    from i2i.combine import alternate, every, repeat
    from i2i.engine import Run, fit
    from i2i.errors import I2IError
    from i2i.history import replayed
    from i2i.hookspecs import hookimpl
    from i2i.models import load, save
    from i2i.net import as_discriminator, as_generator, nets
    from i2i.parts import Example, part
    from i2i.pixels import PixelFormat
    from i2i.policy import Policy, Turn
    from i2i.protocols import Discriminator, Generator, Loss, Observer, Schedule, Seen, SharedLoss
    from i2i.recipes import Recipe
    from i2i.settings import RunSettings
    from i2i.stages import Stage, Stages, staged
    from i2i.step import Step, player
    from i2i.values import Instanced, Labelled, Pair, Single, Translation, Verdict, needs

    #: The version of i2i-core.
    __version__: str

_MODULES = ("data", "losses", "observers", "schedules", "terms", "testing")
_HOMES = {
    "combine": ("alternate", "every", "repeat"),
    "engine": ("Run", "fit"),
    "errors": ("I2IError",),
    "history": ("replayed",),
    "hookspecs": ("hookimpl",),
    "models": ("load", "save"),
    "net": ("as_discriminator", "as_generator", "nets"),
    "parts": ("Example", "part"),
    "pixels": ("PixelFormat",),
    "policy": ("Policy", "Turn"),
    "protocols": ("Discriminator", "Generator", "Loss", "Observer", "Schedule", "Seen", "SharedLoss"),
    "recipes": ("Recipe",),
    "settings": ("RunSettings",),
    "stages": ("Stage", "Stages", "staged"),
    "step": ("Step", "player"),
    "values": ("Instanced", "Labelled", "Pair", "Single", "Translation", "Verdict", "needs"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Discriminator",
    "Example",
    "Generator",
    "I2IError",
    "Instanced",
    "Labelled",
    "Loss",
    "Observer",
    "Pair",
    "PixelFormat",
    "Policy",
    "Recipe",
    "Run",
    "RunSettings",
    "Schedule",
    "Seen",
    "SharedLoss",
    "Single",
    "Stage",
    "Stages",
    "Step",
    "Translation",
    "Turn",
    "Verdict",
    "__version__",
    "alternate",
    "as_discriminator",
    "as_generator",
    "data",
    "every",
    "fit",
    "hookimpl",
    "load",
    "losses",
    "needs",
    "nets",
    "observers",
    "part",
    "player",
    "repeat",
    "replayed",
    "save",
    "schedules",
    "staged",
    "terms",
    "testing",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return metadata.version("i2i-core")
    if name in _MODULES:
        return import_module(f"i2i.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'i2i' has no attribute {name!r}")
    value = getattr(import_module(f"i2i.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
