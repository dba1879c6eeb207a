"""Whatever a file holds, reading it gives a value or one error of the house.

A file comes from anyone: half-written, of another tool, or made to do harm. It may give a value or
an `ElicitError`, but no other error, no write outside and no wait for ever.
"""

import contextlib
import copy
import json
import os
import shutil
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import pytest
import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from elicit.features import FeatureError, load_sae
from elicit.jobs import ReportSpec, SpecError
from elicit.jobs._features.files import read_groups, read_texts
from elicit.pair import Loading, PairError
from elicit.pair._settings import Settings
from elicit.pair._sources import locate
from elicit.patching import PatchError, read_lines
from elicit.results import (
    ElicitError,
    Estimate,
    ModelId,
    Provenance,
    Result,
    ResultError,
    canonical_json,
    digest_json,
    load_result,
    parse_json,
)
from elicit.runs import RunDirectory, RunError, record_bytes
from elicit.tasks import TaskError, load_task
from tests import checkpoints
from tests.features import made

pytest.importorskip("hypothesis", reason="install the dev extra: pip install -e '.[dev]'")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

few = settings(suppress_health_check=list(HealthCheck))

TEXT = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["", "..", "../x", "/etc/x", "~", "\x00", "\ud800", "a" * 5000, "__class__"]),
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 1, 2**31, 2**63, 10**400, 1e308, -0.0]),
    st.floats(),
    TEXT,
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=8,
)
RAW = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [b"[" * 10**5, b'{"a":' * 20_000, b"\x80\x04}.", b"NaN", b"\xff\xfe{", b"1" * 9999]
    ),
)


@contextmanager
def only_house_errors(*kinds: type[ElicitError]) -> Iterator[None]:
    """A block that ends, or raises an error of the house with a sentence in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except kinds as error:
            assert len(str(error)) > 20


def changed(draw: st.DrawFn, value: dict) -> bytes:
    """A JSON object with some of its fields gone, new, or of another kind."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        key = draw(st.one_of(st.sampled_from(sorted(value) or ["x"]), TEXT))
        if draw(st.booleans()) and key in value:
            del value[key]
        else:
            value[key] = draw(JSON)
    return json.dumps(value).encode()


# --- run directories


@dataclass(frozen=True, eq=False, kw_only=True)
class Curve(Result):
    """Value of each cell."""

    value: Float[Tensor, " cell"]
    share: Annotated[Estimate, "cell"]
    cell: tuple[str, ...]
    note: str | None
    sizes: dict[str, float]


CURVE = Curve(
    value=torch.arange(2.0),
    share=Estimate(value=torch.zeros(2), low=torch.zeros(2), high=torch.ones(2)),
    cell=("a", "b"),
    note=None,
    sizes={"a": 1.0},
    provenance=Provenance(base=ModelId("b", "0"), seed=0, arguments={"x": [1]}),
)


def work(folder: Path, *, fresh: bool = False) -> None:
    """All that a run does in its folder."""
    with RunDirectory.open(
        folder, kind="toy", arguments={"n": 1}, identity={"base": "aa"}, fresh=fresh
    ) as run:
        run.get_or_compute("cell/0", lambda: {"value": torch.ones(2)})
        run.save_result("curve", CURVE)
        run.write_folder("sae", {"weights": b"w", "cfg.json": b"{}"})
        run.write_text("report.html", "<p>")


@pytest.fixture(autouse=True)
def no_sync(monkeypatch):
    """Files need not survive a power cut here."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A finished run with cells, a result and other files."""
    folder = tmp_path_factory.mktemp("fuzz") / "run"
    work(folder)
    return folder


