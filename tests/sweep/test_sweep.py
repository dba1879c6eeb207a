"""Studies: validated whole before a run, kept when finished, named when failed."""

import json
from pathlib import Path

import pytest

from elicit.jobs import COMMANDS
from elicit.results import load_result
from elicit.sweep import Comparison, SweepError, array_script, read_study, sweep


def _study(folder: Path, text: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(f"out: {folder / 'study'}\n{text}", encoding="utf-8")
    return path


GRID = """
common: {limit: 12, n_resamples: 100, traces: given, alterations: []}
grid:
  command: [trace]
  pair: ["organism:hollow", "organism:identity-not-there"]
"""
TWO = """
common: {limit: 12, n_resamples: 100, alterations: []}
grid:
  command: [trace]
  pair: ["organism:hollow"]
  seed: [0, 1]
"""


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every file of a study but for times and locks."""
    kept = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in ("run.json", ".lock"):
            kept[str(path.relative_to(folder))] = path.read_bytes()
    return kept


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of two runs."""
    folder = tmp_path_factory.mktemp("two")
    found = sweep(read_study(_study(folder, TWO)))
    assert not found.failed
    return found.path


def test_every_combination_of_the_grid_is_a_run_named_by_what_varies(tmp_path: Path):
    text = """
grid: {command: [patch, trace], pair: ["organism:rl", "organism:hollow"], seed: [0, 1]}
runs: [{command: exists, pair: "organism:rl", limit: 40}]
"""
    names = [run.name for run in read_study(_study(tmp_path, text)).runs]
    assert len(set(names)) == 9
    assert names[0] == "patch_rl_seed-0" and names[-1] == "exists_rl_limit-40"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("runs: [{command: guess, pair: 'organism:rl'}]", "'guess', which there is not"),
        ("runs: [{command: trace, pair: 'organism:rl', limit: 0}]", r"Run 1 \(trace\)"),
        ("runs: [{command: trace, pair: 'organism:rl', out: x}]", "run 1 sets out"),
        ("runs: [{command: trace, pair: 'organism:rl'}, {command: trace, pair: 'organism:rl'}]",
         "would share the folder 'trace'"),
        ("grid: {command: trace}", "is 'trace' and no list"),
        ("wishes: []", "key 'wishes'"),
        ("common: {seed: 1}", "describes no run"),
        ("runs: [3]", "run 1 that is no mapping"),
    ],
)  # fmt: skip
def test_studies_that_could_not_be_run_as_written_are_refused(tmp_path: Path, text: str, what: str):
    with pytest.raises(SweepError, match=what):
        read_study(_study(tmp_path, text))
    assert not (tmp_path / "study").exists()


@pytest.mark.slow(checked=True)
def test_a_run_in_a_study_is_the_run_alone(swept: Path, tmp_path: Path):
    spec = COMMANDS["trace"].spec.from_options(
        {
            "pair": "organism:hollow",
            "seed": 1,
            "limit": 12,
            "n_resamples": 100,
            "alterations": (),
            "out": tmp_path / "alone",
        }
    )
    COMMANDS["trace"].run(spec)
    alone = json.loads((tmp_path / "alone" / "summary.json").read_text())
    assert alone == json.loads((swept / "trace_seed-1" / "summary.json").read_text())


@pytest.mark.slow(checked=True)
def test_finished_runs_are_kept_and_the_comparison_has_their_numbers(
    swept: Path, monkeypatch: pytest.MonkeyPatch
):
    before = bytes_of(swept)
    ran = []
    monkeypatch.setattr("elicit.sweep.run.execute_one", lambda *a, **k: ran.append(a))
    again = sweep(read_study(_study(swept.parent, TWO)))
    assert not ran and bytes_of(swept) == before
    found = load_result(swept / "study" / "comparison")
    assert isinstance(found, Comparison) and found.run == again.comparison.run  # pyright: ignore
    first = json.loads((swept / found.run[0] / "summary.json").read_text())
    place = found.number.index("primaries.follows.diff")
    told = first["primaries"]["follows"]["diff"]
    got = list(found.estimate[0, place].ends)
    assert got == [told["value"], told["low"], told["high"]]
    wanted = (~found.estimate.low.isnan()).sum() * 0.05
    assert found.n_missed == pytest.approx(float(wanted))


def test_a_study_that_was_moved_has_the_same_runs(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    here, there = (read_study(_study(tmp_path / name, TWO)) for name in ("a", "b"))
    assert here.out != there.out
    assert [run.digest for run in here.runs] == [run.digest for run in there.runs]


@pytest.mark.slow(checked=True)
def test_other_options_are_another_run(swept: Path):
    from elicit.sweep._one import finished

    runs = read_study(_study(swept.parent, TWO)).runs
    assert all(finished(run) is not None for run in runs)
    changed = read_study(_study(swept.parent, TWO.replace("100", "101"))).runs
    assert [run.name for run in changed] == [run.name for run in runs]
    assert not any(finished(run) for run in changed)


@pytest.mark.slow(checked=True)
def test_a_failed_run_is_named_and_the_others_go_on(tmp_path: Path):
    found = sweep(read_study(_study(tmp_path, GRID)))
    assert [one.status for one in found.done] == ["finished", "failed"]
    assert "identity-not-there" in found.failed[0].why
    assert (tmp_path / "study" / "study" / f"{found.failed[0].name}.log").is_file()
    assert found.comparison is not None and found.comparison.n_failed == 1
    page = (tmp_path / "study" / "comparison.html").read_text(encoding="utf-8")
    assert "1 failed" in page


@pytest.mark.slow(checked=True)
def test_only_some_runs(swept: Path):
    with pytest.raises(SweepError, match="runs 1 to 2"):
        sweep(read_study(_study(swept.parent, TWO)), only=[3])


def test_the_script_of_a_batch_system_runs_each_run_and_requeues(tmp_path: Path):
    path = _study(tmp_path, TWO)
    script = array_script(read_study(path), path, hours=1.5)
    assert "#SBATCH --array=1-2\n" in script and "--time=01:30:00" in script
    assert "--signal=B:TERM" in script and "scontrol requeue" in script
    assert f"sweep {path}" in script and '--only "$SLURM_ARRAY_TASK_ID"' in script


def test_without_ray_it_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(SweepError, match=r"elicit-interp\[ray\]"):
        sweep(read_study(_study(tmp_path, TWO)), ray="local")
