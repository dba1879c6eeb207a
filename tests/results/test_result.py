"""A saved result is the same bytes everywhere, and is read back whole or not at all."""

import dataclasses
import errno
import hashlib
import json
import math
import os
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.results import ModelId, Provenance, Result, ResultError, load_result
from elicit.results.codec import class_name


@dataclass(frozen=True)
class Gap:
    """Gap with its interval."""

    value: float
    low: float
    high: float
    draws: Float[Tensor, " draw"] | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Sweep(Result):
    """Everything that a result may hold."""

    effect: Float[Tensor, "part problem"]
    """Effect of each part, nats."""
    part: tuple[str, ...]
    """Part that was swapped."""
    problem: Int[np.ndarray, " problem"]
    """Problem of each column."""
    half: Float[Tensor, " part"]
    gap: Gap
    gaps: dict[str, Gap]
    trail: tuple[Gap, ...] = ()
    host: str = "base"
    count: int = 0
    exact: bool = False
    note: str | None = None
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, eq=False, kw_only=True)
class Other(Result):
    """Another result."""

    effect: Float[Tensor, " layer"]


def sweep():
    rng = torch.Generator().manual_seed(0)
    return Sweep(
        effect=torch.randn(2, 3, generator=rng).T.contiguous().T,
        part=("layer.0", "<b>\ud800é"),
        problem=np.array([3, 5, 8], dtype=np.int32),
        half=torch.randn(2, generator=rng).bfloat16(),
        gap=Gap(0.5, -math.inf, math.nan, torch.arange(4.0)),
        gaps={"b": Gap(1.0, 0.0, 2.0), "a": Gap(1e-300, -0.0, 0.1)},
        trail=(Gap(1.0, 0.0, 2.0, torch.ones(1)),),
        exact=True,
        settings={"z": [1, (2, "x")], "a": {"k": None}},
        provenance=Provenance(base=ModelId("b", "aa"), seed=0, arguments={"x": 1}),
    )


def assert_same(left: object, right: object, where: str = "result") -> None:
    """Equal by value, type, dtype and bytes, at any depth."""
    assert type(left) is type(right), where
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        assert left.dtype == right.dtype, where
        assert torch.equal(left, right), where
    elif isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        assert left.dtype == right.dtype, where
        assert np.array_equal(left, right), where
    elif dataclasses.is_dataclass(left):
        for item in dataclasses.fields(left):
            place = f"{where}.{item.name}"
            assert_same(getattr(left, item.name), getattr(right, item.name), place)
    elif isinstance(left, dict) and isinstance(right, dict):
        assert left.keys() == right.keys(), where
        for key in left:
            assert_same(left[key], right[key], f"{where}.{key}")
    elif isinstance(left, tuple | list) and isinstance(right, tuple | list):
        assert len(left) == len(right), where
        for index, (one, two) in enumerate(zip(left, right, strict=True)):
            assert_same(one, two, f"{where}[{index}]")
    else:
        assert repr(left) == repr(right), where


def folder_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_result_comes_back_as_it_was_saved(tmp_path):
    made = sweep()
    folder = made.save(tmp_path / "deep" / "sweep")
    assert_same(Sweep.load(folder), made)
    assert_same(load_result(folder), made)
    assert_same(Result.load(folder), made)


def test_a_loaded_result_saves_to_the_same_bytes(tmp_path):
    sweep().save(tmp_path / "one")
    Sweep.load(tmp_path / "one").save(tmp_path / "two")
    assert folder_bytes(tmp_path / "one") == folder_bytes(tmp_path / "two")


def test_the_table_on_disk_is_the_frame_with_its_descriptions(tmp_path):
    import pandas
    import pyarrow.parquet

    made = sweep()
    made.save(tmp_path)
    table = pandas.read_parquet(tmp_path / "table.parquet")
    assert list(table.columns) == list(made.to_frame().columns)
    assert table["effect"].tolist() == made.effect.flatten().tolist()
    assert table["problem"].tolist() == [3, 5, 8, 3, 5, 8]
    assert table["half"].tolist() == made.half.float().repeat_interleave(3).tolist()
    # A lone surrogate has no UTF-8; its escape says what it was.
    assert table["part"].tolist()[3:] == ["<b>\\ud800é"] * 3
    schema = pyarrow.parquet.read_schema(tmp_path / "table.parquet")
    assert schema.field("effect").metadata == {b"description": b"Effect of each part, nats."}


def test_the_manifest_says_what_is_there_in_plain_json(tmp_path):
    sweep().save(tmp_path)
    told = json.loads((tmp_path / "result.json").read_bytes())
    assert told["class"] == class_name(Sweep)
    assert told["title"] == "Everything that a result may hold."
    assert told["schema"]["effect"] == {
        "axes": ["part", "problem"],
        "description": "Effect of each part, nats.",
        "dtype": "float32",
        "shape": [2, 3],
    }
    assert told["provenance"]["base"] == {"digest": "aa", "name": "b"}
    for name, digest in told["files"].items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest


SCRIPT = """
import sys
from dataclasses import dataclass
from pathlib import Path
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from elicit.results import (Provenance, Result)

@dataclass(frozen=True, eq=False, kw_only=True)
class Grid(Result):
    effect: Float[Tensor, "layer part"]
    part: tuple[str, ...]
    more: dict[str, Tensor]
    names: dict[str, str]

rng = torch.Generator().manual_seed(0)
names = [f"part{i}" for i in range(50)]
order = sorted(names, key=hash)
Grid(
    effect=torch.randn(40, 50, generator=rng),
    part=tuple(names),
    more={name: torch.full((2,), float(name[4:])) for name in order},
    names={name: name for name in order},
    provenance=Provenance(arguments={name: name for name in order}),
).save(Path(sys.argv[1]))
print(order == names)
"""


