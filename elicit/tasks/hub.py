"""Data sets of Hugging Face `datasets`: objects, hub ids and local folders."""

import re
from pathlib import Path
from typing import Any

from elicit.tasks.faults import TaskError
from elicit.tasks.records import Records, RowSet
from elicit.tasks.tables import of_rows

PREFIX = "hf:"
"""What a source that `datasets` loads begins with."""
_FORM = "hf:NAME[:CONFIG]:SPLIT, for example hf:openai/gsm8k:main:test"


def is_hub_id(source: object) -> bool:
    """Whether a source is named for `datasets` to load."""
    return str(source).startswith(PREFIX)


def of_hub(source: str) -> Records:
    """Records of a data set that the `datasets` library loads, from the hub or a local folder.

    Args:
        source: `hf:NAME[:CONFIG]:SPLIT`. `NAME@REVISION` fixes a revision; a folder may stand for
            the name, and a split may be a slice such as `test[:100]`.

    Raises:
        TaskError: The name has another form, or `datasets` cannot load it.
    """
    name, config, split = _parts(source)
    name, at, revision = name.partition("@") if not Path(name).exists() else (name, "", "")
    try:
        rows = _load(name, config, split, revision if at else None)
    except Exception as error:  # the library and the hub have errors of many classes
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise TaskError(
            f"{source} cannot be loaded by datasets ({type(error).__name__}: {lines[0][:200]}), so "
            f"there are no problems to run. Check name, configuration and split: {_FORM}. A data "
            "set that is not in the cache needs the network."
        ) from error
    return of_rows(rows, origin=source, name=Path(name).name)


def of_dataset(rows: RowSet) -> Records:
    """Records of a `datasets.Dataset`, called by their row from 1 on.

    Raises:
        TaskError: It holds several splits.
    """
    if isinstance(rows.column_names, dict):
        raise TaskError(
            f"the data set has the splits {', '.join(rows.column_names)}, so it is not clear which "
            "problems to run. Pass one of them, such as data['test']."
        )
    builder = str(getattr(rows, "builder_name", None) or "")
    name = builder if builder and builder not in _FILE_BUILDERS else "dataset"
    return of_rows(rows, origin="the data set", name=name)


_FILE_BUILDERS = ("json", "csv", "parquet", "text", "arrow", "generator")


def _load(name: str, config: str | None, split: str, revision: str | None) -> Any:
    import datasets

    if (Path(name) / "state.json").is_file() or (Path(name) / "dataset_dict.json").is_file():
        saved: Any = datasets.load_from_disk(name)
        splits = saved if isinstance(saved, dict) else {str(saved.split or split): saved}
        if split not in splits:
            raise ValueError(f"it has the splits {', '.join(splits)} and not {split!r}")
        return splits[split]
    return datasets.load_dataset(name, config, split=split, revision=revision)


def _parts(source: str) -> tuple[str, str | None, str]:
    """Name, configuration and split."""
    # A colon inside the brackets of a split is a slice.
    parts = re.split(r":(?![^\[]*\])", source.removeprefix(PREFIX))
    if len(parts) not in (2, 3) or not all(parts):
        raise TaskError(
            f"{source!r} does not name a data set and one of its splits, so it is not clear which "
            f"problems to run. Write {_FORM}."
        )
    return parts[0], parts[1] if len(parts) == 3 else None, parts[-1]
