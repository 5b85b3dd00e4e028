"""Settings, commands and converters that a user cannot be told about, or that cannot be stored."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Literal

import attrs
import pytest

from i2i.settings import ImageSettings
from i2i.testing import ContractError
from i2i.testing.contract import Checks
from i2i.testing.settings import check_help, examine_settings, undocumented


@attrs.frozen
class Inner:
    """Of the optimiser."""

    lr: float = 1e-3
    """Learning rate."""
    betas: tuple[float, float] = (0.5, 0.999)


@attrs.frozen
class Settings(ImageSettings):
    """All types that there are."""

    steps: int | None = None
    """Batches of the run."""
    weights: Path | None = None
    """A file."""
    kind: Literal["a", "b"] | None = "a"
    """A word."""
    sizes: tuple[int, ...] = (1, 2)
    """Numbers."""
    from_: str = "here"
    """Where it begins."""
    silent: bool = False
    # no text, but a comment
    inner: Inner = Inner()
    load_size: int = 99
    """Another default."""


def examined(settings):
    checks = Checks("settings")
    with checks.item("settings"):
        examine_settings(checks, "toy", settings)
    return checks.report()


def test_fields_without_a_text_below_are_found():
    assert list(undocumented(Settings)) == ["--silent", "--inner.betas"]
    with pytest.raises(
        ContractError, match=r"^settings, help: no help for --silent, --inner.betas: write a text in \"\"\""
    ):
        examined(Settings)


def test_inherited_fields_are_read_where_they_are_defined():
    assert list(undocumented(ImageSettings)) == []

    @attrs.frozen
    class Quiet(ImageSettings):
        """Repeats one."""

        crop_size: int = 3

    assert list(undocumented(Quiet)) == ["--crop-size"]


@pytest.fixture
def written(tmp_path, monkeypatch):
    """``written("steps: int = 3")``: a settings class of that field and a text below it, read from a file."""
    monkeypatch.syspath_prepend(str(tmp_path))
    code = """
import enum, attrs
from pathlib import Path
from i2i.settings import at_least

class Colour(enum.Enum):
    RED = 1

@attrs.frozen
class Settings:
    '''Of one field.'''

    {field}
    '''What it is.'''
"""

    def make(field):
        (tmp_path / "toy_settings.py").write_text(code.replace("{field}", field))
        return importlib.import_module("toy_settings").Settings

    yield make
    sys.modules.pop("toy_settings", None)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (
            "steps: int = 1.5",
            r"the defaults cannot be stored: .*1.5 is no whole number; use numbers, texts, .* that type",
        ),
        ("steps: tuple[int, ...] = (1, 'a')", "the defaults cannot be stored: .*'a' is no whole number"),
        (
            "colour: Colour | None = None",
            "colour is of type <enum 'Colour'>, which no settings file can hold: use numbers",
        ),
        ("sizes: dict[str, int] | None = None", "sizes is of type dict.str, int., which no settings file can hold"),
        ("name: str | None = 'none'", "name is 'none', and None once it is stored: use numbers"),
        ("file: str | Path | None = None", "file .=.*Path.'folder'.. is 'folder' once it is stored: use numbers"),
        ("size: at_least = 3", "raises StructureHandlerNotFoundError: .*; use numbers, texts"),
        ("size: list[int] = attrs.field(factory=list)", "size is of type list.int., which no settings file can hold"),
    ],
)
def test_settings_must_come_back_from_a_file(written, field, message):
    with pytest.raises(ContractError, match=f"settings file: {message}"):
        examined(written(field))


def test_flags_that_the_command_line_cannot_have_are_found(written):
    with pytest.raises(
        ContractError, match=r"^settings, flags: the command line cannot read them: Name conflict; use numbers"
    ):
        examined(written("flip: bool = True\n    'Mirror.'\n    no_flip: bool = True"))


def test_defaults_must_be_valid(written):
    message = (
        "^settings, defaults: raises SettingsError: steps .=0. must be at least 1; defaults must pass the validators"
    )
    with pytest.raises(ContractError, match=message):
        examined(written("steps: int = attrs.field(default=0, validator=at_least(1))"))


def test_a_whole_number_may_be_the_default_of_any_number(written):
    assert examined(written("rate: float = 1")).of("broken") == []


def test_all_types_of_settings_are_accepted():
    @attrs.frozen
    class Sound(Settings):
        """All of them with a text."""

        silent: bool = False
        """Say nothing."""
        inner: float = 1.0
        """Not nested."""

    kept = [outcome.promise for outcome in examined(Sound).of("kept")]
    assert kept == ["help", "defaults", "settings file", "flags"]


def test_the_class_says_what_it_is():
    @attrs.frozen
    class Silent:
        pass

    with pytest.raises(ContractError, match="help: Silent has no docstring: `i2i recipes` shows its first line"):
        examined(Silent)


def sound(inputs: tuple[Path, ...], /, *, out: Path, size: int = 3) -> None:
    """Do something.

    Args:
        inputs: files, of which
            there may be many.
        out: a folder.
        size: in pixels.

    Raises:
        count: nothing.
    """


def test_help_of_a_command_is_complete():
    check_help(sound)
    check_help(sound, ["size"])


def without_a_line(*, size: int, count: int) -> None:
    """Do something.

    Args:
        size: in pixels.

    Returns:
        count: of something.
    """


def empty_line(*, size: int) -> None:
    """Do something.

    Args:
        size:
    """


def without_types(*, size, count: int = 3):
    """Do something.

    Args:
        size: in pixels.
        count: of something.
    """


def silent(*, size: int) -> None:
    pass


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (without_a_line, r"no help for count: write a line `name: what it is` for each under `Args:` of the docstring"),
        (empty_line, "no help for size"),
        (without_types, "no type for size: annotate each parameter, flags are read by their types"),
        (silent, "has no docstring: its first line is the help of the command"),
    ],
)
def test_a_parameter_without_help_is_found(function, message):
    with pytest.raises(ContractError, match=message):
        check_help(function)


def test_only_flags_of_a_converter_need_help():
    def convert(found, name: str, *, bits: int = 8):
        """Convert.

        Args:
            bits: of each channel.
        """

    check_help(convert, ["bits"])
