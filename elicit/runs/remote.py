"""Files at a URL that fsspec knows, whatever keeps them there."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from elicit.results import RunError, is_plain_name
from elicit.runs.lock import LOCK

_DEEPEST = 5
"""Names in the place of a file: an audit has runs in a run, each with folders."""


class RemoteFolder:
    """A folder at a URL that fsspec knows, such as `s3://bucket/study`.

    Nothing is locked there: one process at a time writes a run, which `leased` sees to.

    Attributes:
        url: The URL, without a password.
    """

    def __init__(self, url: str) -> None:
        """Find the file system of a URL; nothing is read yet.

        Raises:
            RunError: The scheme is unknown, or its package is not installed.
        """
        import fsspec

        self.url = re.sub(r"//[^/@]*@", "//", url).rstrip("/")
        with self._errors("opened"):
            self._files, root = fsspec.core.url_to_fs(url)
        self._root = root.rstrip("/")

    def text(self) -> str:
        """Content of the file that this URL is.

        Raises:
            RunError: It cannot be read.
        """
        with self._errors("read"):
            return self._files.cat_file(self._root).decode("utf-8")

    def list(self, name: str) -> list[str]:
        """Places of all files of a folder, relative to it.

        Args:
            name: Plain name of a folder here.

        Raises:
            RunError: The folder cannot be listed, or holds a file under a name that no run writes,
                which could lead out of the folder that it is copied to.
        """
        root = f"{self._root}/{name}"
        with self._errors("listed"):
            self._files.invalidate_cache()
            try:
                found = [str(key) for key in self._files.find(root)]
            except FileNotFoundError:
                found = []
        places = []
        for key in found:
            inside = key.startswith(f"{root}/")
            place = key.removeprefix(f"{root}/")
            parts = place.split("/")
            plain = all(part == LOCK or is_plain_name(part) for part in parts)
            if not inside or len(parts) > _DEEPEST or not plain:
                raise RunError(
                    f"{self.url}/{name} holds {key!r}, and no run writes a file of that name, so "
                    "copying it could overwrite files elsewhere. Remove it, or choose another URL."
                )
            # A folder of runs that was copied there by hand has its locks.
            if parts[-1] != LOCK:
                places.append(place)
        return sorted(places)

    def fetch(self, place: str, path: Path) -> bool:
        """Copy one file from here.

        Args:
            place: Its place here.
            path: Where to, in folders that are made.

        Returns:
            Whether there is such a file.

        Raises:
            RunError: It cannot be copied.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._errors("read"):
            try:
                self._files.get_file(f"{self._root}/{place}", str(path))
            except FileNotFoundError:
                path.unlink(missing_ok=True)
                return False
        return path.is_file()

    def put(self, path: Path, place: str) -> None:
        """Copy one file to here.

        Args:
            path: The file.
            place: Its place here.

        Raises:
            RunError: It cannot be copied.
        """
        with self._errors("written"):
            self._files.put_file(str(path), f"{self._root}/{place}")

    def remove(self, place: str) -> None:
        """Remove a file, if it is here.

        Args:
            place: Its place here.

        Raises:
            RunError: It cannot be removed.
        """
        with self._errors("written"):
            try:
                self._files.rm_file(f"{self._root}/{place}")
            except FileNotFoundError:
                return

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """Errors of any file system as one that names the URL.

        Raises:
            RunError: The block raised something.
        """
        try:
            yield
        except Exception as error:  # each file system has its own
            why = " ".join(str(error).split())[:300] or type(error).__name__
            raise RunError(
                f"{self.url} cannot be {what} ({why}). Check the address, the rights, and that the "
                "package that fsspec needs for it is installed (s3fs for s3://, gcsfs for gs://)."
            ) from error
