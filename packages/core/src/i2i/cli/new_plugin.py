"""``i2i new-plugin``."""

from __future__ import annotations

import re
import shlex
from importlib import metadata
from pathlib import Path
from string import Template

from packaging.version import Version

from i2i.errors import SettingsError
from i2i.registry import CORE_COMMANDS, registry

_TEMPLATE = Path(__file__).parents[1] / "template"
_SUFFIX = ".template"
_LONGEST = 40  # so that no line of the template becomes too long
_NAME = re.compile(r"[a-z0-9]([a-z0-9_-]*[a-z0-9])?")


def new_plugin(name: str, /, *, out: Path | None = None) -> None:
    """Write a new plugin: a package with a network, a recipe that trains it, its settings and its tests.

    It works as it is: install it, train with it, then change it to what you need. docs/write-a-plugin.md explains it.

    Args:
        name: of the plugin and its recipe: lower-case letters, digits, - and _. The package is called i2i-NAME.
        out: folder of the package, which must be new or empty; NAME when left out.
    """
    _check_name(name)
    folder = (out or Path(name)).expanduser()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SettingsError(f"{folder} exists and is no empty folder; name another one with --out FOLDER")
    files = rendered(name)
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, "utf-8")
    print(
        f"plugin {name}: {len(files)} files in {folder}. It works as it is; to try it:\n"
        f"  pip install -e {shlex.quote(f'{folder}[test]')}\n"
        f"  i2i train {name} --data DIR --out runs/{name}    # DIR holds trainA and trainB: pairs with equal names\n"
        f"  i2i translate runs/{name} DIR/testA --out translated\n"
        f"  pytest {shlex.quote(str(folder))}\n"
        f"{folder / 'README.md'} says how to go on."
    )


def rendered(name: str) -> dict[str, str]:
    """Return the files of a new plugin, by their paths in its folder.

    Args:
        name: of the plugin.

    Example:
        >>> rendered("my-nets")["src/i2i_my_nets/plugin.py"].partition(".")[0]
        '\"\"\"What i2i-my-nets registers'
    """
    words = {
        "name": name,
        "module": f"i2i_{name.replace('-', '_')}",
        "distribution": f"i2i-{name}",
        "core": compatible(metadata.version("i2i-core")),
    }
    files = {}
    for source in sorted(_TEMPLATE.rglob(f"*{_SUFFIX}")):
        path = source.relative_to(_TEMPLATE).as_posix().removesuffix(_SUFFIX)
        text = Template(source.read_text("utf-8")).substitute(words)
        files[path.replace("src/package/", f"src/{words['module']}/")] = text
    return files


def compatible(version: str) -> str:
    """Return which versions of the core a plugin works with that is made for ``version``; before 1.0 minor ones break.

    Example:
        >>> compatible("0.1.3"), compatible("2.4.0")
        ('>=0.1,<0.2', '>=2.4,<3')
    """
    core = Version(version)
    return f">={core.major}.{core.minor},<{core.major + 1 if core.major else f'0.{core.minor + 1}'}"


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise SettingsError(f"name {name!r} must be lower-case letters and digits, with '-' or '_' only between them")
    if len(name) > _LONGEST:
        raise SettingsError(f"name {name!r} is {len(name)} characters long, and must be at most {_LONGEST}")
    if name.startswith(("i2i-", "i2i_")):
        raise SettingsError(f"name {name!r} must not begin with i2i, which is put in front of it; use {name[4:]!r}")
    found = registry()
    taken = {entry.name: f"a recipe of {entry.distribution}" for entry in found.tables.recipes.all()}
    taken |= {plugin.name: f"the plugin {plugin.distribution} {plugin.version}" for plugin in found.plugins}
    taken |= dict.fromkeys(CORE_COMMANDS, "a command of i2i")
    owners = {_compared(other): owner for other, owner in taken.items()}
    if _compared(name) in owners:
        raise SettingsError(f"name {name!r} is taken by {owners[_compared(name)]}; choose another one")


def _compared(name: str) -> str:
    """Return the name as pip compares it."""
    return re.sub("[-_]+", "-", name)
