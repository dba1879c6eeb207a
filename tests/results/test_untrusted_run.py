"""A run directory from someone else: nothing outside it is touched, nor what no run wrote."""

import json
import os
import pickle
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from elicit.results import ElicitError, Result, ResultError, load_result
from elicit.runs import DamagedFileWarning, RunDirectory, RunError, pack_cell, record_bytes

pytestmark = pytest.mark.filterwarnings("ignore::elicit.runs.DamagedFileWarning")


@dataclass(frozen=True, eq=False, kw_only=True)
class Line(Result):
    """Value of each cell."""

    value: Float[Tensor, " cell"]


def begin(path: Path, *, fresh: bool = False) -> RunDirectory:
    return RunDirectory.open(
        path, kind="toy", arguments={"n": 2}, identity={"base": "aa"}, fresh=fresh
    )


def work(path: Path, *, fresh: bool = False) -> None:
    """All that a run does in its folder."""
    with begin(path, fresh=fresh) as run:
        for index in range(2):
            run.get_or_compute(f"cell/{index}", lambda: {"value": torch.ones(2)})
        run.save_result("line", Line(value=torch.arange(3.0)))
        run.write_folder("sae", {"weights": b"w", "cfg.json": b"{}"})
        run.write_text("report.html", "<p>")


@pytest.fixture
def run(tmp_path) -> Path:
    work(tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def outside(tmp_path) -> Path:
    """A folder of someone who runs nothing here."""
    folder = tmp_path / "outside"
    (folder / "line").mkdir(parents=True)
    for name in ("victim", "run.json", "result.json", "values.safetensors", "cfg.json"):
        (folder / name).write_text(f"theirs: {name}")
        (folder / "line" / name).write_text(f"theirs: {name}")
    (folder / "x-0123456789abcdef.safetensors").write_text("theirs")
    (folder / ".x.elicit-tmp").write_text("theirs")
    return folder


def content(folder: Path) -> dict[str, tuple[int, bytes | str]]:
    """Kind and bytes of everything below a folder, links not followed."""
    found: dict[str, tuple[int, bytes | str]] = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        held: bytes | str = b""
        if stat.S_ISLNK(mode):
            held = str(path.readlink())
        elif stat.S_ISREG(mode):
            held = path.read_bytes()
        found[str(path.relative_to(folder))] = (stat.S_IFMT(mode), held)
    return found


def forge(run: Path, **changes: object) -> None:
    """A run.json with other fields and the right digest, as anyone can write it."""
    record = json.loads((run / "run.json").read_bytes())
    del record["digest"]
    (run / "run.json").write_bytes(record_bytes(record | changes))


def refused_or_done(path: Path, *, fresh: bool) -> bool:
    """Whether a run went through; what stops it is an error of the house."""
    try:
        work(path, fresh=fresh)
    except ElicitError as error:
        assert str(path) in str(error)
        return False
    return True


NAMES = [
    "../outside/victim",
    "../outside",
    "../outside/line",
    "{outside}/victim",
    "{outside}",
    "./../outside",
    "line/../../outside",
    "..",
    ".",
    "",
    "~",
    "\x00",
    "a\nb",
    "\ud800",
    ".lock",
    "x" * 5000,
]


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_name_in_a_prepared_record_reaches_nothing_outside(run, outside, name, fresh):
    name = name.format(outside=outside)
    before = content(outside)
    for changes in (
        {"outputs": [name]},
        {"outputs": ["line", name], "digests": {name: "0" * 64}},
        {"digests": {f"{name}/victim": "0" * 64, f"line/{name}": "0" * 64}},
    ):
        forge(run, **changes)
        refused_or_done(run, fresh=fresh)
        assert content(outside) == before


@pytest.mark.parametrize("named", [["notes.txt"], ["notes.txt", "mine"], ["mine"]])
def test_fresh_removes_nothing_that_a_record_only_claims_was_written(run, named):
    (run / "notes.txt").write_text("mine")
    (run / "mine").mkdir()
    for name in ("result.json", "values.safetensors", "table.parquet"):
        (run / "mine" / name).write_text("mine")
    forge(run, outputs=named, digests={"notes.txt": "0" * 64, "mine/result.json": "0" * 64})
    work(run, fresh=True)
    assert (run / "notes.txt").read_text() == "mine"
    assert {path.read_text() for path in (run / "mine").iterdir()} == {"mine"}


def test_fresh_removes_all_that_the_run_wrote(run):
    (run / "line" / "notes.txt").write_text("mine")
    (run / "cells" / "notes.txt").write_text("mine")
    with begin(run, fresh=True):
        left = set(content(run))
    assert left == {
        *("run.json", ".lock", "cells", "cells/notes.txt", "line", "line/notes.txt"),
    }


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("where", ["report.html", "line/result.json", "sae/cfg.json"])
def test_a_file_that_no_run_recorded_writing_is_never_replaced(tmp_path, where, fresh):
    with begin(tmp_path / "run"):
        pass
    file = tmp_path / "run" / where
    file.parent.mkdir(exist_ok=True)
    file.write_text("mine")
    with pytest.raises(RunError, match="no run recorded"):
        work(tmp_path / "run", fresh=fresh)
    assert file.read_text() == "mine"
    file.unlink()
    work(tmp_path / "run")


PLACES = [
    ".lock",
    "run.json",
    "cells",
    "cells/{cell}",
    "cells/other",
    "line",
    "line/result.json",
    "line/values.safetensors",
    "line/table.parquet",
    "sae",
    "sae/cfg.json",
    "report.html",
]


def put(path: Path, kind: str, outside: Path, *, folder: bool) -> None:
    """Something other than a file of the run, in its place."""
    if path.is_dir():
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    path.unlink(missing_ok=True)
    if kind == "link":
        path.symlink_to(outside if folder else outside / "victim")
    elif kind == "broken link":
        path.symlink_to(outside / "nothing")
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        here = Path.cwd()
        os.chdir(path.parent)  # the names of sockets are short
        try:
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(path.name)
        finally:
            os.chdir(here)
    elif folder:
        path.write_text("a file in place of a folder")
    else:
        path.mkdir()


@pytest.mark.parametrize(
    "kind", ["link", "broken link", "loop", "endless", "pipe", "socket", "other"]
)
@pytest.mark.parametrize("place", PLACES)
def test_links_pipes_and_sockets_are_refused_and_reach_nothing(run, outside, place, kind):
    cell = next((run / "cells").iterdir()).name
    path = run / place.format(cell=cell)
    put(path, kind, outside, folder=place in ("cells", "line", "sae"))
    before, theirs = content(run), content(outside)
    for fresh in (False, True):
        with pytest.raises(RunError, match=path.name):
            work(run, fresh=fresh)
        assert content(outside) == theirs
        assert {name: held for name, held in content(run).items() if name != "run.json"} == {
            name: held for name, held in before.items() if name != "run.json"
        }


def test_a_link_is_refused_before_anything_is_computed(run, outside):
    (run / "sae" / "cfg.json").unlink()
    (run / "sae" / "cfg.json").symlink_to(outside / "cfg.json")
    with pytest.raises(RunError, match=r"cfg\.json"):
        begin(run)


def test_a_lock_that_is_another_name_of_a_file_is_not_emptied(run, outside):
    (run / ".lock").unlink()
    (run / ".lock").hardlink_to(outside / "victim")
    with pytest.raises(RunError, match=r"\.lock.*2 names"):
        work(run)
    assert (outside / "victim").read_text() == "theirs: victim"


def test_a_lock_with_other_content_is_not_emptied(run):
    (run / ".lock").write_text("dear diary")
    with pytest.raises(RunError, match=r"\.lock"):
        work(run)
    assert (run / ".lock").read_text() == "dear diary"
    (run / ".lock").write_text("12345\n")
    work(run)


@pytest.mark.parametrize("fresh", [False, True])
def test_files_that_have_another_name_outside_keep_their_bytes_there(run, tmp_path, fresh):
    kept = tmp_path / "kept"
    kept.mkdir()
    files = [path for path in run.rglob("*") if path.is_file() and path.name != ".lock"]
    for number, path in enumerate(files):
        (kept / str(number)).hardlink_to(path)
    before = content(kept)
    work(run, fresh=fresh)
    assert content(kept) == before


def test_half_written_files_are_removed_only_where_a_run_writes(run, outside):
    (run / "mine").mkdir()
    for folder in (run, run / "cells", run / "line", run / "mine"):
        (folder / ".x.0123456789ab.elicit-tmp").write_text("half")
    (run / ".aaaaaaaa.elicit-tmp").mkdir()
    (run / ".aaaaaaaa.elicit-tmp" / "link").symlink_to(outside)
    theirs = content(outside)
    work(run)
    left = [str(path.relative_to(run)) for path in run.rglob("*.elicit-tmp")]
    assert left == ["mine/.x.0123456789ab.elicit-tmp"]
    assert content(outside) == theirs


def test_the_run_directory_itself_may_be_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    work(tmp_path / "run")
    work(tmp_path / "run", fresh=True)
    assert (tmp_path / "disk" / "report.html").read_text() == "<p>"
    assert load_result(tmp_path / "run" / "line").axes() == {"value": ("cell",)}


FOREIGN = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"3",
    b'"x"',
    b"\xff\xfe",
    b"[" * 200_000,
    b'{"a":' * 50_000,
    b'{"digest": NaN}',
    b"1" * 10_000,
    b'{"format": 1, "digest": []}',
    pickle.dumps({"x": Path("x")}),
]


