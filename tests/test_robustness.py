"""The main job survives being killed, and damaged files are named and made anew."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from elicit.jobs import ReportSpec, report
from elicit.pair import load_pair
from elicit.results import ResultError, load_result
from elicit.runs import DamagedFileWarning, RunError

pytestmark = pytest.mark.slow  # each test goes through whole runs


def spec(out: Path, **options) -> ReportSpec:
    return ReportSpec(
        pair="organism:shuffled-l3", out=out, limit=12, kinds=("layer",), controls=0,
        intervals=False, integrated=False, n_resamples=200, max_new_tokens=8, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    return report(spec(tmp_path_factory.mktemp("run") / "out")).path


def files(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in ("run.json", "run.yaml", ".lock")
    }


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


DAMAGE = {
    "truncated": lambda data: data[: len(data) // 3],
    "flipped": flip,
    "foreign": lambda _: b"{}",
}


class Killed(BaseException):
    """Stands in for SIGKILL: nothing catches it, and nothing is written after it."""


def test_a_job_that_dies_at_each_of_its_files_goes_on_to_the_same_bytes(
    finished, tmp_path, monkeypatch
):
    """By turns just before a file is there and just after; nothing more is written from then on."""
    pair, out = load_pair("organism:shuffled-l3"), tmp_path / "out"
    monkeypatch.setattr("elicit.jobs._frame.load_pair", lambda *_, **__: pair)
    met: list[str] = []
    dead, replace = False, Path.replace

    def dies(source: Path, target: Path) -> Path:
        nonlocal dead
        new = not dead and str(target) not in met
        if new:
            met.append(str(target))
        if not dead and (not new or len(met) % 2 == 0):
            replace(source, target)
        dead = dead or new
        if dead:
            raise Killed
        return target

    monkeypatch.setattr(Path, "replace", dies)
    for _ in range(200):
        dead = False
        try:
            report(spec(out))
            break
        except Killed:
            pass
    assert not dead
    assert files(out) == files(finished)
    # Every file of the run, its record and its configuration.
    written = {*files(out), "run.json", "run.yaml"}
    assert {str(out / name) for name in written} <= set(met)


def test_a_job_killed_at_random_moments_ends_with_the_same_bytes(tmp_path):
    """Four kills of a real process, wherever it is: what was not yet on disk is lost with it."""
    script = Path(__file__).parent / "killed_report.py"
    done = subprocess.run(
        [sys.executable, script, tmp_path, "4"],
        capture_output=True,
        text=True,
        cwd=script.parents[1],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["kills"] == 4
    assert found["equal"] == found["runs"]
    assert found["files"] > 20


def test_damaged_cells_are_named_and_computed_again(finished):
    before = files(finished)
    cells = sorted((finished / "cells").glob("*.safetensors"))[: len(DAMAGE)]
    for cell, damage in zip(cells, DAMAGE.values(), strict=True):
        cell.write_bytes(damage(cell.read_bytes()))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DamagedFileWarning)
        report(spec(finished))
    told = " ".join(str(w.message) for w in caught if w.category is DamagedFileWarning)
    assert all(cell.name in told for cell in cells)
    assert files(finished) == before


@pytest.mark.parametrize("how", ["truncated", "flipped"])
@pytest.mark.parametrize("file", ["values.safetensors", "table.parquet", "result.json"])
def test_a_damaged_result_is_never_read_as_data(finished, how, file):
    path = finished / "roles" / file
    whole = path.read_bytes()
    path.write_bytes(DAMAGE[how](whole))
    try:
        with pytest.raises(ResultError, match=file.replace(".", r"\.")):
            load_result(finished / "roles")
    finally:
        path.write_bytes(whole)


def test_a_finished_run_is_not_computed_again(finished, monkeypatch):
    from elicit.grafting import PartSweep

    def never(*_: object) -> None:
        raise AssertionError("a model was scored again")

    monkeypatch.setattr(PartSweep, "evaluate", never)
    monkeypatch.setattr(PartSweep, "sweep", never)
    before = files(finished)
    again = report(spec(finished))
    assert files(finished) == before
    assert again.summary["corrupted_layers"] == [3]


def test_another_run_does_not_mix_with_the_one_that_is_there(finished):
    with pytest.raises(RunError, match=r"seed = 0.*seed = 1.*fresh=True"):
        report(spec(finished, seed=1))


def test_a_run_repeats_from_its_own_configuration(finished, tmp_path):
    own = ReportSpec.from_yaml(finished / "run.yaml")
    report(own.model_copy(update={"out": tmp_path / "again"}))
    # Cells carry the digest of the whole run, so equal ones prove equal arguments too.
    assert files(tmp_path / "again") == files(finished)
