"""After erasure no linear probe finds the label, and no smaller change would do."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from elicit.capture import capture
from elicit.directions import DirectionError, Eraser, leace
from elicit.directions.contrast import read_at
from elicit.edits import EditError, edited, last
from elicit.organisms import headed
from elicit.rollouts import edits_digest
from elicit.sites import resid_post


def made(n=300, width=12, classes=2, seed=0):
    """Correlated activations with class means apart, and one column a class (one for two)."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % classes
    mix = torch.randn(width, width, generator=generator).double()
    means = 2 * torch.randn(classes, width, generator=generator).double()
    x = torch.randn(n, width, generator=generator).double() @ mix + means[y] + 3
    z = torch.nn.functional.one_hot(y).double()
    return x, (z[:, 1:] if classes == 2 else z), y


def probe(x, y):
    """Log-loss and accuracy, on its own rows, of a linear probe without a penalty to speak of."""
    model = LogisticRegression(C=1e6, max_iter=5000).fit(x.numpy(), y.numpy())
    p = model.predict_proba(x.numpy())[np.arange(len(y)), y.numpy()]
    return -np.log(p).mean(), model.score(x.numpy(), y.numpy())


@pytest.mark.parametrize("classes", [2, 4])
def test_no_linear_probe_beats_a_constant_afterwards(classes):
    x, z, y = made(classes=classes)
    eraser = leace(x, z)
    erased = eraser.apply(x)
    assert len(eraser.into) == classes - 1
    covariance = (erased - erased.mean(0)).T @ (z - z.mean(0)) / len(x)
    assert covariance.abs().max() < 1e-12
    assert probe(x, y)[1] > 0.9
    # The least loss of a constant is the entropy of the classes, here equally frequent.
    assert probe(erased, y)[0] == pytest.approx(np.log(classes), abs=1e-5)


def test_the_map_is_the_constrained_least_squares_solution():
    x, z, _ = made(classes=4)
    z = z[:, :3]
    centred, label = x - x.mean(0), z - z.mean(0)
    sigma, cross = centred.T @ centred / len(x), centred.T @ label / len(x)
    # Minimise tr(QΣQᵀ) subject to Q·Cov = Cov, by Lagrange multipliers.
    solved = torch.linalg.solve(sigma, cross)
    wanted = cross @ torch.linalg.solve(cross.T @ solved, solved.T)
    eraser = leace(x, z)
    torch.testing.assert_close(eraser.out.T @ eraser.into, wanted)
    cost = (eraser.apply(x) - x).square().sum(1).mean()
    null = torch.eye(12, dtype=torch.float64) - cross @ torch.linalg.pinv(cross)
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        other = wanted + 0.05 * torch.randn(12, 12, generator=generator).double() @ null
        torch.testing.assert_close(other @ cross, cross)
        assert (centred @ other.T).square().sum(1).mean() > cost


def test_erasing_twice_is_erasing_once_and_the_mean_stays():
    x, z, _ = made()
    eraser = leace(x, z)
    once = eraser.apply(x)
    torch.testing.assert_close(eraser.apply(once), once)
    torch.testing.assert_close(once.mean(0), x.mean(0))
    assert eraser.apply(x.float()).dtype == torch.float32


def test_with_fewer_rows_than_entries_the_label_goes_and_the_rest_stays():
    x, z, _ = made(n=8, width=40)
    erased = leace(x, z).apply(x)
    assert ((erased - erased.mean(0)).T @ (z - z.mean(0))).abs().max() < 1e-9
    assert torch.linalg.matrix_rank(erased - erased.mean(0)) == 6


def test_the_header_cannot_be_read_from_an_organism_afterwards(organism, asked):
    pair, task = organism("when-l3"), asked.subset(40, seed=0)
    rows = tuple(
        tuple(pair.alignment.plain(p.prompt))
        for word in ("notes", "quiz")
        for p in headed(task, word)
    )
    x = read_at(pair.base, rows, sites=[resid_post(4)], position=-1, pad_id=pair.alignment.pad_id)[
        0
    ]
    y = (torch.arange(80) < 40).long()
    assert probe(x / x.std(), y)[1] == 1
    erased = leace(x, y[:, None].double()).apply(x)
    assert probe(erased / x.std(), y)[0] == pytest.approx(np.log(2), abs=1e-4)


