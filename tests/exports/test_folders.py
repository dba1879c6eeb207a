"""SAEs, tables, texts and runs, read back by the tools that they are written for."""

import json
import warnings

import pandas
import pytest
import torch

from elicit import load_task
from elicit.exports import (
    ExportError,
    Material,
    Options,
    export,
    published,
    push_to_hub,
    texts_of,
    texts_of_rollouts,
    write_log,
)
from elicit.features import load_sae
from elicit.results import load_result
from tests.exports.conftest import texts


def test_sae_lens_loads_the_exported_folder_with_the_same_values(run, tmp_path):
    from sae_lens import SAE

    export(run, "sae-lens", tmp_path / "sae")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = SAE.load_from_disk(tmp_path / "sae")
    ours = load_sae(run / "sae")
    x = torch.randn(5, ours.d_in, generator=torch.Generator().manual_seed(0))
    assert torch.equal(theirs.encode(x), ours.encode(x))
    assert torch.equal(theirs.W_dec, ours.module.W_dec)


def test_tables_are_what_pandas_and_datasets_read(run, tmp_path):
    import datasets

    done = export(run, "parquet", tmp_path / "tables")
    found = {path.name: path for path in done.paths}
    frames = load_result(run / "texts").frames()
    for axes, frame in frames.items():
        path = found[f"{'-'.join(('texts', *axes))}.parquet"]
        pandas.testing.assert_frame_equal(
            pandas.read_parquet(path), frame, check_dtype=False, check_column_type=False
        )
        rows = datasets.load_dataset(
            "parquet", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")
        )
        assert rows.column_names == list(frame.columns) and len(rows) == len(frame)


def test_netcdf_has_the_axes_and_values_of_the_result(run, tmp_path):
    xarray = pytest.importorskip("xarray", reason="install the extra xarray")
    result = texts()
    export(run, "xarray", tmp_path / "texts.nc", Options(result="texts"))
    with xarray.open_dataset(tmp_path / "texts.nc", engine="scipy") as data:
        data = data.load()
    assert data["correct"].dims == ("writer", "problem")
    assert data["correct"].values.tolist() == result.correct.tolist()
    assert data["writer"].values.tolist() == list(result.writer)
    assert data["correct"].attrs["description"] == "Whether it gives the right answer."
    assert data.attrs["strength"] == result.strength
    assert data.equals(result.to_xarray())


def test_inspect_reads_the_logs_and_elicit_reads_them_as_problems(run, tmp_path):
    log = pytest.importorskip("inspect_ai.log", reason="install the extra inspect")
    done = export(run, "inspect", tmp_path / "logs")
    result = texts()
    assert len(done.paths) == len(result.writer)
    for row, path in enumerate(done.paths):
        read = log.read_eval_log(str(path))
        assert read.status == "success" and read.eval.model == result.writer[row]
        assert [s.output.completion for s in read.samples] == list(result.text[row])
        right = [s.scores["elicit"].value == "C" for s in read.samples]
        assert right == result.correct[row].tolist()
        assert read.results.scores[0].metrics["accuracy"].value == sum(right) / len(right)
        task = load_task(path)
        assert [p.prompt for p in task] == list(result.prompt)
        assert [p.answer for p in task] == list(result.answer)
        assert [p.trace for p in task] == list(result.text[row])
        assert [p.metadata["score_elicit"] for p in task] == ["C" if r else "I" for r in right]
        assert "inspect_ai" in task.notes[0]


def test_logs_of_choices_epochs_and_conversations_are_read(tmp_path):
    logs = pytest.importorskip("inspect_ai.log", reason="install the extra inspect")
    from inspect_ai.model import ChatMessageSystem, ChatMessageUser, ModelOutput

    def sample(name, epoch, asked, **more):
        output = ModelOutput.from_content("m", f"text {epoch}")
        return logs.EvalSample(id=name, epoch=epoch, input=asked, output=output, **more)

    turns = [ChatMessageSystem(content="Be brief."), ChatMessageUser(content="1 + 1?")]
    samples = [
        sample(1, 1, "Which?", choices=["red", "blue"], target="B", metadata={"subject": "hue"}),
        sample(1, 2, "Which?", choices=["red", "blue"], target="B"),
        sample("two", 1, turns, target=["2", "two"]),
    ]
    spec = logs.EvalSpec(
        created="2026-01-01T00:00:00+00:00", task="t", dataset=logs.EvalDataset(), model="m",
        config=logs.EvalConfig(),
    )  # fmt: skip
    path = tmp_path / "a.eval"
    logs.write_eval_log(logs.EvalLog(eval=spec, samples=samples), str(path))
    one, two = load_task(path)
    assert one.prompt == "Which?\nA. red\nB. blue\nAnswer:" and one.answer == "B"
    assert one.trace == "text 1" and one.metadata["subject"] == "hue"
    assert two.history == ({"role": "system", "content": "Be brief."},)
    assert (two.prompt, two.answer, two.metadata["targets"]) == ("1 + 1?", "2", ["2", "two"])
    assert any("first epoch" in note for note in load_task(path).notes)


