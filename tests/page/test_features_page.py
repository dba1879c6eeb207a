"""The page about features: what stays and what rejects, gates first, text of models as text."""

import pytest
import torch

from elicit.features import Conclusion, FeatureTable, Fidelity
from elicit.page import write
from elicit.page.features import features_sentences
from elicit.results import Estimate

BAD = "<script>alert(1)</script>"


def ends(*numbers: float) -> Estimate:
    return Estimate.of(torch.tensor(numbers, dtype=torch.float64))


def gate(model: str, fvu: float) -> Fidelity:
    return Fidelity(
        sae="s", site="resid_post.4", model=model, n_tokens=9, n_outliers=0, n_problems=4,
        level=0.95, fvu=ends(fvu, fvu - 0.01, fvu + 0.01), l0=ends(4, 3, 5), ce=1.0,
        ce_spliced=1.1, ce_zero=3.0, ce_recovered=ends(0.95, 0.9, 0.97), dead_fraction=0.1,
        published_fvu=float("nan"),
        published_l0=float("nan"), published_dead_fraction=float("nan"),
        feature=torch.arange(2), density=torch.ones(2), max_act=torch.ones(2),
    )  # fmt: skip


def conclusion(*, kept: bool, failed: tuple[str, ...] = (), n: int = 2) -> Conclusion:
    return Conclusion(
        sae="s", site="resid_post.4", model="base", failed=failed, n_choose=30, n_test=31,
        feature=torch.arange(n) + 7, found_by=("prompt’s end 1",) * n,
        holds=torch.tensor([True] * n, dtype=torch.bool), injection=("context-dependent",) * n,
        resampling=("stable", "unstable")[:n],
        kept=torch.tensor([kept, False][:n], dtype=torch.bool),
    )  # fmt: skip


@pytest.fixture
def table() -> FeatureTable:
    return FeatureTable(
        sae="s", site="resid_post.4", model="base", n_tokens=9, example=(f"a ⟦{BAD}⟧ b",),
        of=torch.tensor([7]), rank=torch.tensor([0]), activation=torch.tensor([2.0]),
        row=torch.tensor([0]), pos=torch.tensor([1]), feature=torch.tensor([7, 8]),
        density=torch.ones(2), max_act=torch.ones(2), tokens=(BAD, "b"),
        link=("https://neuronpedia.org/m/4-res/7", ""),
    )  # fmt: skip


def test_gates_come_first_and_survivors_are_named(table, tmp_path):
    results = [conclusion(kept=True), gate("base", 0.1), gate("post", 0.2), table]
    page = write(results, tmp_path / "p.html", command="features").read_text()
    assert page.index('id="gates"') < page.index('id="features"') < page.index('id="contexts"')
    assert "1 of 2 candidate features survives: feature 7." in page
    assert 'href="https://neuronpedia.org/m/4-res/7"' in page
    assert "0.100 [0.090, 0.110] on base" in page
    assert "Which layers" not in page.split("<main>")[1].split("</header>")[0]


def test_an_unfinished_search_shows_its_gates(tmp_path):
    page = write([gate("base", 0.1), gate("post", 0.2)], tmp_path / "p.html", command="features")
    text = page.read_text()
    assert 'id="gates"' in text and 'id="features"' not in text


def test_text_of_models_is_text(table, tmp_path):
    page = write([conclusion(kept=True), table], tmp_path / "p.html").read_text()
    assert BAD not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_failed_gates_are_said_first():
    failed = conclusion(kept=False, failed=("s leaves 0.9 unexplained.",), n=0)
    told = features_sentences([failed, gate("base", 0.9)])
    assert "fails its fidelity gates: s leaves 0.9 unexplained." in told[0]
    assert "feature 7" not in told[0]
    allowed = conclusion(kept=True, failed=("s leaves 0.9 unexplained.",))
    told = features_sentences([allowed, gate("base", 0.9)])
    assert "fails its fidelity gates" in told[0] and "feature 7" in told[0]


def test_where_nothing_survives_the_reasons_are_counted():
    told = features_sentences([conclusion(kept=False)])[0]
    assert told.startswith("None of 2 candidate features survives")
    assert "1 do not clearly recur" in told and "injection" not in told
    none = features_sentences([conclusion(kept=False, n=0)])[0]
    assert none.startswith("No candidate was found on 30 problems")
