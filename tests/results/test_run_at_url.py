"""Runs at a URL: whole in every state, gone on with elsewhere, and never out of their folder."""

import threading
from pathlib import Path

import fsspec
import numpy as np
import pytest

from elicit.runs import (
    Lease,
    RemoteFolder,
    RunDirectory,
    RunError,
    leased,
    mirrored,
    read_record,
)

STORE = "memory://elicit-runs"


@pytest.fixture
def store():
    """An empty store."""
    files = fsspec.filesystem("memory")
    yield files
    if files.exists("/elicit-runs"):
        files.rm("/elicit-runs", recursive=True)
    files.store.clear()


def opened(path: Path, *, seed: int = 0, fresh: bool = False) -> RunDirectory:
    return RunDirectory.open(
        path, kind="report", arguments={"seed": seed}, identity={}, fresh=fresh
    )


def computed(run: RunDirectory, *names: str) -> None:
    for name in names:
        run.get_or_compute(name, lambda: {"x": np.arange(3)})


def there(files) -> dict[str, bytes]:
    return {key.removeprefix("/elicit-runs/"): files.cat_file(key)
            for key in files.find("/elicit-runs")}  # fmt: skip


def status(files, folder: Path) -> object:
    path = folder / "copied.json"
    path.write_bytes(files.cat_file("/elicit-runs/a/run.json"))
    record = read_record(path)
    return record and record["status"]


def test_a_run_that_was_lost_goes_on_on_another_machine(store, tmp_path):
    remote = RemoteFolder(STORE)
    path = tmp_path / "one" / "a"
    with pytest.raises(KeyboardInterrupt), mirrored(remote, "a", path), opened(path) as run:
        computed(run, "first", "second")
        run.write_text("run.yaml", "seed: 0")
        raise KeyboardInterrupt
    assert status(store, tmp_path) == "running"
    with mirrored(remote, "a", tmp_path / "two" / "a"), opened(tmp_path / "two" / "a") as run:
        computed(run, "first", "second", "third")
        run.write_text("run.yaml", "seed: 0")
        run.write_text("summary.json", "{}")
    assert run.resumed and (run.n_read, run.n_computed) == (2, 1) and not run.damaged
    assert status(store, tmp_path) == "finished"
    copied = {name.removeprefix("a/") for name in there(store)}
    ours = {str(p.relative_to(run.path)) for p in run.path.rglob("*") if p.is_file()}
    assert copied == ours - {".lock"}


class Dying:
    """A store that takes a number of files and then none."""

    def __init__(self, files, n: int) -> None:
        self._files, self._left = files, n

    def __getattr__(self, name):
        return getattr(self._files, name)

    def put_file(self, *args) -> None:
        if not self._left:
            raise OSError("the network is gone")
        self._left -= 1
        self._files.put_file(*args)


def test_a_copy_that_stops_anywhere_is_one_to_go_on_from(store, tmp_path):
    def attempt(path: Path, n: int) -> None:
        remote = RemoteFolder(STORE)
        remote._files = Dying(store, n)
        with mirrored(remote, "a", path), opened(path) as run:
            computed(run, "first")
            run.write_text("run.yaml", "seed: 0")
            run.write_text("summary.json", "{}")

    for n in range(5):
        store.store.clear()
        with pytest.raises(RunError, match="the network is gone"):
            attempt(tmp_path / f"dies {n}" / "a", n)
        # Outputs are never there without a record that names them, nor one that says too much.
        assert len(there(store)) == min(n, 4)
        assert not n or status(store, tmp_path) == "running"
        attempt(tmp_path / f"goes on {n}" / "a", 9)
        assert status(store, tmp_path) == "finished" and len(there(store)) == 4


