"""Settings to and from TOML: strict types, and messages that name the spot."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

import attrs
import pytest

from i2i.errors import RunError, SettingsError
from i2i.settings import RunSettings, at_least
from i2i.toml import changed, read_settings, table, write_settings


@attrs.frozen
class Inner:
    rate: float = 0.5
    name: str = "x"


@attrs.frozen
class Toy:
    count: int = attrs.field(default=1, validator=at_least(0))
    rate: float = 0.5
    flip: bool = True
    name: str = "a"
    mode: Literal["fast", "slow"] = "fast"
    size: tuple[int, int] = (1, 2)
    folders: tuple[Path, ...] = ()
    limit: int | None = 7
    either: int | float | None = None
    inner: Inner = Inner(rate=0.25)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, Toy()),
        ({"count": 3, "rate": 2, "flip": False}, Toy(count=3, rate=2.0, flip=False)),
        ({"size": [3, 4], "folders": ["p", "q"]}, Toy(size=(3, 4), folders=(Path("p"), Path("q")))),
        ({"limit": "none"}, Toy(limit=None)),
        ({"either": 1.5}, Toy(either=1.5)),
        ({"inner": {"name": "y"}}, Toy(inner=Inner(rate=0.25, name="y"))),
    ],
)
def test_tables_change_only_what_they_name(values, expected):
    found = changed(Toy(), values, "here")
    assert found == expected
    assert [type(getattr(found, f.name)) for f in attrs.fields(Toy)] == [
        type(getattr(expected, f.name)) for f in attrs.fields(Toy)
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 1.9}, "here count: 1.9 is no whole number"),
        ({"count": True}, "here count: True is no whole number"),
        ({"count": "3"}, "here count: '3' is no whole number"),
        ({"rate": True}, "here rate: True is no number"),
        ({"rate": "1"}, "here rate: '1' is no number"),
        ({"flip": 1}, "here flip: 1 is neither true nor false"),
        ({"name": 1}, "here name: 1 is no text"),
        ({"mode": "quick"}, "here mode: 'quick' must be one of fast, slow"),
        ({"size": [1, 2, 3]}, "here size: [1, 2, 3] must hold 2 values"),
        ({"size": "12"}, "here size: '12' is no list"),
        ({"size": [1, 2.5]}, "here size: 2.5 is no whole number"),
        ({"folders": [3]}, "here folders: 3 is no path"),
        ({"limit": 1.5}, "here limit: 1.5 is no whole number"),
        ({"inner": 3}, "here inner: 3 is no table"),
        ({"inner": {"rat": 3}}, "here inner has the unknown setting 'rat'; did you mean 'rate'?"),
        ({"cuont": 3}, "here has the unknown setting 'cuont'; did you mean 'count'?"),
        ({"count": -1}, "here: count (=-1) must be at least 0"),
    ],
)
def test_mistakes_name_the_spot_and_the_value(values, message):
    with pytest.raises(SettingsError) as caught:
        changed(Toy(), values, "here")
    assert str(caught.value) == message


def test_what_is_written_is_read_again(tmp_path):
    toy = Toy(rate=0.1 + 0.2, limit=None, size=(5, 6), folders=(Path("/a b"),), inner=Inner(1e-300, "ü\n"))
    run = RunSettings(data=Path("/photos"), seed=3, average=0.999, out=Path("out"), resume=True)
    write_settings(tmp_path / "settings.toml", "toy", run, toy)
    found = read_settings(tmp_path / "settings.toml")
    assert found.recipe == "toy"
    assert changed(Toy(), found.settings, "s") == toy
    # Where the run lies and that it was resumed are no settings of it.
    assert changed(RunSettings(), found.run, "r") == attrs.evolve(run, out=None, resume=False)
    assert [path.name for path in tmp_path.iterdir()] == ["settings.toml"]


def test_none_is_left_out_where_it_is_the_default():
    assert table(Toy(limit=None, either=None))["limit"] == "none"
    assert "either" not in table(Toy())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[run]\nseed = = 3\n", r"bad.toml is no valid TOML: Invalid value \(at line 2, column 8\)"),
        ("seed = 3\n", "has the unknown entry 'seed'; it may hold recipe, \\[run\\] and \\[settings\\]"),
        ("run = 3\n", "run must be a table"),
        ("recipe = 3\n", "recipe must be a text"),
    ],
)
def test_files_that_hold_something_else(tmp_path, text, message):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(SettingsError, match=message):
        read_settings(tmp_path / "bad.toml")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(SettingsError, match="no.toml cannot be read: No such file"):
        read_settings(tmp_path / "no.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"bytes.toml cannot be read: .*codec"):
        read_settings(tmp_path / "bytes.toml")


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "settings.toml"
    write_settings(path, "toy", RunSettings(), Toy(count=1))
    before = path.read_bytes()
    (tmp_path / ".settings.toml.tmp").mkdir()  # in the way of the temporary file
    with pytest.raises(RunError, match=r"settings\.toml"):
        write_settings(path, "toy", RunSettings(), Toy(count=2))
    assert path.read_bytes() == before
    assert tomllib.loads(before.decode())["settings"]["count"] == 1


@attrs.frozen
class Words:
    from_: Path | None = Path("x")
    is_: int = attrs.field(default=1, validator=at_least(1))


def test_words_of_python_are_written_without_the_underscore_of_their_field(tmp_path):
    words = Words(from_=None, is_=2)
    assert table(words) == {"from": "none", "is": 2}
    write_settings(tmp_path / "settings.toml", "toy", RunSettings(), words)
    assert changed(Words(), read_settings(tmp_path / "settings.toml").settings, "here") == words
    with pytest.raises(SettingsError, match="^here from: 3 is no path$"):
        changed(Words(), {"from": 3}, "here")
    with pytest.raises(SettingsError, match="^here has the unknown setting 'from_'; did you mean 'from'"):
        changed(Words(), {"from_": "y"}, "here")
    with pytest.raises(SettingsError, match=r"^here: is \(=0\) must be at least 1$"):
        changed(Words(), {"is": 0}, "here")