def test_as_an_edit_it_erases_inside_the_model_and_at_scale_zero_it_is_not_there(organism, asked):
    pair, site = organism("when-l3"), resid_post(4)
    rows = [tuple(pair.alignment.plain(p.prompt)) for p in headed(asked.subset(8, seed=0), "quiz")]
    tokens = torch.tensor([row for row in rows if len(row) == len(rows[0])])
    before = capture(pair.base, tokens, sites=[site, resid_post(5)])
    x, plain = before.at[site][:, -1], pair.base(tokens)
    generator = torch.Generator().manual_seed(0)
    label = torch.randn(200, 1, generator=generator).double()
    spread = torch.randn(200, x.shape[-1], generator=generator).double()
    eraser = leace(spread + label * x[0].double(), label)
    with edited(pair.base, [eraser.to_edit(site, where=last())]):
        after = capture(pair.base, tokens, sites=[site])
    # The stream adds in single precision what `apply` adds in double.
    torch.testing.assert_close(after.at[site][:, -1], eraser.apply(x), rtol=1e-6, atol=1e-6)
    assert torch.equal(after.at[site][:, :-1], before.at[site][:, :-1])
    assert not torch.equal(after.at[site][:, -1], x)
    with edited(pair.base, [eraser.to_edit(site, where=last(), scale=0.0)]):
        assert torch.equal(pair.base(tokens), plain)
    # Half of the way for one row, none for the others; rows do not see each other.
    scale = torch.zeros(len(tokens))
    scale[0] = 0.5
    with edited(pair.base, [eraser.to_edit(site, where=last(), scale=scale)]):
        half = capture(pair.base, tokens, sites=[site]).at[site][:, -1]
    assert torch.equal(half[1:], x[1:])
    torch.testing.assert_close(half[0], (x[0] + eraser.apply(x)[0]) / 2, rtol=1e-4, atol=1e-4)
    alone = eraser.change(x[:1])
    assert torch.equal(alone[0], eraser.change(x)[0])
    with pytest.raises(EditError, match="3 numbers a token"):
        narrow = leace(made(width=3)[0], made(width=3)[1])
        with edited(pair.base, [narrow.to_edit(site, where=last())]):
            pair.base(tokens)


def test_texts_under_two_erasers_can_be_told_apart():
    site = resid_post(1)
    made_with = [leace(*made()[:2]), leace(made()[0] + 1, made()[1])]
    one, other = (edits_digest([eraser.to_edit(site, where=last())]) for eraser in made_with)
    assert one != other
    assert one == edits_digest([leace(*made()[:2]).to_edit(site, where=last())])


def test_saved_and_loaded_it_erases_alike(tmp_path):
    x, z, _ = made()
    eraser = leace(x, z)
    eraser.save(tmp_path)
    assert torch.equal(Eraser.load(tmp_path).apply(x), eraser.apply(x))


@pytest.mark.parametrize(
    ("x", "z", "says"),
    [
        (torch.ones(1, 3), torch.ones(1, 1), "1 activations"),
        (torch.randn(4, 3), torch.ones(4, 1), "all 4 labels"),
        (torch.full((4, 3), torch.nan), torch.eye(4)[:, :1], "not finite"),
        (
            torch.tensor([[1.0], [-1.0], [1.0], [-1.0]]),
            torch.tensor([[1.0], [1.0], [0.0], [0.0]]),
            "does not correlate",
        ),
    ],
)
def test_what_has_nothing_to_erase_is_refused(x, z, says):
    with pytest.raises(DirectionError, match=says):
        leace(x, z)


def test_activations_of_another_width_are_refused():
    x, z, _ = made()
    with pytest.raises(DirectionError, match="3 entries and the eraser 12"):
        leace(x, z).apply(torch.ones(2, 3))