def test_finished_pieces_are_copied_while_a_run_goes_on(store, tmp_path):
    path, pushed = tmp_path / "a", threading.Event()
    remote = RemoteFolder(STORE)
    with mirrored(remote, "a", path, every=0.01) as mirror:
        push = mirror.try_push
        mirror.try_push = lambda: (push(), pushed.set())
        with opened(path) as run:
            computed(run, "first")
            pushed.clear()
            assert pushed.wait(10) and (pushed.clear(), pushed.wait(10))
            assert status(store, tmp_path) == "running"
            assert sum(name.startswith("a/cells/") for name in there(store)) == 1


def test_a_fresh_run_leaves_nothing_of_the_earlier_one(store, tmp_path):
    remote = RemoteFolder(STORE)
    for seed in (0, 1):
        path = tmp_path / str(seed) / "a"
        with mirrored(remote, "a", path), opened(path, seed=seed, fresh=seed == 1) as run:
            computed(run, f"cell {seed}")
            run.write_text(f"page {seed}.html", "x")
    names = sorted(name for name in there(store) if "cell" not in name)
    assert names == ["a/page 1.html", "a/run.json"]
    assert [name for name in there(store) if "/cells/" in name][0].startswith("a/cells/cell_1")
    # Another run without `fresh` is refused as it is in a folder.
    path = tmp_path / "2" / "a"
    said = pytest.raises(RunError, match="seed = 1, and this run has")
    with said, mirrored(remote, "a", path):
        opened(path, seed=2)


def test_what_an_earlier_attempt_left_here_stays_if_it_is_the_same_run(store, tmp_path):
    remote, path = RemoteFolder(STORE), tmp_path / "a"
    with mirrored(remote, "a", path), opened(path) as run:
        computed(run, "first")
    with opened(path) as run:
        computed(run, "second")  # and was killed before it was copied
    with mirrored(remote, "a", path), opened(path) as run:
        computed(run, "first", "second")
    assert (run.n_read, run.n_computed) == (2, 0)
    # Somebody began anew elsewhere: what is there counts.
    store.pipe_file("/elicit-runs/a/run.json", b"{}")
    warned = pytest.warns(match="not a whole run.json")
    with mirrored(remote, "a", path), warned, opened(path) as run:
        pass
    assert not (path / "cells").exists() or not run.n_read


@pytest.mark.parametrize(
    "key",
    ["../x", "cells/../../x", ".hidden", "cells/.ssh/x", "cells\\x", "a/b/c/d/e/f", "ce\nlls"],
)
def test_a_name_that_leads_elsewhere_is_refused_before_a_file_is_copied(store, tmp_path, key):
    store.pipe_file("/elicit-runs/a/run.json", b"{}")
    # As a store of objects has it, where `..` is a name like any other.
    store.store[f"/elicit-runs/a/{key}"] = store.store["/elicit-runs/a/run.json"]
    path = tmp_path / "deep" / "a"
    refused = pytest.raises(RunError, match="no run writes a file of that name")
    with refused, mirrored(RemoteFolder(STORE), "a", path):
        raise AssertionError("a run began")
    assert not any(tmp_path.rglob("*"))


def test_a_url_that_leads_nowhere_is_named_without_its_password():
    with pytest.raises(RunError, match="cannot be opened") as refused:
        RemoteFolder("nosuch://user:secret@host/study")
    assert "nosuch://host/study" in str(refused.value)
    with pytest.raises(RunError, match="cannot be read"):
        RemoteFolder("memory://nothing/study.yaml").text()


def lease_of(folder: Path, monkeypatch: pytest.MonkeyPatch, host: str) -> Lease:
    """A lease that a process of some machine asks for."""
    monkeypatch.setattr("socket.gethostname", lambda: host)
    folder.mkdir(exist_ok=True)
    return Lease(RemoteFolder(STORE), "study/a.lease", folder / "lease", every=60.0)


