"""Where a study is: a folder, or a URL that fsspec knows."""

from pathlib import Path

_LOCAL = ("file://", "local://")


def is_url(place: object) -> bool:
    """Whether a place is the URL of a store, which has neither renames nor locks.

    >>> is_url("s3://bucket/study"), is_url("runs/study"), is_url("file:///runs/study")
    (True, False, False)
    """
    return "://" in str(place) and not str(place).startswith(_LOCAL)


def local_path(place: object) -> Path:
    """The path of a place that is no such URL.

    >>> str(local_path("file:///runs/study"))
    '/runs/study'
    """
    text = str(place)
    for scheme in _LOCAL:
        text = text.removeprefix(scheme)
    return Path(text).expanduser().absolute()
