"""Who writes a run at a URL: a file that its writer renews, as a store of objects has no locks."""

import json
import os
import secrets
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from elicit.results import RunError, write_atomic
from elicit.runs.remote import RemoteFolder

_MISSED = 3
"""Renewals that must fail to appear before a writer counts as gone."""
_LONGEST = 4096
_SELDOM = 600.0
"""Limits of what is believed of a lease, which anybody may have written: bytes, seconds."""


class Lease:
    """The right to write one run at a URL, as long as it is renewed.

    It keeps two machines from mixing their files by mistake. Two that ask within the same moment
    may both get it; the one whose file was overwritten finds out at its next renewal.

    Args:
        remote: The study.
        place: Where the lease is.
        scratch: A local file to write it to.
        every: Time between two renewals, seconds.
    """

    def __init__(self, remote: RemoteFolder, place: str, scratch: Path, *, every: float) -> None:
        """Nothing is taken yet."""
        self._remote, self._place, self._scratch, self._every = remote, place, scratch, every
        self._holder = f"{socket.gethostname()} process {os.getpid()} {secrets.token_hex(4)}"
        self._count = 0
        self.lost_to: str | None = None

    def take(self, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Take the lease, if need be after the time in which another writer would have renewed it.

        Raises:
            RunError: Another one renewed it meanwhile, or the URL cannot be read or written.
        """
        first = self._read()
        if first is not None and not _gone(first["holder"]):
            # Clocks of two machines may differ: all that counts is whether it changes.
            wait = _MISSED * first["every"]
            warnings.warn(
                f"{self._remote.url}: {first['holder']} wrote {self._place}. Waiting for "
                f"{wait:.0f} seconds at most to see whether it still does.",
                stacklevel=4,
            )
            for _ in range(max(1, int(wait / self._step))):
                sleep(self._step)
                now = self._read()
                if now is None:
                    break
                if now != first:
                    raise RunError(
                        f"{self._remote.url}: {now['holder']} is writing {self._place}, and two "
                        "at once would mix their files. Wait for it, stop it, or choose another "
                        "URL."
                    )
        self.renew()

    @property
    def _step(self) -> float:
        return max(self._every / 12, 1e-3)

    def renew(self) -> None:
        """Say once more that this process writes; once another one has taken over, no more.

        Raises:
            RunError: The URL cannot be read or written.
        """
        found = self._read()
        if self._count and found is not None and found["holder"] != self._holder:
            self.lost_to = found["holder"]
            return
        self._count += 1
        told = {"holder": self._holder, "every": self._every, "renewed": self._count}
        write_atomic(self._scratch, (json.dumps(told) + "\n").encode())
        self._remote.put(self._scratch, self._place)

    def release(self) -> None:
        """Give it back, if it is still this process's.

        Raises:
            RunError: The URL cannot be read or written.
        """
        found = self._read()
        if found is not None and found["holder"] == self._holder:
            self._remote.remove(self._place)

    def _read(self) -> dict | None:
        """What is there, None without a lease; one that says nothing sensible counts as renewed."""
        copy = self._scratch.with_name(f"{self._scratch.name}.there")
        if not self._remote.fetch(self._place, copy):
            return None
        try:
            found = json.loads(copy.read_bytes()[:_LONGEST])
            holder, every = str(found["holder"])[:200], float(found["every"])
            holder = "".join(each if each.isprintable() else "?" for each in holder)
            every = every if 0 < every <= _SELDOM else self._every
            return {"holder": holder, "every": every, "renewed": found["renewed"]}
        except (ValueError, TypeError, KeyError, RecursionError):
            return {"holder": "somebody", "every": self._every, "renewed": 0}
        finally:
            copy.unlink(missing_ok=True)


@contextmanager
def leased(remote: RemoteFolder, place: str, scratch: Path, *, every: float) -> Iterator[Lease]:
    """A block in which this process alone writes a run at a URL; see `Lease`.

    Raises:
        RunError: Another process writes it, or took over before the end.
    """
    lease = Lease(remote, place, scratch, every=every)
    lease.take()
    ended = threading.Event()

    def keep() -> None:
        while not ended.wait(every):
            try:
                lease.renew()
            except (RunError, OSError):
                continue  # a store that does not answer for a while must not end a run of hours

    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        ended.set()
        thread.join()
        # What ended the block matters more; a lease that stays is taken over in the end.
        with suppress(RunError, OSError):
            lease.release()
    if lease.lost_to is not None:
        raise RunError(
            f"{remote.url}: {lease.lost_to} has taken {place} over, as nothing was heard of this "
            "process for a while, and its files are there now. Run the study once more when it has "
            "ended."
        )


def _gone(holder: str) -> bool:
    """Whether a holder was a process of this machine that has ended."""
    host, _, rest = holder.partition(" process ")
    number = rest.split(" ")[0]
    if host != socket.gethostname() or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # of somebody else, or no process's number
        return False
    return False
