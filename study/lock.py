"""One driver to a study: a lock that says who holds it, and that it is alive.

The kernel's lock (flock) is what excludes on one machine: it goes with its process, however that dies. Some network
file systems keep flock to one machine, or have none, so the file also says who holds it (host, process, since when),
and a thread touches it every few seconds. A holder on this machine counts while its process lives, one elsewhere while
its last touch is younger than `STALE_SECONDS`. Ages are measured between two stamps of the same file system, so
machines' clocks need not agree.
"""

from __future__ import annotations

import _thread
import errno
import fcntl
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TextIO

from study.ledger import Ledger

LOCK = ".lock"
BEAT_SECONDS = 5.0
STALE_SECONDS = 60.0
SETTLE_SECONDS = 1.0  # two who take a lock at once, without flock, both see by then who wrote last


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Who holds a study."""

    host: str
    boot: str  # names a start of the machine's kernel: hosts may share a name, process ids are used again
    pid: int
    began: str  # when the process began, as its kernel counts; empty where that is not known
    since: float  # seconds since 1970
    trials: int | None  # that the driver is to run; None for other commands

    def runs_here(self) -> bool:
        """Whether the owner's process would be one of this machine."""
        return (self.host, self.boot) == (socket.gethostname(), _boot())

    def is_gone(self) -> bool:
        """Whether the process is known to have ended: it was of this machine, and is no more."""
        return self.runs_here() and not _lives(self.pid, self.began)


@dataclass(frozen=True, kw_only=True)
class Holder:
    """What the lock of a study says: its owner, and how old the last sign of life is."""

    owner: Owner
    beat_age_seconds: float

    @property
    def lives(self) -> bool:
        """Whether the owner is to be reckoned with."""
        return not self.owner.is_gone() if self.owner.runs_here() else self.beat_age_seconds < STALE_SECONDS

    def __str__(self) -> str:
        owner = self.owner
        where = "on this machine" if owner.runs_here() else f"on {owner.host}"
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(owner.since))
        return f"process {owner.pid} {where} since {since}, last sign of life {self.beat_age_seconds:.0f} s ago"


@contextmanager
def only_driver(results: Path, *, trials: int | None = None) -> Iterator[None]:
    """Hold the study's folder while the body runs. Raises ValueError if another process holds it.

    If the lock is lost (this process was stopped for longer than `STALE_SECONDS`, and another took over), the main
    thread is interrupted as by Ctrl-C.
    """
    try:
        Ledger(results).create()
        lock = (results / LOCK).open("a+")
    except OSError as error:
        raise ValueError(f"{results} cannot be written ({error.strerror}); choose another --results") from error
    with lock:
        excludes = _flock(lock, results)
        before = _read(lock, now=_stamp_now(results))
        if before is not None and before.lives:
            raise _in_use(results, before)
        owner = Owner(
            host=socket.gethostname(), boot=_boot(), pid=os.getpid(), began=_began(os.getpid()), since=time.time(),
            trials=trials,
        )  # fmt: skip
        _write(lock, owner)
        if not excludes or (before is not None and not before.owner.runs_here()):
            time.sleep(SETTLE_SECONDS)
            winner = _read(lock, now=time.time())
            if winner is not None and winner.owner != owner:
                raise _in_use(results, winner)
        stop = threading.Event()
        heart = threading.Thread(target=_beat, args=(lock, owner, stop), daemon=True)
        heart.start()
        try:
            yield
        finally:
            stop.set()
            heart.join()
            if _is_ours(lock, owner):
                lock.truncate(0)


def read_holder(results: Path) -> Holder | None:
    """What the lock says; None where nobody holds the study, or nobody who lives."""
    try:
        with (results / LOCK).open() as lock:
            holder = _read(lock, now=time.time())
    except FileNotFoundError:
        return None
    return holder if holder is not None and holder.lives else None


def _flock(lock: TextIO, results: Path) -> bool:
    """Take the kernel's lock; False where the file system has none. Raises ValueError if somebody has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _in_use(results, _read(lock, now=time.time())) from None
    except OSError as error:
        if error.errno not in {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}:
            raise
        return False
    return True


def _in_use(results: Path, holder: Holder | None) -> ValueError:
    return ValueError(
        f"{results} is in use by {holder or 'a process that has not said its name yet'}; wait for it, stop it (what is "
        "finished is kept), or choose another --results"
    )


def _beat(lock: TextIO, owner: Owner, stop: threading.Event) -> None:
    while not stop.wait(BEAT_SECONDS):
        try:
            ours = _is_ours(lock, owner)
            if ours:
                os.utime(lock.fileno())
        except OSError:
            continue  # a disk that does not answer may answer again
        if not ours:
            print("study: another driver has taken this study over, so this one ends", file=sys.stderr)
            _thread.interrupt_main()
            return


def _is_ours(lock: TextIO, owner: Owner) -> bool:
    holder = _read(lock, now=time.time())
    return holder is not None and holder.owner == owner


def _read(lock: TextIO, *, now: float) -> Holder | None:
    """The holder that an open lock file names; None if it is empty, or was written by an older version."""
    text = os.pread(lock.fileno(), 4096, 0).decode()
    try:
        values = json.loads(text)
        owner = Owner(**{field.name: values[field.name] for field in fields(Owner)})
    except (ValueError, KeyError, TypeError):
        return None
    return Holder(owner=owner, beat_age_seconds=max(0.0, now - os.fstat(lock.fileno()).st_mtime))


def _write(lock: TextIO, owner: Owner) -> None:
    lock.truncate(0)
    lock.write(json.dumps(asdict(owner)))
    lock.flush()
    os.fsync(lock.fileno())


def _stamp_now(results: Path) -> float:
    """Now, by the clock that stamps the files of this folder."""
    probe = results / f"{LOCK}.{os.getpid()}"
    probe.touch()
    now = probe.stat().st_mtime
    probe.unlink()
    return now


def _boot() -> str:
    """A name of this start of the machine; empty where the kernel gives none."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""


def _began(pid: int) -> str:
    """When a process began, in ticks since the machine did; empty where the kernel does not tell, or it has ended."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return ""
    return "" if state in {"Z", "X"} else rest[18]  # a process that nobody has buried yet is no process


def _lives(pid: int, began: str) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is somebody else's
    return _began(pid) == began