def test_texts_of_rollouts_stand_beside_their_own_problems(organism):
    from elicit.rollouts import Generation, rollouts
    from elicit.tasks import Problem, Task

    asked = [Problem(id=str(i), prompt=f"quiz Q a = {i} ; a ? A", answer=str(i)) for i in (3, 4)]
    task = Task(name="two", problems=tuple(asked))
    written = rollouts(
        organism("rl").side("base"), task,
        generation=Generation(max_new_tokens=2, n_samples=2, temperature=1.0),
    )  # fmt: skip
    rows = texts_of_rollouts(written, task)
    assert [(each.id, each.sample) for each in rows] == [("3", 0), ("3", 1), ("4", 0), ("4", 1)]
    assert [each.text for each in rows] == list(written.text)
    with pytest.raises(ExportError, match="other problems"):
        texts_of_rollouts(written, Task(name="two", problems=tuple(asked[:1])))


def test_a_log_needs_texts_and_its_ending(tmp_path):
    (rows, *_) = texts_of(texts()).values()
    for given, name in ((rows, "a.json"), ((), "a.eval")):
        with pytest.raises(ExportError, match=r"\.eval|no texts"):
            write_log(given, tmp_path / name, task="t", model="m")


class Hub:
    """A hub that keeps what it is sent."""

    def __init__(self, *, full: bool = False) -> None:
        self.full, self.made, self.sent = full, [], {}

    def create_repo(self, repo_id, *, private, exist_ok):
        if self.full:
            raise OSError("401 Client Error: Unauthorized\nmore")
        self.made.append((repo_id, private, exist_ok))

    def upload_folder(self, *, repo_id, folder_path, commit_message):
        from pathlib import Path

        root = Path(folder_path)
        files = [path for path in root.rglob("*") if path.is_file()]
        self.sent[repo_id] = {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_the_hub_gets_a_card_with_limits_and_the_digest_of_every_file(run, tmp_path):
    import hashlib

    import yaml

    folder = published(Material.of(run), tmp_path / "pub")
    hub = Hub()
    assert push_to_hub(folder, "me/run", private=True, api=hub).endswith("me/run")
    assert hub.made == [("me/run", True, True)]
    files = hub.sent["me/run"]
    card = files.pop("README.md").decode()
    head = yaml.safe_load(card.split("---")[1])
    assert head["library_name"] == "elicit" and head["base_model"] == ["org/base", "org/post"]
    assert "Steering closes the gap." in card and "Only 2 problems." in card
    assert "pushing there is enough" in card and "error term" in card and "b" * 64 in card
    assert {"vector/result.json", "sae/cfg.json", "summary.json"} <= set(files)
    assert all(hashlib.sha256(data).hexdigest() in card for data in files.values())
    assert not any(b"secret" in data for data in (*files.values(), card.encode()))
    load_result(folder / "vector")
    load_sae(folder / "sae")


def test_one_sae_is_a_repository_of_sae_lens(run, tmp_path):
    folder = published(Material.of(run), tmp_path / "pub", "sae")
    assert {path.name for path in folder.iterdir()} == {
        "README.md", "cfg.json", "sae_weights.safetensors"
    }  # fmt: skip
    assert "library_name: saelens" in (folder / "README.md").read_text()
    load_sae(folder)


def test_nothing_is_sent_without_a_name_a_card_and_leave(run, tmp_path, monkeypatch):
    done = export(run, "hub", tmp_path / "pub")
    assert "Nothing was sent" in done.says[0] and (tmp_path / "pub" / "README.md").is_file()
    with pytest.raises(ExportError, match="no README.md"):
        push_to_hub(run, "me/run", api=Hub())
    with pytest.raises(ExportError, match="USER/NAME"):
        push_to_hub(tmp_path / "pub", "run", api=Hub())
    with pytest.raises(ExportError, match=r"401 Client Error: Unauthorized\)\. Log in"):
        push_to_hub(tmp_path / "pub", "me/run", api=Hub(full=True))
    hub = Hub()
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
    export(run / "sae", "hub", tmp_path / "again", Options(repo="me/sae"))
    assert "cfg.json" in hub.sent["me/sae"]


def test_a_card_cannot_be_broken_out_of_by_what_models_wrote(run, tmp_path):
    summary = json.loads((run / "summary.json").read_text())
    summary["sentence"] = "---\n# Trust me\n<script>x</script> | y"
    (run / "summary.json").write_text(json.dumps(summary))
    card = (published(Material.of(run), tmp_path / "pub") / "README.md").read_text()
    assert "\n# Trust me" not in card and "<script>" not in card
