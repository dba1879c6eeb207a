"""`elicit features` from the shell to the files, and what it refuses."""

import json
import shlex
from dataclasses import replace

import pytest
import torch

from elicit.features import Conclusion, load_sae
from elicit.jobs import _frame as frame
from elicit.jobs._features import dictionary as features_dictionary
from elicit.jobs._features import run as features_job
from elicit.jobs._features.spec import FeaturesSpec
from elicit.jobs._steer.spec import SteerSpec
from elicit.results import load_result
from tests.cli.conftest import called

QUICK = [
    *("--pair", "organism:rl", "--limit", "32", "--steps", "150", "--top", "2"),
    *("--n-positions", "8", "--n-samples", "2", "--n-resamples", "100", "--traces", "own"),
    *("--max-new-tokens", "64"),
]
CUES = ["--reasoning-cue", "notes ", "--direct-cue", "quiz "]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    out = tmp_path_factory.mktemp("features") / "run"
    return out, called("features", *QUICK, "--by", "difficulty", "--out", out)


@pytest.mark.slow
def test_a_run_says_what_stays_beside_what_was_rejected(ran):
    out, done = ran
    assert (done.code, done.err) == (0, "")
    summary = json.loads((out / "summary.json").read_text())
    assert done.out.startswith(summary["sentence"])
    assert done.out.rstrip().endswith(f"Report: {out / 'report.html'}")
    assert summary["faithful"] and summary["n_choose"] == summary["n_test"] == 16
    for gate in summary["gates"].values():
        assert 0 < gate["fvu"]["low"] < gate["fvu"]["high"] < 0.5
        assert gate["ce_recovered"]["value"] > 0.8
    own, other = (summary["transfer"][name] for name in ("own", "other"))
    assert own["fvu"] == summary["gates"]["base"]["fvu"]
    assert other["fvu"] == summary["gates"]["post"]["fvu"]
    assert own["fvu"]["high"] < other["fvu"]["low"] and other["delta_fvu"]["low"] > 0
    stays = [one for one in summary["candidates"].values() if one["kept"]]
    assert summary["kept"] == [int(f) for f, one in summary["candidates"].items() if one["kept"]]
    for one in stays:
        assert one["difference"]["low"] > max(0, one["control_difference"]["high"])
        assert one["injection_verdict"] in ("context-dependent", "weak")
        assert one["resampling_verdict"] == "stable"
    (by,) = summary["by_group"].values()
    groups = by["groups"].values()
    assert len(groups) > 1 and sum(group["n"] for group in groups) == 16
    for name in next(iter(groups)).keys() - {"n"}:
        mean = sum(group["n"] * group[name]["value"] for group in groups) / 16
        of = summary["candidates"][name.removeprefix("feature ")]["difference"]["value"]
        assert mean == pytest.approx(of)
    # The state is read: the clearest by the end of the prompt holds on other problems.
    first = next(iter(summary["candidates"].values()))
    assert first["holds"] and first["auroc"] > 0.95 and "prompt’s end" in first["found_by"]
    # Words of the traces are found too, and are rejected.
    words = [one for one in summary["candidates"].values() if "ReasonScore" in one["found_by"]]
    assert words and any(one["injection_verdict"] == "token-driven" for one in words)
    if summary["kept"]:
        told = f"elicit steer --pair organism:rl --sae {out / 'sae'} --feature {summary['kept'][0]}"
        assert summary["next"] == f"{told} --out {out}-steer"
        assert f"Next: {summary['next']}" in done.out


@pytest.mark.parametrize("on", ["base", "post"])
def test_the_command_that_it_ends_with_asks_for_the_same_models_words_and_feature(
    tmp_path, monkeypatch, on
):
    seen: list[SteerSpec] = []
    monkeypatch.setattr(
        "elicit.jobs._steer.run.steer", lambda spec, progress: seen.append(spec) or 1 / 0
    )
    asked = FeaturesSpec(
        base="a", post="b", problems=tmp_path / "my problems.jsonl", out=tmp_path / "run",
        reasoning_cue="Think. ", direct_cue="Say. ", shown="x|y", templated=True,
        sae="sae:some/one",
    )  # fmt: skip
    none = torch.zeros(0, dtype=torch.long)
    found = Conclusion(
        sae="s", site="resid_post.1", model="a", failed=(), n_choose=8, n_test=8, feature=none,
        found_by=(), holds=none.bool(), injection=(), resampling=(), kept=none.bool(),
    )  # fmt: skip
    assert not features_job._next(asked, on, tmp_path / "run", found)
    found = replace(
        found, feature=torch.tensor([7]), found_by=("",), holds=torch.tensor([True]),
        injection=("weak",), resampling=("stable",), kept=torch.tensor([True]),
    )  # fmt: skip
    line = features_job._next(asked, on, tmp_path / "run", found)
    with pytest.raises(ZeroDivisionError):
        called(*shlex.split(line)[1:])
    (spec,) = seen
    for name in ("base", "post", "problems", "reasoning_cue", "direct_cue", "shown", "templated"):
        assert getattr(spec, name) == getattr(asked, name)
    assert (spec.sae, spec.feature, spec.on) == ("sae:some/one", 7, on)
    assert spec.out == tmp_path / "run-steer"


