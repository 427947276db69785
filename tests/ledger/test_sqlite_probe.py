"""Where a SQLite ledger may lie: on a file system whose locks every process sees."""

import os
import re
from pathlib import Path

import pytest
from ledger_kit import finished, python

from aden.errors import ConfigurationError
from aden.ledger import open_ledger, sqlite_probe
from aden.ledger.sqlite_probe import ADVICE, SHARED_TYPES, file_system_of, probe, prove_locks

MOUNTS = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 25 0:27 / /mnt rw - tmpfs tmpfs rw
31 30 0:28 / /mnt/team\\040share rw,relatime shared:7 - nfs4 10.0.0.2:/team rw
32 30 0:29 / /mnt/over rw - nfs4 10.0.0.2:/under rw
33 30 0:30 / /mnt/over rw - ext4 /dev/vdb rw
this line is no mount
"""


@pytest.fixture(autouse=True)
def unproven(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has probed nothing."""
    monkeypatch.setattr(sqlite_probe, "_proven", set())


def test_a_local_disk_passes_and_nothing_of_the_probe_stays(tmp_path: Path) -> None:
    """Two processes see each other's locks here."""
    assert probe(tmp_path / "probe") is None
    assert list(tmp_path.iterdir()) == []


def test_locks_that_no_other_process_sees_are_found_out(tmp_path: Path) -> None:
    """SQLite's own layer without locks stands for a file system without."""
    problem = probe(tmp_path / "probe", vfs="unix-none")
    assert problem == "a second process does not see the locks of the first"
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_shared_memory_is_found_out(tmp_path: Path) -> None:
    """Locks by a directory hold, but there is no write-ahead log."""
    assert "journal mode delete" in str(probe(tmp_path / "probe", vfs="unix-dotfile"))


def test_a_directory_that_sqlite_cannot_use_is_told(tmp_path: Path) -> None:
    """The error names what SQLite says."""
    assert "unable to open" in str(probe(tmp_path / "missing" / "probe"))


@pytest.mark.parametrize("inside", ["uwsgi", "frozen"])
def test_a_program_with_the_interpreter_inside_is_not_taken_for_one(
    tmp_path: Path, inside: str
) -> None:
    """Neither asked with its options nor started over and over; both have their ledger.

    uWSGI names itself as `sys.executable`; so does a program that PyInstaller has frozen.
    """
    itself = tmp_path / inside
    itself.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\necho unknown option >&2\nexit 1\n")
    itself.chmod(0o755)
    program = f"""
import sys
from aden.ledger import open_ledger
sys.executable, sys.frozen = {str(itself)!r}, {inside == "frozen"}
open_ledger("sqlite://{tmp_path}/ledger.db").close()
"""
    finished(python(program))
    assert (tmp_path / "ledger.db").exists()
    assert (tmp_path / "started").exists() == (inside == "uwsgi")


@pytest.mark.parametrize(
    ("directory", "kind"),
    [
        ("/srv/aden", "ext4"),
        ("/mnt/aden", "tmpfs"),
        ("/mnt/team share/aden", "nfs4"),
        ("/mnt/team", "tmpfs"),
        ("/mnt/over", "ext4"),
    ],
)
def test_the_file_system_is_that_of_the_deepest_mount(directory: str, kind: str) -> None:
    """A mount below another hides it, and of two at one place the later."""
    assert file_system_of(Path(directory), MOUNTS) == kind


def test_without_a_table_of_mounts_nothing_is_known() -> None:
    """As on macOS."""
    assert file_system_of(Path("/srv"), "") is None


def test_a_shared_file_system_is_a_wrong_setting_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its locks seem to do, other machines write it as well."""
    here = file_system_of(tmp_path, Path("/proc/self/mountinfo").read_text())
    monkeypatch.setattr(sqlite_probe, "SHARED_TYPES", SHARED_TYPES | {here})
    with pytest.raises(ConfigurationError, match=re.escape(ADVICE)) as raised:
        open_ledger(f"sqlite://{tmp_path}/ledger.db")
    assert str(here) in str(raised.value)
    assert "redis://" in str(raised.value)


def test_a_link_leads_to_no_shared_file_system_unseen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts is where the file lies, not the link to it."""
    (tmp_path / "share").mkdir()
    (tmp_path / "ledger.db").symlink_to(tmp_path / "share" / "ledger.db")
    asked: list[Path] = []
    monkeypatch.setattr(sqlite_probe, "file_system_of", lambda path, _: asked.append(path))
    open_ledger(f"sqlite://{tmp_path}/ledger.db").close()
    assert asked == [tmp_path / "share"]


def test_a_ledger_is_probed_once_a_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Later processes read that it was; after another boot, or on another disk, it is not known."""
    path = tmp_path / "ledger.db"
    open_ledger(f"sqlite://{path}").close()
    told = Path(f"{path}-locks").read_text()
    assert told.endswith(f" {os.stat(path).st_dev}")

    monkeypatch.setattr(sqlite_probe, "_proven", set())
    monkeypatch.setattr(sqlite_probe, "probe", lambda path: "probed again")
    assert prove_locks(path) is None
    Path(f"{path}-locks").write_text(f"another-boot {told.split()[1]}")
    assert prove_locks(path) == "probed again"


def test_many_processes_may_probe_at_once(tmp_path: Path) -> None:
    """Each has a file of its own for that."""
    program = f"""
from aden.ledger import open_ledger
open_ledger("sqlite://{tmp_path}/ledger.db").close()
"""
    running = [python(program) for _ in range(4)]
    for process in running:
        finished(process)
    assert Path(f"{tmp_path}/ledger.db-locks").exists()
    assert not list(tmp_path.glob("*-probe*"))
