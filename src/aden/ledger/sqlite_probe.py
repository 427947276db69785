"""Whether a directory can bear a ledger that several processes share: its locks must hold.

SQLite's write-ahead log needs locks that every process sees and memory that they share, which
network and shared-folder file systems pretend to have (https://sqlite.org/wal.html,
https://sqlite.org/howtocorrupt.html §2.1).
"""

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

ADVICE = "a local disk, as locks of processes do not hold there; or a redis:// ledger"
PROBE_TIMEOUT_S = 10.0
_SHARED = """
9p afpfs afs beegfs ceph cifs davfs fakeowner fuse.ceph fuse.gcsfuse fuse.glusterfs fuse.grpcfuse
fuse.juicefs fuse.rclone fuse.s3fs fuse.sshfs fuse.vmhgfs-fuse gfs2 gpfs lustre ncpfs nfs nfs4 ocfs2
prl_fs smb2 smb3 smbfs vboxsf virtiofs vmhgfs
"""
SHARED_TYPES = frozenset(_SHARED.split())
"""File systems that other machines, or a virtual machine's host, write as well."""

_SECOND_PROCESS = """
import sqlite3, sys
try:
    db = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None, uri=True)
    seen = db.execute("SELECT count(*) FROM probe").fetchone()[0]
except sqlite3.Error as error:
    print(error)
    sys.exit()
try:
    db.execute("BEGIN IMMEDIATE")
    print(seen, "free")
except sqlite3.OperationalError:
    print(seen, "busy")
"""

_proven: set[int] = set()
"""Devices that were probed by this process."""


def prove_locks(ledger: Path) -> str | None:
    """Probe the file system of a ledger's file, once a boot; gives what is wrong, None if nothing.

    The ledger must exist. A file beside it (``-locks``) tells later processes that it was probed.
    """
    ledger = Path(os.path.realpath(ledger))  # what matters is where a link leads
    device = os.stat(ledger).st_dev
    proof = Path(f"{ledger}-locks")
    told = f"{_boot_id()} {device}"
    if device in _proven or _read(proof) == told:
        return None
    kind = file_system_of(ledger.parent, _read(Path("/proc/self/mountinfo")))
    if kind in SHARED_TYPES:
        return f"it lies on {kind}, a file system that other machines write as well"
    if problem := probe(Path(f"{ledger}-probe.{os.getpid()}")):
        return problem
    _proven.add(device)
    with contextlib.suppress(OSError):
        proof.touch(mode=0o600)
        proof.write_text(told)
    return None


def probe(path: Path, vfs: str | None = None) -> str | None:
    """Have two processes use a SQLite file at *path*; gives what is wrong, None if nothing.

    Args:
        path: Of a file that is made and deleted again.
        vfs: SQLite's layer over the file system, for tests; None: its default.
    """
    uri = path.absolute().as_uri() + (f"?vfs={vfs}" if vfs else "")
    try:
        return _probe(uri)
    except (sqlite3.Error, OSError) as error:
        return f"SQLite cannot use its file system: {error}"
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            with contextlib.suppress(OSError):
                Path(f"{path}{suffix}").unlink()


def _probe(uri: str) -> str | None:
    connection = sqlite3.connect(uri, isolation_level=None, uri=True)
    try:
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("CREATE TABLE probe (id)")
        connection.execute("INSERT INTO probe VALUES (1)")
        connection.execute("BEGIN IMMEDIATE")
        answer = _ask_second_process(uri)
    finally:
        connection.close()
    if answer is None:  # no process can be started here: nothing is known
        return None
    if answer.endswith("free"):
        return "a second process does not see the locks of the first"
    if mode != "wal":
        return f"it has no write-ahead log (journal mode {mode})"
    return None if answer == "1 busy" else f"a second process cannot use it: {answer}"


def _ask_second_process(uri: str) -> str | None:
    """What another process sees of the file that this one has locked; None where none can tell.

    The interpreter may be inside another program, which uWSGI names as `sys.executable` and which
    does not know our options; a frozen one (PyInstaller) would start itself, over and over.
    """
    if not sys.executable or getattr(sys, "frozen", False):
        return None
    command = [sys.executable, "-I", "-S", "-c", _SECOND_PROCESS, uri]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and program
            command, capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return None if done.returncode else done.stdout.strip()[-200:]


def file_system_of(directory: Path, mountinfo: str) -> str | None:
    """The type of the file system that *directory* lies on, by Linux' ``/proc/self/mountinfo``."""
    wanted = directory.resolve().parts
    depth, kind = 0, None
    for line in mountinfo.splitlines():
        mount, _, tail = line.partition(" - ")
        fields = mount.split()
        if len(fields) < 5 or not tail:
            continue
        at = Path(fields[4].replace("\\040", " ")).parts
        if wanted[: len(at)] == at and len(at) >= depth:  # the last of several is on top
            depth, kind = len(at), tail.split()[0]
    return kind


def _boot_id() -> str:
    return _read(Path("/proc/sys/kernel/random/boot_id")).strip() or "unknown"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