@pytest.mark.slow
def test_results_and_page_of_a_run_are_whole(ran):
    out, _ = ran
    page = (out / "report.html").read_text()
    for words in ('id="gates"', "plot-resampling", "plot-transfer"):
        assert words in page
    for name in ("fidelity-base", "held-out", "injection", "resampling", "transfer", "scaling"):
        assert load_result(out / name).provenance is not None
    conclusion = Conclusion.load(out / "conclusion")
    assert json.loads((out / "summary.json").read_text())["kept"] == list(conclusion.survivors)


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_same_bytes_and_trains_once(tmp_path, monkeypatch):
    # A poor dictionary of which everything is asked all the same.
    small = [
        *("--pair", "organism:rl", "--limit", "16", "--steps", "20", "--top", "1"),
        *("--n-positions", "2", "--n-samples", "2", "--n-resamples", "100", "--traces", "own"),
        *("--max-new-tokens", "32", "--window", "2", "--d-sae", "64", "--allow-unfaithful"),
    ]
    out, again = tmp_path / "whole", tmp_path / "again"
    assert called("features", *small, "--out", out).code == 0

    def stopped(*args, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(features_job, "Search", stopped)
        assert called("features", *small, "--out", again).code == 130
    with monkeypatch.context() as patch:
        # What was trained is there already.
        patch.setattr(features_dictionary, "train", stopped)
        done = called("features", "--config", again / "run.yaml", "--json")
    assert done.code == 0
    summary, whole = json.loads(done.out), json.loads((out / "summary.json").read_text())
    assert (again / "sae" / "sae_weights.safetensors").read_bytes() == (
        out / "sae" / "sae_weights.safetensors"
    ).read_bytes()
    assert summary["candidates"]
    for name in ("candidates", "transfer", "kept"):
        assert summary[name] == whole[name]


@pytest.mark.slow
@pytest.mark.parametrize("gate", [["--max-fvu", "0.0001"], ["--least-recovered", "1"]])
def test_a_trained_dictionary_is_loaded_again_and_a_failed_gate_names_nothing(ran, tmp_path, gate):
    out, _ = ran
    loaded = called(
        "features", *QUICK[:2], "--limit", "16", "--sae", out / "sae", *QUICK[6:], *gate,
        "--out", tmp_path / "loaded",
    )  # fmt: skip
    assert loaded.code == 0, loaded.err
    summary = json.loads((tmp_path / "loaded" / "summary.json").read_text())
    assert summary["sae"]["digest"] == load_sae(out / "sae").digest
    # The gate is set so that nothing passes, and then nothing is named.
    assert not summary["faithful"] and not summary["candidates"] and summary["next"] is None
    assert "fails its fidelity gates" in summary["sentence"]
    assert "max_fvu" not in summary["sentence"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--pair", "organism:rl", "--direct-cue", "x"], "--reasoning-cue is not given"),
        (["--base", "a", "--post", "b", "--problems", "p"], "what features are looked for"),
        (["--base", "a", "--post", "b", *CUES], "--problems is not given"),
        (["--pair", "organism:rl", "--shown", "x"], "Leave shown out"),
        (["--pair", "organism:rl", "--sae", "x", "--k", "4"], "leave sae out"),
        (["--pair", "organism:rl", "--limit", "8"], "Give at least 16 problems"),
        (["--pair", "organism:rl", "--traces", "no.jsonl"], "Choose own, task, or a JSONL"),
        (["--pair", "organism:rl", "--groups", "no.json"], "which is not readable JSON"),
        (["--pair", "organism:rl", "--reasoning-cue", "a ", "--direct-cue", "a "], "both cues"),
        (["--pair", "organism:rl", "--temperature", "0"], "temperature is"),
    ],
)
def test_what_cannot_be_searched_is_one_line_and_no_model_is_loaded(
    elicit, tmp_path, monkeypatch, words, told
):
    monkeypatch.setattr(frame, "open_pair", None)
    done = elicit("features", *words, "--out", tmp_path / "run")
    assert (done.code, done.out) == (2 if " not given" in done.err else 1, "")
    assert told in done.err


@pytest.mark.slow
def test_what_does_not_fit_the_models_is_refused_before_they_run(
    elicit, organism, tmp_path, monkeypatch
):
    from tests.features import made

    monkeypatch.setattr(frame, "open_pair", lambda *_: organism("rl"))
    monkeypatch.setattr(features_job, "write_texts", None)
    narrow = made.saved(tmp_path / "narrow", "topk", d_in=16, hook="blocks.4.hook_resid_post")
    groups = tmp_path / "groups.json"
    groups.write_text(json.dumps({"hmm": ["hmm"], "wait": ["wait"]}))
    pair = ["--pair", "organism:rl", "--limit", "16"]
    for words, told in (
        ([*pair, "--sae", narrow], "reads vectors of width 16"),
        ([*pair, "--sae", tmp_path / "nothing"], "it is not a SAELens folder"),
        ([*pair, "--feature", "9999"], "feature 9999 "),
        ([*pair, "--groups", groups], "the group 'hmm' has no tokens"),
        ([*pair, "--site", "resid_post"], "stands for 6 sites"),
        ([*pair, "--site", "resid_post.9"], "layers 0 to 5"),
        ([*pair, "--model", "post"], "--train-on post"),
        ([*pair, "--d-sae", "4", "--k", "8"], "k no larger than d_sae"),
    ):
        done = elicit("features", *words, "--out", tmp_path / "run")
        assert (done.code, done.out) == (1, ""), words
        assert told in done.err, (told, done.err)
    assert not (tmp_path / "run").exists()
