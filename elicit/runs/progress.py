"""Telling a person how far a long job is, without knowing how it is shown."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """What a long job calls to say how far it is."""

    def start(self, total: int, what: str) -> None:
        """Announce a job.

        Args:
            total: Steps in the job, >= 0.
            what: What is being done, in a few words.
        """
        ...

    def advance(self, n: int = 1, what: str | None = None) -> None:
        """Report steps done.

        Args:
            n: Steps done since the last report, >= 0.
            what: What is being done now; None keeps the last words.
        """
        ...

    def stop(self) -> None:
        """End the job, finished or not."""
        ...


@runtime_checkable
class Announcing(Protocol):
    """Progress that can also say something about the whole job."""

    def announce(self, line: str) -> None:
        """Say a sentence.

        Args:
            line: One sentence.
        """
        ...


class NoProgress:
    """Progress that nobody watches."""

    def start(self, total: int, what: str) -> None:
        """Ignore the start of a job."""

    def advance(self, n: int = 1, what: str | None = None) -> None:
        """Ignore steps done."""

    def stop(self) -> None:
        """Ignore the end of a job."""