@pytest.fixture(scope="module")
def outside(tmp_path_factory) -> Path:
    """Files of someone who runs nothing here."""
    folder = tmp_path_factory.mktemp("outside")
    for name in ("run.json", "result.json", "values.safetensors", "weights", "cfg.json", "victim"):
        (folder / name).write_text("theirs")
    return folder


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Kind and bytes of everything below a folder, links not followed."""
    found: dict[str, tuple[int, bytes]] = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        found[str(path.relative_to(folder))] = (
            mode,
            path.read_bytes() if stat.S_ISREG(mode) else b"",
        )
    return found


def signed(file: Path) -> dict:
    """What a file with a digest says, or nothing where it is damaged already."""
    try:
        value = parse_json(file.read_bytes()) if file.is_file() else {}
    except ValueError:
        return {}
    return {k: v for k, v in value.items() if k != "digest"} if isinstance(value, dict) else {}


def damage(draw: st.DrawFn, run: Path, outside: Path) -> None:
    """One thing that someone may have done to a run directory."""
    files = sorted(path for path in run.rglob("*") if path.is_file() and not path.is_symlink())
    how = draw(st.sampled_from(["record", "manifest", "bytes", "cut", "flip", "other", "add"]))
    record, manifest = (signed(run / name) for name in ("run.json", "curve/result.json"))
    if how == "record" and record:
        names = st.one_of(TEXT, st.sampled_from([str(outside / "victim"), "../outside", "mine"]))
        key = draw(st.sampled_from(["outputs", "digests", *sorted(record)]))
        if key == "outputs" and draw(st.booleans()):
            record[key] = ["curve", draw(names)]
        elif key == "digests" and draw(st.booleans()):
            record[key] = {draw(names): draw(TEXT)}
        else:
            record[key] = draw(JSON)
        with contextlib.suppress(ResultError):  # what JSON cannot hold cannot be on disk
            (run / "run.json").write_bytes(record_bytes(record))
    elif how == "manifest" and manifest:
        part = manifest if draw(st.booleans()) else manifest.get("values")
        part = part if isinstance(part, dict) and part else manifest
        tags = st.sampled_from(["$array", "$tensor", "$class", "$float", "$tuple"])
        part[draw(st.sampled_from(sorted(part)))] = draw(
            st.one_of(JSON, st.dictionaries(tags, JSON, max_size=2))
        )
        with contextlib.suppress(ResultError):
            manifest["digest"] = digest_json(manifest)
            (run / "curve" / "result.json").write_bytes(canonical_json(manifest))
    elif how == "add":
        path = run / draw(st.sampled_from(["mine", "cells/mine", "curve/mine", "summary.json"]))
        if path.parent.is_dir() and not path.exists():
            path.write_text("mine")
    else:
        path = draw(st.sampled_from(files + [path.parent for path in files if path.parent != run]))
        if path.is_dir():
            shutil.rmtree(path)
        data = path.read_bytes() if path.exists() else b""
        path.unlink(missing_ok=True)
        if how == "other" or not data:
            target = draw(st.sampled_from([outside, outside / "victim", outside / "no", path]))
            os.mkfifo(path) if draw(st.booleans()) else path.symlink_to(target)
        elif how == "cut":
            path.write_bytes(data[: draw(st.integers(0, len(data)))])
        elif how == "flip":
            place = draw(st.integers(0, len(data) - 1))
            path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        else:
            path.write_bytes(draw(RAW))


@pytest.mark.slow
@few
@given(data=st.data(), fresh=st.booleans())
def test_a_run_directory_of_anyone_reaches_nothing_outside(
    finished, outside, tmp_path_factory, data, fresh
):
    run = tmp_path_factory.getbasetemp() / "fuzzed"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(finished, run)
    for _ in range(data.draw(st.integers(1, 3))):
        data.draw(st.composite(damage)(run, outside))
    theirs = [path for path in run.rglob("*mine*") if path.is_file() and not path.is_symlink()]
    before, held = state(outside), {path: path.read_bytes() for path in theirs}
    with only_house_errors(RunError, ResultError):
        load_result(run / "curve")
    with only_house_errors(RunError, ResultError):
        work(run, fresh=fresh)
    assert state(outside) == before
    assert {path: path.read_bytes() for path in theirs} == held


# --- files of tasks and options


LINE = {
    "id": "1",
    "prompt": "one plus one equals",
    "answer": "two",
    "candidates": ["two", "three"],
    "difficulty": 1,
    "trace": "one and one",
    "text": "a text",
    "problem": "p",
    "corrupted": "two plus one equals",
    "wrong": "three",
}
OPTIONS = {"pair": "organism:tiny-l1", "out": "run", "limit": 2, "kinds": ["layer"], "seed": 0}


@pytest.mark.slow(checked=True)
@few
@given(data=st.data())
def test_a_file_of_problems_is_read_or_refused(tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "fuzzed.jsonl"
    line = st.one_of(RAW, st.composite(changed)(LINE), st.just(json.dumps(LINE).encode()))
    content = b"\n".join(data.draw(st.lists(line, max_size=4)))
    file.write_bytes(content)
    for read in (load_task, read_lines, read_texts, read_groups):
        with only_house_errors(TaskError, PatchError, SpecError):
            read(file)


@pytest.mark.slow(checked=True)
@few
@given(data=st.data())
def test_a_file_of_options_is_read_or_refused(tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    words = st.sampled_from(["&a [*a]", "2020-99-99", "!!python/object:os.system x", "? [x]", "0b"])
    text = st.one_of(words.map(str.encode), RAW)
    file.write_bytes(data.draw(st.one_of(st.composite(changed)(OPTIONS), text)))
    with only_house_errors(SpecError):
        ReportSpec.from_yaml(file)


# --- adapters and SAEs


def forged(draw: st.DrawFn, folder: Path, config: str, weights: str) -> None:
    """A folder with another configuration, or tensors of other names, shapes and values."""
    if draw(st.integers(0, 3)):
        value = json.loads((folder / config).read_bytes())
        (folder / config).write_bytes(draw(st.one_of(st.composite(changed)(value), RAW)))
        return
    tensors = load_file(folder / weights)
    name = draw(st.sampled_from(sorted(tensors)))
    tensor = tensors.pop(name)
    how = draw(st.sampled_from(["gone", "nan", "int", "flat", "renamed", "wider", "raw"]))
    changes = {
        "nan": tensor * float("nan"),
        "int": tensor.long(),
        "flat": tensor.flatten(),
        "wider": torch.cat([tensor, tensor]),
    }
    if how in changes:
        tensors[name] = changes[how].contiguous()
    elif how == "renamed":
        tensors[draw(TEXT).encode("ascii", "ignore").decode() + name[3:]] = tensor
    save_file(tensors, folder / weights)
    if how == "raw":
        (folder / weights).write_bytes(draw(RAW))


@pytest.fixture(scope="module")
def sae(tmp_path_factory) -> Path:
    return made.saved(tmp_path_factory.mktemp("sae") / "sae", "topk")


@few
@given(data=st.data())
def test_an_sae_of_anyone_is_read_or_refused(sae, tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "fuzzed-sae"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(sae, folder)
    data.draw(st.composite(forged)(folder, "cfg.json", "sae_weights.safetensors"))
    with only_house_errors(FeatureError):
        found = load_sae(folder)
        assert found.reconstruct(torch.ones(1, 2, found.d_in)).shape == (1, 2, found.d_in)


@pytest.fixture(scope="module")
def base(written):
    """A base whose weights are read once, and an adapter of it."""
    folder = written("llama", seed=1)
    source = locate(folder, "base", SETTINGS, revision=None)
    model, notes = source.open()
    return replace(source, open=lambda: (copy.deepcopy(model), notes))


@pytest.fixture(scope="module")
def adapter(written, tmp_path_factory) -> Path:
    return checkpoints.write_adapter(tmp_path_factory.mktemp("adapter"), written("llama", seed=1))


SETTINGS = Settings("cpu", torch.float32, Loading())


@pytest.mark.slow
@few
@given(data=st.data())
def test_an_adapter_of_anyone_is_merged_or_refused(base, adapter, tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "fuzzed-adapter"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(adapter, folder)
    data.draw(st.composite(forged)(folder, "adapter_config.json", "adapter_model.safetensors"))
    with only_house_errors(PairError):
        locate(folder, "post", SETTINGS, revision=None, base=base).open()
