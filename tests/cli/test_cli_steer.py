"""`elicit steer` from the shell to the files, and what it refuses."""

import json

import pytest
import torch

import elicit as library
from elicit.directions import Direction
from elicit.elicitation import DoseCurve, SteeredTexts
from elicit.features import load_sae
from elicit.jobs._cued import task_of
from elicit.jobs._steer.feature import feature_source
from elicit.jobs._steer.source import looked_for
from elicit.jobs._steer.spec import SteerSpec
from tests.features import made

QUICK = [
    *("--limit", "16", "--n-resamples", "100", "--n-random", "1", "--max-new-tokens", "64"),
]
TWO = ["--strengths", "0.5,1"]
CUES = ["--reasoning-cue", "notes ", "--direct-cue", "quiz "]
OWN = ["--base", "a", "--post", "b", "--problems", "p"]
RL = ["--pair", "organism:rl"]


@pytest.fixture(scope="module")
def saes(tmp_path_factory):
    """Random SAEs: one of the organisms' width, and one of another."""
    root = tmp_path_factory.mktemp("saes")
    hook = "blocks.4.hook_resid_post"
    made.saved(root / "fits", "topk", d_in=96, d_sae=32, hook=hook)
    made.saved(root / "narrow", "topk", d_in=16, d_sae=32, hook=hook)
    return root


def means_of(summary: dict, *measures: str) -> list[float]:
    """Means over all problems, from those of the groups."""
    (by,) = summary["by_group"].values()
    groups = by["groups"].values()
    assert len(groups) > 1
    n = sum(group["n"] for group in groups)
    return [sum(group["n"] * group[one]["value"] for group in groups) / n for one in measures]


@pytest.mark.slow
def test_a_run_leaves_the_curve_the_test_the_vector_and_every_arm(elicit, tmp_path):
    out = tmp_path / "run"
    words = ["--site", "resid_post.1,resid_post.4", "--by", "difficulty"]
    done = elicit("steer", *RL, *QUICK, *TWO, *words, "--out", out)
    assert (done.code, done.err) == (0, "")
    summary = json.loads((out / "summary.json").read_text())
    assert done.out.startswith(summary["sentence"])
    assert done.out.rstrip().endswith(f"Report: {out / 'report.html'}")
    curve, test = DoseCurve.load(out / "dose"), DoseCurve.load(out / "test")
    assert (summary["n_choose"], summary["n_test"]) == (8, 8) == (test.n_choose, test.n_problems)
    assert curve.strength.tolist() == [0.5, 1.0]
    assert test.strength.tolist() == [summary["chosen"]["strength"]]
    # Chosen by what it does on the other half: layer 1 does nothing.
    assert summary["steered"]["site"] == "resid_post.4"
    assert summary["chosen"]["moved"] and summary["chosen"]["coherent"]
    found = summary["arms"]["difference of means"]
    assert found["kind"] == "steered" and found["share"]["accuracy"]["value"] >= 0.9
    for name, arm in summary["arms"].items():
        place = (0, test.arm.index(name), 0)
        for what in ("rate", "effect", "share"):
            assert arm[what]["accuracy"] == getattr(test, what)[place].to_json()
        if arm["kind"] == "control":
            assert abs(arm["share"]["accuracy"]["value"]) <= 0.1
    assert set(summary["references"]) == {
        "unsteered", "target", "positive prompt", "negative prompt"
    }  # fmt: skip
    assert summary["gaps"]["accuracy"]["clear"] and not summary["gaps"]["accuracy"]["refused"]
    rates = [found["rate"]["accuracy"], summary["references"]["unsteered"]["rate"]["accuracy"]]
    assert means_of(summary, "steered", "unsteered") == pytest.approx([r["value"] for r in rates])
    vector = library.load_result(out / "vector")
    assert isinstance(vector, Direction) and str(vector.site) == "resid_post.4"
    (entry,) = torch.load(out / "steered.pt", weights_only=True).values()
    assert entry["steering_coefficient"] == summary["chosen"]["strength"]
    assert torch.equal(entry["steering_vector"], vector.vector)
    texts = SteeredTexts.load(out / "samples")
    control = summary["strongest_control"]
    assert texts.writer == ("unsteered", "difference of means", control, "target")
    written = dict(zip(texts.writer, texts.text, strict=True))
    assert all(text.startswith("so ") for text in written["difference of means"])
    assert all(text.startswith("answer ") for text in written["unsteered"])
    page = (out / "report.html").read_text()
    assert written["difference of means"][0] in page
    for part in ("plot-arms-0-0", "plot-dose-0-0", "plot-directions-0", "held-out problems"):
        assert part in page
    # Again from its own file: every text is read back, and the bytes are the same.
    again = elicit("steer", "--config", out / "run.yaml", "--json")
    assert (again.code, again.out) == (0, (out / "summary.json").read_text())
    # The saved vector does what it did.
    words = [*RL, *QUICK, *TWO, "--vector", out / "vector"]
    told = json.loads(elicit("steer", *words, "--out", tmp_path / "saved", "--json").out)
    assert told["arms"] == summary["arms"] and told["chosen"] == summary["chosen"]


