from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from i2i.errors import RunError
from i2i.files import remove_folder, write_file, writing


def test_a_kill_at_any_operation_leaves_the_old_or_the_new_file(tmp_path, killed_everywhere) -> None:
    path = tmp_path / "note"
    path.write_bytes(b"old")
    seen = []
    for _ in killed_everywhere(tmp_path, lambda: write_file(path, lambda file: file.write(b"new" * 9999))):
        seen.append(path.read_bytes())
        assert seen[-1] in (b"old", b"new" * 9999)
    assert path.read_bytes() == b"new" * 9999
    assert b"old" in seen
    assert os.listdir(tmp_path) == ["note"]


def test_the_data_are_on_disk_before_the_name_is(tmp_path, monkeypatch) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noting(name: str, call: Callable[..., None]) -> Callable[..., None]:
        return lambda *arguments: (calls.append(name), call(*arguments))[1]

    monkeypatch.setattr(os, "fsync", noting("fsync", fsync))
    monkeypatch.setattr(os, "replace", noting("replace", replace))
    write_file(tmp_path / "note", lambda file: file.write(b"x"))
    assert calls == ["fsync", "replace", "fsync"]


def _full_on_fsync(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    yield


def _full_on_write(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize("failure", [_full_on_fsync, _full_on_write])
def test_a_failed_write_keeps_the_old_file_and_gives_the_space_back(tmp_path, monkeypatch, failure) -> None:
    path = tmp_path / "note"
    path.write_bytes(b"old")
    steps = failure(monkeypatch)
    next(steps)
    with pytest.raises(OSError):
        write_file(path, lambda file: file.write(b"new" * 9999))
    assert next(steps, None) is None
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["note"]


def test_the_error_names_the_file_the_reason_and_what_is_intact() -> None:
    with pytest.raises(RunError) as caught, writing(Path("run/step-3"), "step-2 is intact"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert str(caught.value) == "cannot write run/step-3 (No space left on device); step-2 is intact"


def test_a_half_removed_folder_does_not_keep_its_name(tmp_path, killed_everywhere) -> None:
    folder = tmp_path / "step-1"
    folder.mkdir()
    for name in "abc":
        (folder / name).write_text(name)
    for _ in killed_everywhere(tmp_path, lambda: folder.exists() and remove_folder(folder)):
        assert not folder.exists() or sorted(os.listdir(folder)) == ["a", "b", "c"]
    assert not folder.exists()
