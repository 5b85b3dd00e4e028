"""Flags: joined lists, and what tyro says in boxes said in one line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import attrs
import pytest

from i2i.cli.flags import call, joined, one_line, parse, record_flags
from i2i.errors import SettingsError


def command(
    model: str,
    images: tuple[Path, ...],
    /,
    *,
    out: Path,
    size: int | None = None,
    share: float = 0.5,
    flip: bool = False,
    mode: Literal["fast", "slow"] = "fast",
    sides: tuple[str, ...] = (),
) -> tuple[object, ...]:
    """Do.

    Args:
        model: the model.
        images: the images.
        out: the folder.
        size: the size.
        share: the share.
        flip: or not.
        mode: how.
        sides: which.
    """
    return model, images, out, size, share, flip, mode, sides


def test_positional_arguments_and_flags():
    found = call(command, ["m", "a", "b", "--out", "o", "--size=3", "--sides", "x", "--sides=y", "--flip"], "i2i do")
    assert found == ("m", (Path("a"), Path("b")), Path("o"), 3, 0.5, True, "fast", ("x", "y"))


def test_underscores_are_dashes_too():
    assert joined(["--load_size", "3"], {"--load-size": int}) == ["--load-size", "3"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["m", "--out", "o", "--sise", "3"], "unknown setting --sise; did you mean '--size'?"),
        (["m", "--out", "o", "--no-flop"], "unknown setting --no-flop; did you mean '--no-flip'?"),
        (["m", "--out", "o", "--size", "abc"], "--size: 'abc' is no whole number"),
        (["m", "--out", "o", "--size", "1.5"], "--size: '1.5' is no whole number"),
        (["m", "--out", "o", "--share", "abc"], "--share: 'abc' is no number"),
        (["m", "--out", "o", "--mode", "quick"], "--mode: 'quick' must be one of 'fast', 'slow'"),
        (["m", "--out", "o", "--size"], "Missing value for argument '--size'. Expected 1 values."),
        (["m", "--out", "o", "--flip", "--mode", "slow", "-x"], "Unrecognized options: -x"),
    ],
)
def test_every_mistake_is_one_plain_line(argv, message):
    with pytest.raises(SettingsError) as caught:
        call(command, argv, "i2i do")
    assert str(caught.value) == message


def test_a_missing_flag_is_named():
    with pytest.raises(SettingsError) as caught:
        call(command, ["m"], "i2i do")
    assert str(caught.value) == "i2i do needs --out PATH"


def test_all_that_is_missing_is_named():
    with pytest.raises(SettingsError, match="^Missing from i2i do: .*--out") as caught:
        call(command, [], "i2i do")
    assert "\n" not in str(caught.value)


def test_long_paths_are_not_broken(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    path = "/" + "x" * 120
    with pytest.raises(SettingsError) as caught:
        call(command, ["m", "--out", "o", "--size", path], "i2i do")
    assert str(caught.value) == f"--size: '{path}' is no whole number"


def test_a_mistake_inside_the_command_is_not_taken_for_one_of_its_flags():
    def inner(*, size: int = 3) -> None:
        """Do."""
        raise ValueError(f"inside {size}")

    with pytest.raises(ValueError, match="inside 4"):
        call(inner, ["--size", "4"], "i2i do")


def test_what_tyro_says_about_nothing():
    assert one_line("", "i2i do") == "the arguments cannot be read; see i2i do --help"


def test_boxes_of_ascii_are_read_too():
    box = " Value error \n ------- \n  Error parsing --n: no - such  \n  number  \n  -----\n  Argument helptext: \n"
    assert one_line(box, "i2i do") == "--n: no - such number"


@attrs.frozen
class Inner:
    with_: int = 3
    """The company."""


@attrs.frozen
class Words:
    """Settings that are words of Python."""

    from_: str | None = None
    """Where it begins."""
    class_: bool = False
    """Whether it is one."""
    is_: tuple[int, ...] = ()
    """What it is."""
    plain_name: int = 1
    """Nothing of the kind."""
    inner: Inner = Inner()


def words(*argv: str) -> Words:
    found: Words = parse(Words, argv, "i2i do", record_flags(Words()), Words())
    return found


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--from", "x"], Words(from_="x")),
        (["--from=--from_", "--class"], Words(from_="--from_", class_=True)),
        (["--class", "--no-class"], Words()),
        (
            ["--is", "1", "--is=2", "--inner.with", "4", "--plain_name", "5"],
            Words(is_=(1, 2), plain_name=5, inner=Inner(4)),
        ),
        (["--from", "--is", "--is"], None),
    ],
)
def test_words_of_python_are_flags(argv, expected):
    if expected is None:
        with pytest.raises(SettingsError, match="^Missing value for argument '--from'"):
            words(*argv)
    else:
        assert words(*argv) == expected


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--form", "x"], "unknown setting --form; did you mean '--from'?"),
        (["--from_", "x"], "unknown setting --from_; did you mean '--from'?"),
        (["--no-klass"], "unknown setting --no-klass; did you mean '--no-class'?"),
        (["--inner.with", "y"], "--inner.with: 'y' is no whole number"),
        (["--is", "y"], "--is: Could not find valid parse for arguments: ['y']"),
        (["--from"], "Missing value for argument '--from'. Expected 1 values."),
    ],
)
def test_mistakes_call_them_so_too(argv, message):
    with pytest.raises(SettingsError) as caught:
        words(*argv)
    assert str(caught.value) == message


def test_help_calls_them_so_too_and_keeps_its_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        words("--help")
    lines = capsys.readouterr().out.splitlines()
    flags = {re.search(r"--[\w.-]+", line)[0]: line for line in lines if re.search(r"--\w", line)}
    assert {"--from", "--class", "--is", "--plain-name", "--inner.with"} <= set(flags)
    assert not [line for line in lines if "_ " in line or "_," in line]
    begin = flags["--plain-name"].index("Nothing")
    said = {"--from": "Where", "--class": "Whether", "--is": "What"}
    assert [flags[name].index(word) for name, word in said.items()] == [begin] * 3
    assert len({len(flags[name]) for name in ("--plain-name", *said)}) == 1


def test_functions_have_them_too():
    def begin(*, from_: int = 3, is_: bool = False) -> tuple[int, bool]:
        """Do.

        Args:
            from_: where.
            is_: whether.
        """
        return from_, is_

    assert call(begin, ["--from", "4", "--is"], "i2i do") == (4, True)
    assert call(begin, ["--no-is"], "i2i do") == (3, False)