@pytest.mark.slow
def test_without_a_gap_rates_are_told_and_shares_refused(elicit, saes, tmp_path):
    (tmp_path / "worded.txt").write_text("notes {prompt}\n")
    done = elicit(
        "steer", "--pair", "organism:identity", "--allow-identical", *QUICK, *TWO,
        "--sae", saes / "fits", "--feature", "3", "--how", "clamp", "--amount", "4",
        "--n-live", "0", "--where", "first", "--baseline", tmp_path / "worded.txt",
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["steered"]["where"] == "generated(0, 0)"
    assert summary["steered"]["name"] == "feature 3, set to 4"
    assert any(gap["refused"] in summary["sentence"] for gap in summary["gaps"].values())
    assert not summary["gaps"]["accuracy"]["clear"] and "no clear gap" in done.out
    told = summary["references"]
    assert told["worded"] == told["positive prompt"] != told["negative prompt"]
    kinds = sorted(arm["kind"] for arm in summary["arms"].values())
    assert kinds == ["baseline", "control", "control", "steered"]
    for arm in summary["arms"].values():
        assert arm["share"]["accuracy"] is None
        assert 0 <= arm["rate"]["accuracy"]["low"] <= arm["rate"]["accuracy"]["high"] <= 1
    assert not (tmp_path / "run" / "steered.pt").exists()
    assert any("steered.pt was not written" in note for note in summary["notes"])


@pytest.mark.slow(checked=True)
@pytest.mark.parametrize(("amount", "told"), [(0.0, 0.0), (3.0, 3.0), (None, None)])
def test_what_a_feature_is_set_to_is_what_is_told(organism, saes, tmp_path, amount, told):
    pair, sae = organism("rl"), load_sae(saes / "fits")
    spec = SteerSpec(
        pair="organism:rl", out=tmp_path, limit=16, sae=str(saes / "fits"), feature=3,
        how="clamp", amount=amount, n_live=0, n_random=1,
    )  # fmt: skip
    task = task_of(spec)
    source = feature_source(spec, pair, sae, looked_for(spec, task), task)
    if amount is None:
        told = 2 * float(source.results["fidelity"].max_act[3])
        assert told > 0
    assert source.facts["amount"] == told
    assert source.candidates[0][0].name == f"feature 3, set to {told:g}"
    row = sae.directions[3].float()
    torch.testing.assert_close(source.directions[0].vector, row * (told or 1.0))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([*RL, "--direct-cue", "x"], "--reasoning-cue is not given"),
        (OWN, "--reasoning-cue and --direct-cue are not given"),
        ([*OWN, "--method", "trained"], "a vector is trained at one"),
        ([*RL, "--method", "feature"], "--sae and --feature are not given"),
        ([*RL, "--sae", "x"], "--feature is not given"),
        ([*RL, "--feature", "3"], "feature apply to a feature"),
        ([*RL, "--how", "clamp"], "how apply to a feature"),
        ([*RL, "--vector", "v", "--method", "pca"], "vector is given and method too"),
        ([*RL, "--vector", "no-such-folder"], "cannot be read"),
        (
            [*RL, "--sae", "s", "--feature", "3", "--site", "resid_post.1"],
            "sites are resid_post.1, but",
        ),
        ([*RL, "--sae", "s", "--feature", "3"], "has no cfg.json"),
        ([*RL, "--sae", "s", "--feature", "3", "--how", "project-out", "--amount", "1"], "ignored"),
        ([*RL, "--strengths", "0"], "all strengths are 0"),
        ([*RL, "--shown", "x"], "Leave shown out"),
        ([*RL, *CUES, "--shown", "("], "not a regular expression"),
        ([*RL, "--limit", "8"], "at least 16 are needed"),
        ([*RL, "--site", "resid_post.9"], "layer 9"),
    ],
)
def test_what_cannot_be_steered_is_one_line_and_nothing_is_run(
    elicit, tmp_path, monkeypatch, words, told
):
    monkeypatch.setattr("elicit.rollouts.writing.continue_ids", never)
    done = elicit("steer", *words, "--out", tmp_path / "run")
    assert (done.code, done.out) == (2 if " not given" in done.err else 1, "")
    assert told in done.err and done.err.count("\n") == 1


def never(*_args, **_options):
    raise AssertionError("a text was written")


@pytest.mark.parametrize(
    ("sae", "feature", "told"),
    [("fits", 32, "features 0 to 31"), ("narrow", 3, "reads vectors of width 16")],
)
def test_a_feature_that_is_not_there_is_refused_before_a_text_is_written(
    elicit, saes, tmp_path, monkeypatch, sae, feature, told
):
    monkeypatch.setattr("elicit.rollouts.writing.continue_ids", never)
    out = tmp_path / "run"
    words = [*RL, "--sae", saes / sae, "--feature", feature, "--out", out]
    done = elicit("steer", *words)
    assert (done.code, done.out) == (1, "") and told in done.err
    assert not out.exists()


def test_what_is_no_direction_is_refused(elicit, tmp_path):
    from tests.elicitation.made import dosed

    dosed([0.5], [0.2]).save(tmp_path / "curve")
    done = elicit("steer", *RL, "--vector", tmp_path / "curve", "--out", tmp_path / "run")
    assert (done.code, done.out) == (1, "") and "holds a DoseCurve" in done.err