@pytest.mark.slow
def test_two_processes_save_the_same_bytes(tmp_path):
    orders = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, tmp_path / seed],
            env={**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"},
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        )
        orders.add(done.stdout)
    assert orders == {"False\n"}, "the dicts must be filled in different orders"
    assert folder_bytes(tmp_path / "1") == folder_bytes(tmp_path / "2")


@pytest.mark.parametrize("name", ["result.json", "values.safetensors", "table.parquet"])
def test_a_flipped_bit_in_any_file_is_refused_by_name(tmp_path, name):
    sweep().save(tmp_path)
    path = tmp_path / name
    whole = path.read_bytes()
    rng = random.Random(name)
    for _ in range(60):
        data = bytearray(whole)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        with pytest.raises(ResultError, match=name):
            Sweep.load(tmp_path)
    path.write_bytes(whole)
    assert_same(Sweep.load(tmp_path), sweep())


@pytest.mark.parametrize("name", ["result.json", "values.safetensors", "table.parquet"])
def test_a_truncated_missing_or_foreign_file_is_refused_by_name(tmp_path, name):
    sweep().save(tmp_path / "sweep")
    Other(effect=torch.ones(2)).save(tmp_path / "other")
    path = tmp_path / "sweep" / name
    whole = path.read_bytes()
    for size in (0, 1, 7, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ResultError, match=name):
            load_result(tmp_path / "sweep")
    path.unlink()
    with pytest.raises(ResultError, match=name):
        load_result(tmp_path / "sweep")
    shutil.copy(tmp_path / "other" / name, path)
    # A foreign manifest is whole; it is the files beside it that are not its own.
    told = "values.safetensors" if name == "result.json" else name
    with pytest.raises(ResultError, match=told):
        load_result(tmp_path / "sweep")


def test_a_result_of_another_class_is_refused_with_both_names(tmp_path):
    Other(effect=torch.ones(2)).save(tmp_path)
    with pytest.raises(ResultError, match=r"holds a .*Other and .*Sweep was asked for"):
        Sweep.load(tmp_path)


def resign(folder: Path, **changes: object) -> None:
    """Change a manifest and give it a digest that fits, as only a program could."""
    from elicit.results import canonical_json, digest_json

    told = json.loads((folder / "result.json").read_bytes())
    del told["digest"]
    told.update(changes)
    told["digest"] = digest_json(told)
    (folder / "result.json").write_bytes(canonical_json(told))


def test_a_class_named_in_a_file_is_never_imported(tmp_path, monkeypatch):
    (tmp_path / "evil_module.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    folder = Other(effect=torch.ones(2)).save(tmp_path / "r")
    resign(folder, **{"class": "evil_module.Payload"})
    with pytest.raises(ResultError, match="Import evil_module first if you trust it"):
        load_result(folder)
    assert "evil_module" not in sys.modules


def test_a_nested_class_that_the_annotations_do_not_name_is_not_built(tmp_path):
    folder = Other(effect=torch.ones(2)).save(tmp_path / "r")
    resign(folder, values={"effect": {"$class": class_name(Gap), "fields": {"value": 1}}})
    with pytest.raises(ResultError, match="annotations do not name"):
        load_result(folder)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"format": 99}, "format 99"),
        ({"values": {}}, r"has the fields \[\]"),
        ({"values": {"effect": 1, "extra": 2}}, "extra"),
        ({"values": {"effect": {"$tensor": "nowhere"}}}, "nowhere is missing"),
        ({"values": {"effect": 3.5}}, "is a float"),
        ({"provenance": {"seed": 1}}, "provenance has the keys"),
    ],
)
def test_a_manifest_of_another_version_is_refused(tmp_path, changes, told):
    folder = Other(effect=torch.ones(2)).save(tmp_path / "r")
    resign(folder, **changes)
    with pytest.raises(ResultError, match=told):
        load_result(folder)


def test_a_field_that_cannot_be_stored_is_named_before_anything_is_written(tmp_path):
    made = dataclasses.replace(sweep(), settings={"hook": [object()]})
    with pytest.raises(ResultError, match=r"settings\.hook\.0 is a object"):
        made.save(tmp_path / "r")
    assert not (tmp_path / "r").exists()
    with pytest.raises(ResultError, match=r"\$class"):
        dataclasses.replace(sweep(), settings={"$class": "x"}).save(tmp_path / "r")


def test_a_save_that_is_interrupted_leaves_no_result_and_the_next_one_heals_it(
    tmp_path, monkeypatch
):
    made = sweep()
    Other(effect=torch.ones(2)).save(tmp_path)
    replace = Path.replace
    moved = []

    def stop(self, target):
        if len(moved) == 1:
            raise KeyboardInterrupt
        moved.append(target)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        made.save(tmp_path)
    monkeypatch.undo()
    with pytest.raises(ResultError, match="save was interrupted"):
        load_result(tmp_path)
    made.save(tmp_path)
    assert_same(Sweep.load(tmp_path), made)
    assert len(list(tmp_path.iterdir())) == 3


def test_saving_the_same_result_again_touches_no_file(tmp_path):
    sweep().save(tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    sweep().save(tmp_path)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_a_full_disk_and_a_file_in_the_way_are_told(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResultError, match="file cannot be written"):
        sweep().save(tmp_path / "file")

    def full(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResultError, match=r"disk is full.*\d+ bytes"):
        sweep().save(tmp_path / "r")
    assert list((tmp_path / "r").iterdir()) == []
