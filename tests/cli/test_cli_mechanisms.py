"""`elicit mechanisms` from the shell to the files, on pairs of known truth, and its refusals."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from elicit.elicitation import Mechanism
from elicit.jobs import COMMANDS, MechanismsSpec
from elicit.jobs._mechanisms.arms import means_of
from elicit.jobs._mechanisms.inputs import load_inputs
from elicit.jobs._mechanisms.names import ARMS, CONTROLLED, DEFAULT
from elicit.pair import load_pair
from elicit.results import load_result
from elicit.verdicts import Origin
from tests.cli.conftest import called

QUICK = ["--samples", "0", "--n-resamples", "200", "--limit", "64", "--max-new-tokens", "64"]
ARMS_RUN = ("prompt", "prefix", "dial")
CUES = ["--reasoning-cue", "notes ", "--direct-cue", "quiz "]
Finished = Callable[[str], Path]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The run of a pair by its name, with the arms that train nothing; each is run once."""

    @cache
    def run(pair: str) -> Path:
        out = tmp_path_factory.mktemp("mechanisms") / pair
        words = [*QUICK, "--controls", "elicited", "--arms", ",".join(ARMS_RUN), "--out", out]
        done = called("mechanisms", "--pair", f"organism:{pair}", *words)
        assert done.code == 0, done.err
        return out

    return run


def summary(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_a_skill_that_was_taught_is_created_and_one_that_base_has_is_elicited(finished: Finished):
    out = finished("created")
    found = summary(out)
    assert found["verdict"] == "created"
    told = [arm["share"]["high"] for arm in found["arms"].values() if arm["sees"] == "nothing"]
    assert max(told) < 0.5 < found["arms"]["dial"]["share"]["low"]
    (known,) = found["known_pairs"].values()
    assert known == {"truth": "has the skill", "verdict": "elicited"}
    latent = load_result(out / "known_elicited")
    assert isinstance(latent, Origin) and float(latent.best_share.low) > 0.5
    assert latent.sees[latent.arm.index(latent.best)] == "nothing"


@pytest.mark.slow
def test_a_pair_with_nothing_to_find_has_no_gap_and_says_how_small_it_could_be(finished: Finished):
    found = summary(finished("continued"))
    assert found["verdict"] == "no gap" and not found["known_pairs"]
    assert found["gap"]["low"] < 0 < found["gap"]["high"] < 0.2
    assert found["share"]["value"] is None


@pytest.mark.slow
def test_arms_that_train_alone_end_with_no_gap_on_a_pair_with_nothing_to_find(tmp_path: Path):
    words = ["--arms", "bias", "--limit", "32", "--max-new-tokens", "16", "--samples", "0"]
    done = called("mechanisms", "--pair", "organism:continued", *words, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    found = summary(tmp_path / "run")
    assert found["verdict"] == "no gap" and list(found["arms"]) == ["prompt"]


@pytest.mark.slow
def test_a_run_leaves_every_arm_its_texts_and_the_verdict(finished: Finished):
    out = finished("created")
    verdict = load_result(out / "origin")
    assert isinstance(verdict, Origin) and verdict.verdict == summary(out)["verdict"]
    for name in ARMS_RUN:
        arm = load_result(out / f"mechanism_{name}")
        assert isinstance(arm, Mechanism) and len(arm.text) == len(arm.problem) == 32
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "created" in page and "would change" in page
    again = called("mechanisms", "--config", out / "run.yaml", "--json")
    assert (again.code, again.out) == (0, (out / "summary.json").read_text(encoding="utf-8"))


def test_every_named_mechanism_can_be_made_for_an_embedded_pair(tmp_path: Path):
    pair = load_pair("organism:base", "organism:rl")
    apart = {"feature", "feature-controls", "proxy"}  # these need a file or another pair
    spec = MechanismsSpec(
        pair="organism:rl", arms=tuple(set(ARMS) - apart), out=tmp_path, max_new_tokens=16
    )
    made = means_of(spec, pair)
    assert tuple(made) == tuple(name for name in ARMS if name not in apart)
    assert {*DEFAULT, *CONTROLLED} <= set(ARMS)
    for name in CONTROLLED:
        assert made[name].sees in ("nothing", "answers") and not made[name].control
    for name in ("random-reward", "critique-shuffled", "hybrid-random", "diff-mean-random"):
        assert made[name].control


def test_nothing_is_trained_on_a_pair_of_ones_own_unless_an_arm_is(tmp_path: Path):
    words = {"base": "a", "post": "b", "problems": "p.jsonl", "out": tmp_path}
    words |= {"reasoning_cue": "notes ", "direct_cue": "quiz "}
    assert not MechanismsSpec(**words).learns
    assert not MechanismsSpec(**words, arms=("prompt", "dial")).learns
    assert MechanismsSpec(**words, arms=("prompt", "bias")).learns
    assert MechanismsSpec(pair="organism:rl", arms=("prompt",), out=tmp_path).learns


def test_problems_to_train_on_are_fresh_and_the_other_parts_have_none_in_common(tmp_path: Path):
    inputs = load_inputs(MechanismsSpec(pair="organism:rl", out=tmp_path))
    parts = [{p.prompt for p in part} for part in (inputs.fit, inputs.choose, inputs.test)]
    assert [len(part) for part in parts] == [240, 60, 60]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--pair", "organism:rl", "--arms", "wishing"], "no mechanism 'wishing'"),
        (["--pair", "organism:rl", "--arms", "feature"], "--sae and --feature are not given"),
        (["--pair", "organism:rl", "--expert", "x"], "expert is given alone"),
        (["--pair", "organism:rl", "--arms", "dial", "--expert", "x", "--antiexpert", "y"],
         "would be ignored"),
        (["--pair", "organism:rl", "--limit", "14"], "at least 16 are needed"),
        (["--base", "a", "--post", "b", "--problems", "p"], "--reasoning-cue and --direct-cue"),
        (["--base", "a", "--post", "b", *CUES, "--problems", "p", "--arms", "critique"],
         "learns from a critic"),
        (["--base", "a", "--post", "b", *CUES, "--problems", "p", "--arms", "prefix"],
         "--openers is not given"),
        (["--base", "a", "--post", "b", *CUES, "--problems", "p", "--fit-share", "0.6",
          "--choose-share", "0.4"], "leave no problems to test on"),
        (["--pair", "organism:rl", "--facts", "no.jsonl"], "which is not a file"),
    ],
)  # fmt: skip
def test_what_could_not_be_tried_is_one_line_and_nothing_is_run(elicit, tmp_path, words, told):
    done = elicit("mechanisms", *words, "--out", tmp_path / "run")
    assert (done.code, done.out) == (2 if " not given" in done.err else 1, "")
    assert told in " ".join(done.err.split())
    assert not (tmp_path / "run").exists()


@pytest.mark.slow(checked=True)
def test_a_budget_below_one_update_is_refused_by_the_arm_and_the_others_go_on(tmp_path: Path):
    spec = COMMANDS["mechanisms"].spec.from_options(
        {
            "pair": "organism:rl",
            "arms": ("prompt", "rlvr"),
            "training_tokens": 10,
            "limit": 32,
            "samples": 0,
            "seeds": 1,
            "n_resamples": 100,
            "controls": (),
            "out": tmp_path / "run",
        }
    )
    run = COMMANDS["mechanisms"].run(spec)
    assert list(run.summary["arms"]) == ["prompt"]
    assert any(
        note.startswith("rlvr was not tried") and "budget" in note for note in run.summary["notes"]
    )
