"""Studies: validated whole before a run, kept when finished, named when failed."""

import json
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFile

from elicit.jobs import COMMANDS
from elicit.results import load_result
from elicit.runs import RemoteFolder, RunError
from elicit.sweep import Comparison, Planned, Study, SweepError, array_script, read_study, sweep
from elicit.sweep.at_url import finished_at, scratch, scratch_of


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
    monkeypatch.setattr("elicit.sweep.run.execute", lambda *a, **k: ran.append(a))
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


URL = "memory://studies/study"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """An empty store, and a folder of its own to work in."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()


def _put(files, folder: Path, *names: str) -> None:
    """Copy files and folders of a study to the store."""
    for name in names:
        files.put(str(folder / name), f"/studies/study/{name}", recursive=True)


@pytest.mark.slow(checked=True)
def test_a_study_at_a_url_is_the_study_in_a_folder(
    swept: Path, store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    store.pipe_file("/studies/study.yaml", f"out: {URL}\n{TWO}".encode())
    # One run was finished elsewhere, and has its lock with it.
    _put(store, swept, "trace_seed-1", "study/trace_seed-1.json")
    found = sweep(read_study("memory://studies/study.yaml"))
    assert not found.failed and len(found.done) == 2
    assert (found.path, found.page) == (URL, f"{URL}/comparison.html")
    there = {
        key.removeprefix("/studies/study/"): store.cat_file(key)
        for key in store.find("/studies/study")
        if not key.endswith((".lock", "run.json"))
    }
    here = bytes_of(swept)
    # Its configuration names where it was worked on.
    assert there.pop("trace_seed-0/run.yaml") != here.pop("trace_seed-0/run.yaml")
    assert there == here
    assert not any((tmp_path / "scratch").iterdir())
    ran = []
    monkeypatch.setattr("elicit.sweep.run.execute", lambda *a: ran.append(a))
    again = sweep(read_study("memory://studies/study.yaml"))
    assert not ran and again.comparison is not None
    assert again.comparison.run == found.comparison.run  # pyright: ignore


@pytest.mark.slow(checked=True)
def test_a_run_at_a_url_counts_once_all_of_it_is_one_attempt(swept: Path, store, tmp_path: Path):
    name = "trace_seed-1"
    (run,) = (one for one in read_study(_study(tmp_path, TWO)).runs if one.name == name)
    remote = RemoteFolder(URL)
    assert finished_at(remote, run) is None
    _put(store, swept, f"{name}/summary.json", f"{name}/run.json", f"study/{name}.json")
    kept = finished_at(remote, run)
    assert kept is not None and kept.status == "finished"
    changed = store.cat_file(f"/studies/study/{name}/summary.json") + b" "
    store.pipe_file(f"/studies/study/{name}/summary.json", changed)
    assert finished_at(remote, run) is None
    _put(store, swept, f"{name}/summary.json")
    store.rm_file(f"/studies/study/{name}/run.json")
    assert finished_at(remote, run) is None


def test_a_run_that_fails_at_a_url_is_named_and_told_there(store, tmp_path: Path):
    text = "common: {pair: 'organism:nothing'}\nruns: [{command: trace}]"
    path = _study(tmp_path, text)
    found = sweep(read_study(path, out=URL))
    assert [one.name for one in found.failed] == ["trace"] and "nothing" in found.failed[0].why
    assert "nothing" in store.cat_file("/studies/study/study/trace.log").decode()
    told = json.loads(store.cat_file("/studies/study/study/runs.json"))
    assert told[0]["status"] == "failed" and not (tmp_path / "study").exists()


def test_a_store_that_leads_out_of_its_folder_fails_the_run_alone(store, tmp_path: Path):
    store.store["/studies/study/trace/../../x"] = MemoryFile(store, "x", b"x")
    text = "common: {pair: 'organism:nothing'}\nruns: [{command: trace}, {command: patch}]"
    found = sweep(read_study(_study(tmp_path, text), out=URL))
    assert "no run writes a file of that name" in found.failed[0].why
    assert "is kept" not in found.failed[0].why
    assert "organism:nothing" in found.failed[1].why or "nothing" in found.failed[1].why
    assert not [path for path in tmp_path.rglob("x") if path.name == "x"]


def test_a_scratch_folder_of_somebody_else_is_refused(store, tmp_path: Path):
    folder = scratch_of(URL, "trace")
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(RunError, match="not a folder of this user alone"), scratch(URL, "trace"):
        pass
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(RunError, match="not a folder of this user alone"), scratch(URL, "trace"):
        pass


@pytest.mark.parametrize("scheme", ["file://", "local://"])
def test_a_url_of_this_machine_is_a_folder(scheme: str, tmp_path: Path):
    path = _study(tmp_path, TWO)
    study = read_study(f"file://{path}", out=f"{scheme}{tmp_path}/there")
    assert (study.out, study.url) == (tmp_path / "there", None)
    assert study.runs[0].spec.out == tmp_path / "there" / "trace_seed-0"


def test_the_script_of_a_batch_system_runs_each_run_and_requeues(tmp_path: Path):
    path = _study(tmp_path, TWO)
    script = array_script(read_study(path), path, hours=1.5)
    assert "#SBATCH --array=1-2\n" in script and "--time=01:30:00" in script
    assert "--signal=B:TERM" in script and "scontrol requeue" in script
    assert f"sweep {path}" in script and '--only "$SLURM_ARRAY_TASK_ID"' in script
    there = array_script(read_study(path, out="s3://b/two"), "s3://b/two.yaml")
    assert "sweep s3://b/two.yaml --out s3://b/two --only" in there
    assert "--job-name=two\n" in there


@pytest.mark.parametrize(
    ("devices", "n"),
    [
        ({"device": "cuda"}, 1),
        ({"device": "cuda", "post_device": "cuda:0"}, 1),
        ({"device": "cuda:0", "post_device": "cuda:1"}, 2),
        ({"device": "cpu"}, 0),
    ],
)
def test_a_job_array_asks_for_the_gpus_that_its_runs_name(devices, n, tmp_path: Path):
    named = {"pair": "organism:hollow", "out": tmp_path / "one"}
    spec = COMMANDS["trace"].spec.from_options(named, devices)
    study = Study(out=tmp_path, runs=(Planned(name="one", spec=spec),))
    script = array_script(study, tmp_path / "study.yaml")
    assert (f"#SBATCH --gpus-per-task={n}\n" in script) == (n > 0)
    assert ("gpus-per-task" in script) == (n > 0)


def test_without_ray_it_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(SweepError, match=r"elicit-interp\[ray\]"):
        sweep(read_study(_study(tmp_path, TWO)), ray="local")