@pytest.mark.parametrize("data", FOREIGN, ids=range(len(FOREIGN)))
@pytest.mark.parametrize("fresh", [False, True])
def test_a_foreign_record_is_named_or_refused(run, data, fresh):
    (run / "run.json").write_bytes(data)
    with pytest.warns(DamagedFileWarning, match=r"run\.json"):
        work(run, fresh=fresh)


WRONG = [None, 3, -1.5, "x", [], {}, [3], ["x", 3], {"x": [{}]}, True, "\ud800", [["x"]]]


@pytest.mark.parametrize("value", WRONG, ids=repr)
@pytest.mark.parametrize(
    "field",
    [
        "format",
        "kind",
        "arguments",
        "identity",
        "elicit",
        "started",
        "outputs",
        "digests",
    ],
)
def test_a_record_with_a_field_of_another_type_is_one_error(run, field, value):
    forge(run, **{field: value})
    refused_or_done(run, fresh=False)
    forge(run, **{field: value})
    refused_or_done(run, fresh=True)


def test_a_record_too_large_for_one_is_not_read(run):
    os.truncate(run / "run.json", 2**40)  # a hole: it takes no space
    with pytest.raises(RunError, match=str(2**40)):
        work(run)


def test_a_cell_that_is_no_cell_is_named_and_computed_again(run):
    cells = sorted((run / "cells").iterdir())
    whole = [cell.read_bytes() for cell in cells]
    header = (2**62).to_bytes(8, "little")
    wrong = {"key": "cell/0", "run": "x", "digest": 3}
    for data in (*FOREIGN, header, b"\0" * 4096, pack_cell({}, key="cell/0", run="x")):
        for cell in cells:
            cell.write_bytes(data)
        with pytest.warns(DamagedFileWarning, match=cells[0].name):
            work(run)
        assert [cell.read_bytes() for cell in cells] == whole
    from elicit.results import tensor_bytes

    cells[0].write_bytes(tensor_bytes({"value": torch.ones(2)}, wrong))
    with pytest.warns(DamagedFileWarning, match=cells[0].name):
        work(run)


