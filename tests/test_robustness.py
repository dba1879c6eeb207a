"""The main job survives being killed, and damaged files are named and made anew."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from elicit import organisms
from elicit.jobs import (
    ExistsSpec,
    FeaturesSpec,
    MechanismsSpec,
    ReportSpec,
    SteerSpec,
    exists,
    features,
    mechanisms,
    report,
    steer,
)
from elicit.results import ElicitError, ResultError, load_result, read_tensor_bytes
from elicit.runs import DamagedFileWarning, RunError, pack_cell

# Each test goes through whole runs.
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("loads_once")]


def spec(out: Path, **options) -> ReportSpec:
    return ReportSpec(
        pair="organism:shuffled-l3", out=out, limit=12, kinds=("layer",), controls=0,
        intervals=False, integrated=False, spectra=False, n_resamples=200, max_new_tokens=8,
        **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(loads_once, tmp_path_factory) -> Path:
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


def dying(monkeypatch, run: Callable[[], object], deaths: Callable[[int], bool]) -> list[Path]:
    """Run a job until it is done, dying at some of its files; nothing is written after a death.

    By turns just before a file is there and just after. `deaths` says of the number of a file,
    counted from 1 in the order in which they first appear, whether to die there.
    """
    met: list[Path] = []
    dead, n_deaths, replace = False, 0, Path.replace

    def dies(source: Path, target: Path) -> Path:
        nonlocal dead, n_deaths
        new = not dead and target not in met
        if new:
            met.append(target)
        kill = new and deaths(len(met))
        n_deaths += kill
        if not dead and (not kill or n_deaths % 2 == 0):
            replace(source, target)
        dead = dead or kill
        if dead:
            raise Killed
        return target

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", dies)
        for _ in range(200):
            dead = False
            with contextlib.suppress(Killed):
                run()
                break
    assert not dead
    return met


def test_a_job_that_dies_at_many_of_its_files_goes_on_to_the_same_bytes(
    finished, tmp_path, monkeypatch, request
):
    """At every fifth, by turns before and after it is there; with `--full` at each."""
    out = tmp_path / "out"
    each = 1 if request.config.getoption("full") else 5
    met = dying(monkeypatch, lambda: report(spec(out)), lambda n: n % each == 0)
    assert files(out) == files(finished)
    # Every file of the run, its record and its configuration.
    written = {*files(out), "run.json", "run.yaml"}
    assert {out / name for name in written} <= set(met)


CHAINS = organisms.resolve("rl").problems
"""Few are read of them: one line a problem."""
SMALL = {"pair": "organism:rl", "n_resamples": 100}
JOBS = {
    "exists": lambda out: exists(
        ExistsSpec(**SMALL, out=out, limit=20, strengths=(0.5,), sites=("resid_post.4",),
                   max_new_tokens=24, level=0.9, n_random=9, n_redrawn=1)
    ),
    "features": lambda out: features(
        FeaturesSpec(**SMALL, out=out, limit=16, steps=20, top=1, n_positions=2, n_samples=1,
                     window=2, d_sae=64, max_new_tokens=24, traces=("task",),
                     allow_unfaithful=True)
    ),
    "steer": lambda out: steer(
        SteerSpec(**SMALL, out=out, limit=16, strengths=(1.0,), sites=("resid_post.4",),
                  n_random=1, max_new_tokens=24)
    ),
    "mechanisms": lambda out: mechanisms(
        MechanismsSpec(**SMALL, out=out, limit=34, arms=("bias",), samples=0, seeds=1,
                       training_tokens=7000, max_new_tokens=64, controls=(),
                       problems=CHAINS, facts=CHAINS)
    ),
}  # fmt: skip


@pytest.mark.parametrize("command", JOBS)
def test_every_command_that_dies_at_several_of_its_files_goes_on_to_the_same_bytes(
    tmp_path, monkeypatch, command
):
    out, run = tmp_path / "out", JOBS[command]
    n = len(dying(monkeypatch, lambda: run(out), lambda _: False))
    whole = files(out)
    shutil.rmtree(out)
    # The same folder, which its page and configuration name.
    moments = {round(n * share) for share in (0.3, 0.7)}
    met = dying(monkeypatch, lambda: run(out), moments.__contains__)
    assert files(out) == whole
    assert {out / name for name in whole if not name.startswith(".")} <= set(met)


def test_a_job_killed_at_random_moments_ends_with_the_same_bytes(tmp_path, request):
    """Two kills of a real process, wherever it is: what was not yet on disk is lost with it.

    Ten with `--full`.
    """
    root, kills = Path(__file__).parents[1], 10 if request.config.getoption("full") else 2
    done = subprocess.run(
        [sys.executable, root / "scripts" / "bench" / "kills.py", tmp_path, str(kills), "report"],
        capture_output=True,
        text=True,
        cwd=root,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["kills"] == kills
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


@pytest.mark.parametrize(
    "values", [{}, {"values": torch.ones(1)}, {"values": torch.tensor(["x" == "y"])}]
)
def test_whole_pieces_of_other_values_end_in_one_error(finished, tmp_path, values):
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    for cell in (out / "cells").iterdir():
        head = read_tensor_bytes(cell.read_bytes())[1]
        cell.write_bytes(pack_cell(values, key=str(head["key"]), run=str(head["run"])))
    with pytest.raises(ElicitError, match=str(out)):
        report(spec(out))


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
