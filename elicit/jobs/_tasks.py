"""Tasks of a job, read from what its options name."""

from pathlib import Path

from elicit.jobs._faults import SpecError
from elicit.jobs._spec import PairSpec
from elicit.tasks import Task, is_hub_id, load_task


def refuse_missing(path: Path, what: str) -> None:
    """Refuse a file that is not there, before anything is read.

    Args:
        path: A file, or a data set's hub id.
        what: Name of the option.

    Raises:
        SpecError: It is neither.
    """
    if not is_hub_id(path) and not path.is_file():
        raise SpecError(
            f"{what} are to be read from {path}, which is not a file, so there are no {what}. "
            "Check the path, or write hf:NAME:SPLIT for a data set of the hub."
        )


def read_task(spec: PairSpec, path: Path, what: str = "problems") -> Task:
    """A task as the options say: columns, format, groups.

    Args:
        spec: Options of the job.
        path: File or hub id.
        what: Name of the option and of the task: `problems` or `facts`.

    Raises:
        ElicitError: The file is missing or invalid.
    """
    refuse_missing(path, what)
    own = path != getattr(spec, what)
    if own:
        refuse_own_map(spec, what)
    return load_task(
        path,
        name=what,
        group_by=getattr(spec, "group_by", None),
        map=",".join(_columns(spec, what)),
        task_format="plain" if own else spec.task_format,
    )


def refuse_own_map(spec: PairSpec, what: str = "problems") -> None:
    """Refuse to rename columns of an embedded pair's own problems, which need none.

    Raises:
        SpecError: Columns are named.
    """
    if _columns(spec, what):
        raise SpecError(
            f"{'map' if what == 'problems' else 'facts_map'} names columns, but {what} were not "
            f"given, so there is nothing to rename. Give {what}, or leave it out."
        )


def _columns(spec: PairSpec, what: str) -> tuple[str, ...]:
    return spec.map if what == "problems" else getattr(spec, "facts_map", ())