@pytest.mark.filterwarnings("ignore:.*Waiting for 180 seconds")
def test_two_machines_do_not_write_one_run(store, tmp_path, monkeypatch):
    first = lease_of(tmp_path / "one", monkeypatch, "one")
    first.take(sleep=lambda _: pytest.fail("nobody else writes"))
    second = lease_of(tmp_path / "two", monkeypatch, "two")
    with pytest.raises(RunError, match="one process .* is writing study/a.lease"):
        second.take(sleep=lambda _: first.renew())
    first.release()
    assert "study/a.lease" not in there(store)
    second.take(sleep=lambda _: pytest.fail("it was given back"))


def test_a_machine_that_is_lost_is_waited_for_and_then_replaced(store, tmp_path, monkeypatch):
    first = lease_of(tmp_path / "one", monkeypatch, "one")
    first.take()
    second, waited = lease_of(tmp_path / "two", monkeypatch, "two"), []
    with pytest.warns(UserWarning, match="one process .* wrote .* Waiting for 180 seconds"):
        second.take(sleep=waited.append)
    assert sum(waited) == pytest.approx(180.0)
    # It was only slow: it stops renewing, and does not take away what is another's.
    first.renew()
    first.release()
    assert first.lost_to is not None and first.lost_to.startswith("two process")
    assert b"two process" in there(store)["study/a.lease"]


def test_a_process_of_this_machine_that_has_ended_is_not_waited_for(store, tmp_path, monkeypatch):
    first = lease_of(tmp_path / "one", monkeypatch, "one")
    monkeypatch.setattr(first, "_holder", "one process 999999999 ab")
    first.take()
    second = lease_of(tmp_path / "two", monkeypatch, "one")
    second.take(sleep=lambda _: pytest.fail("that process has ended"))


@pytest.mark.filterwarnings("ignore:.*Waiting for")
@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"holder": 1, "every": "x"}', b"\xff", b"[" * 4000,
     b'{"holder": "x", "every": NaN, "renewed": 1}',
     b'{"holder": "one process 99999999999999999999999 x", "every": 60, "renewed": 1}',
     '{"holder": "one process \u00b2 x", "every": 60, "renewed": 1}'.encode()],
)  # fmt: skip
def test_a_lease_that_nobody_wrote_is_replaced_in_the_end(store, tmp_path, monkeypatch, content):
    store.pipe_file("/elicit-runs/study/a.lease", content)
    lease_of(tmp_path / "one", monkeypatch, "one").take(sleep=lambda _: None)
    assert b"one process" in there(store)["study/a.lease"]


def test_a_block_that_lost_its_lease_ends_in_an_error(store, tmp_path, monkeypatch):
    remote = RemoteFolder(STORE)
    other = b'{"holder": "two process 7 ab", "every": 60, "renewed": 1}'
    with (
        pytest.raises(RunError, match="two process 7 .* has taken a.lease over"),
        leased(remote, "a.lease", tmp_path / "lease", every=0.01) as lease,
    ):
        store.pipe_file("/elicit-runs/a.lease", other)
        for _ in range(200):
            if lease.lost_to is None:
                threading.Event().wait(0.01)
    assert b"two process" in there(store)["a.lease"]
    with leased(remote, "b.lease", tmp_path / "lease", every=60.0):
        assert "b.lease" in there(store)
    assert "b.lease" not in there(store)


def test_a_store_that_is_gone_does_not_hide_what_ended_a_block(store, tmp_path, monkeypatch):
    def gone(self, place):
        raise RunError("the store does not answer")

    with (
        pytest.raises(KeyboardInterrupt),
        leased(RemoteFolder(STORE), "a.lease", tmp_path / "lease", every=60.0),
    ):
        monkeypatch.setattr(RemoteFolder, "remove", gone)
        raise KeyboardInterrupt


def test_a_lease_and_the_run_that_it_is_for_read_into_files_of_their_own(store, tmp_path):
    scratch = tmp_path / ".a.lease"
    with leased(RemoteFolder(STORE), "a.lease", scratch, every=60.0) as lease:
        # Where a mirror puts the record that is there.
        (tmp_path / ".a.there").write_text("kept")
        lease.renew()
        assert (tmp_path / ".a.there").read_text() == "kept"