@pytest.mark.parametrize("name", ["result.json", "values.safetensors", "table.parquet"])
@pytest.mark.parametrize("kind", ["pipe", "socket", "endless", "other", "broken link"])
def test_a_result_whose_file_is_none_is_refused_at_once(run, outside, name, kind):
    put(run / "line" / name, kind, outside, folder=False)
    with pytest.raises(ResultError, match=name.replace(".", r"\.")):
        load_result(run / "line")


def test_a_result_may_be_read_through_links_as_a_hub_cache_stores_it(run, tmp_path):
    (tmp_path / "cache").mkdir()
    for path in (run / "line").iterdir():
        (tmp_path / "cache" / path.name).symlink_to(path)
    assert isinstance(load_result(tmp_path / "cache"), Line)


def resign(folder: Path, change: Callable[[dict], object]) -> None:
    """Change a manifest and give it the digest that it then needs."""
    from elicit.results import canonical_json, digest_json

    manifest = json.loads((folder / "result.json").read_bytes())
    del manifest["digest"]
    change(manifest)
    manifest["digest"] = digest_json(manifest)
    (folder / "result.json").write_bytes(canonical_json(manifest))


@pytest.mark.parametrize("value", WRONG, ids=repr)
@pytest.mark.parametrize("field", ["format", "class", "values", "files", "provenance", "schema"])
def test_a_signed_manifest_with_a_field_of_another_type_is_one_error(run, field, value):
    resign(run / "line", lambda manifest: manifest.update({field: value}))
    try:
        load_result(run / "line")
    except ResultError as error:
        assert str(run / "line") in str(error)
    else:
        assert field == "schema" or (field == "provenance" and value is None)


@pytest.mark.parametrize(
    "value",
    [
        *WRONG,
        {"$tensor": "../outside"},
        {"$tensor": ["x"]},
        {"$array": "value"},
        {"$float": "x"},
        {"$float": None},
        {"$tuple": 3},
        {"$class": "os.system", "fields": {}},
        {"$class": "elicit.results.provenance.ModelId"},
        {"$class": [], "fields": []},
    ],
    ids=repr,
)
def test_a_signed_field_of_another_kind_is_one_error(run, value):
    resign(run / "line", lambda manifest: manifest["values"].update(value=value))
    with pytest.raises(ResultError, match="line"):
        load_result(run / "line")


@pytest.mark.parametrize(
    "value", [torch.ones(2, 2), torch.ones(3, dtype=torch.int64), torch.ones(()), torch.ones(3) > 0]
)
def test_a_signed_array_of_another_shape_or_dtype_is_one_error(run, value):
    import hashlib

    from elicit.results import tensor_bytes

    data = tensor_bytes({"value": value}, {"class": "x"})
    (run / "line" / "values.safetensors").write_bytes(data)
    files = {"values.safetensors": hashlib.sha256(data).hexdigest()}
    resign(run / "line", lambda manifest: manifest["files"].update(files))
    with pytest.raises(ResultError, match="line"):
        load_result(run / "line")
