"""The hooks of i2i: all that a plugin can say to its host.

A plugin is a module named by an entry point of the group ``i2i``. It marks functions of these names with `hookimpl`.
Every callback checks its arguments at once; what is registered is a reference ``"package.module:name"``, imported on
use.
"""

from __future__ import annotations

from typing import Literal, Protocol

import pluggy

#: What a part can be.
Kind = Literal["generator", "discriminator", "criterion", "term", "schedule", "layer"]

hookspec = pluggy.HookspecMarker("i2i")
#: Marks a function of a plugin as one of the hooks: ``@i2i.hookimpl``.
hookimpl = pluggy.HookimplMarker("i2i")


class RegisterPart(Protocol):
    """Notes one part: ``register("ugatit/cam_generator", "i2i_ugatit.generators:cam_generator", kind="generator")``."""

    def __call__(self, name: str, reference: str, /, *, kind: Kind) -> None:
        """Note part ``name`` (``<plugin>/<part>``); ``reference`` names its factory where it is defined."""
        ...


class RegisterRecipe(Protocol):
    """Notes one recipe: ``register("ugatit", "i2i_ugatit.settings:Settings", "i2i_ugatit.recipe:build")``."""

    def __call__(self, name: str, settings: str, build: str, /, *, demo: str | None = None) -> None:
        """Note recipe ``name``: its attrs settings, ``build(settings, run) -> Recipe``, and maybe a demo.

        ``demo(out: Path, seed: int, steps: int | None, resume: bool) -> None`` is what ``i2i demo <name>`` calls.
        """
        ...


class RegisterObserver(Protocol):
    """Notes one observer: ``register("wandb", "i2i_wandb.observer:build")``."""

    def __call__(self, name: str, reference: str, /) -> None:
        """Note observer ``name``; ``reference`` names ``build(run: RunSettings) -> Observer``."""
        ...


class RegisterConverter(Protocol):
    """Notes one converter: ``register("ugatit", "i2i_ugatit.convert:convert", help="the authors' checkpoints")``."""

    def __call__(
        self, name: str, reference: str, /, *, help: str, folders: bool = False, together: bool = False
    ) -> None:
        """Note converter ``name`` of ``i2i convert``; ``help`` is one line.

        ``reference`` names ``convert(found: Mapping[str, Any], name: str) -> Mapping[str, nn.Module]``: what was read
        from a file, and the file's name; it returns models by key. With ``together`` it names
        ``convert(found: Mapping[Path, Mapping[str, Any]]) -> Mapping[str, nn.Module]`` and is called once, with what
        was read from all files, for files that say something about each other. With ``folders`` it names
        ``convert(folder: Path) -> Mapping[str, nn.Module]``, for checkpoints that are spread over the files of a
        folder; it reads them by `i2i.pickles`. Keyword-only parameters of any of them are flags of ``i2i convert``.
        """
        ...


class App(Protocol):
    """Takes the commands of one plugin."""

    def command(self, name: str, reference: str, /, *, help: str) -> None:
        """Note command ``i2i <plugin> <name>``; its flags are read from the signature of the function."""
        ...


@hookspec
def register_parts(register: RegisterPart) -> None:
    """Register networks, losses and other parts."""


@hookspec
def register_recipes(register: RegisterRecipe) -> None:
    """Register what ``i2i train`` can train."""


@hookspec
def register_observers(register: RegisterObserver) -> None:
    """Register loggers that ``i2i train --observers`` can name."""


@hookspec
def register_commands(app: App) -> None:
    """Register commands under the plugin's own name."""


@hookspec
def register_converters(register: RegisterConverter) -> None:
    """Register what ``i2i convert`` can convert: checkpoints of other code."""
