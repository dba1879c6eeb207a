"""The axes in an annotation are checked, and name the columns of the table."""

import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.results import Provenance, Result, ResultError


@dataclass(frozen=True, eq=False, kw_only=True)
class Grid(Result):
    """Effect of each layer at each position."""

    effect: Float[Tensor, "layer pos"]
    """Share of the gap, 0 none, 1 all."""
    mean: Float[Tensor, " layer"]
    """Mean effect over positions."""
    layer: Int[Tensor, " layer"]
    """Model layer of each row."""
    pos: tuple[str, ...]
    """Token at each position."""
    low: Float[np.ndarray, "pos layer"] | None = None
    total: Float[Tensor, ""]
    """Effect of everything at once."""
    host: str = "base"
    margin: float = 0.1


@dataclass(frozen=True)
class Interval:
    """Value with its interval."""

    value: Float[Tensor, " part"]
    low: Float[Tensor, " part"]
    high: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Parts(Result):
    """Two questions on two sets of axes."""

    heal: Interval
    harm: Interval | None = None
    part: tuple[str, ...]
    changed: Bool[Tensor, " part"]
    curve: Float[Tensor, "layer step"]
    weight: Float[Tensor, " head"]


def grid(**changes):
    rng = torch.Generator().manual_seed(0)
    values = {
        "effect": torch.randn(2, 3, generator=rng),
        "mean": torch.randn(2, generator=rng),
        "layer": torch.tensor([4, 9]),
        "pos": ("Paris", "is", "<b>"),
        "low": np.arange(6, dtype=np.float16).reshape(3, 2),
        "total": torch.tensor(0.5),
    }
    return Grid(**{**values, **changes})


def parts(**changes):
    values = {
        "heal": Interval(value=torch.tensor([1.0, 2.0]), low=torch.tensor([0.5, 1.5]), high=3.0),
        "part": ("layer.0", "layer.1"),
        "changed": torch.tensor([True, False]),
        "curve": torch.arange(6.0).view(3, 2),
        "weight": torch.ones(4),
    }
    return Parts(**{**values, **changes})


def test_axes_are_those_in_the_annotations():
    assert Grid.axes() == {
        "effect": ("layer", "pos"),
        "mean": ("layer",),
        "layer": ("layer",),
        "low": ("pos", "layer"),
        "total": (),
    }
    assert Parts.axes()["heal.value"] == ("part",)


def test_each_point_of_the_joint_axes_is_a_row_with_every_value_that_lives_there():
    made = grid()
    frame = made.to_frame()
    assert list(frame.columns) == [
        "layer", "pos", "effect", "mean", "low", "total", "host", "margin",
    ]  # fmt: skip
    assert len(frame) == 6
    low = made.low
    assert low is not None
    rows = iter(frame.to_dict("records"))
    for i, layer in enumerate([4, 9]):
        for j, token in enumerate(made.pos):
            assert next(rows) == {
                "layer": layer,
                "pos": token,
                "effect": made.effect[i, j].item(),
                "mean": made.mean[i].item(),
                "low": low[j, i],
                "total": 0.5,
                "host": "base",
                "margin": 0.1,
            }


def test_an_axis_that_nothing_labels_is_counted_from_zero():
    @dataclass(frozen=True, eq=False, kw_only=True)
    class Bare(Result):
        effect: Float[Tensor, " head"]

    assert Bare(effect=torch.tensor([5.0, 6.0, 7.0])).to_frame()["head"].tolist() == [0, 1, 2]


def test_bfloat16_values_stand_in_the_table_exactly():
    values = torch.tensor([0.1, 1 / 3, -7.0]).bfloat16()

    @dataclass(frozen=True, eq=False, kw_only=True)
    class Short(Result):
        effect: Float[Tensor, " layer"]

    column = Short(effect=values).to_frame()["effect"].to_numpy()
    assert torch.equal(torch.from_numpy(column.copy()).bfloat16(), values)


def test_axes_that_share_no_field_get_a_table_each():
    made = parts()
    frames = made.frames()
    assert set(frames) == {("part",), ("layer", "step"), ("head",)}
    by_part = frames["part",]
    assert by_part["part"].tolist() == ["layer.0", "layer.1"]
    assert by_part["heal.value"].tolist() == [1.0, 2.0]
    assert by_part["heal.low"].tolist() == [0.5, 1.5]
    assert by_part["heal.high"].tolist() == [3.0, 3.0]
    assert by_part["changed"].tolist() == [True, False]
    assert "curve" not in by_part
    assert "harm.value" not in by_part
    assert made.to_frame().equals(frames["layer", "step"])


def test_a_result_without_arrays_is_one_row():
    @dataclass(frozen=True, eq=False, kw_only=True)
    class Verdict(Result):
        value: float
        name: str
        note: str | None = None

    frame = Verdict(value=0.25, name="E2").to_frame()
    assert frame.to_dict("records") == [{"value": 0.25, "name": "E2"}]


def test_an_empty_axis_gives_an_empty_table():
    made = grid(
        effect=torch.empty(0, 3),
        mean=torch.empty(0),
        layer=torch.empty(0, dtype=torch.int64),
        low=None,
    )
    assert len(made.to_frame()) == 0
    assert "0 of 0 rows" in made._repr_html_()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"mean": torch.zeros(3)}, r"Grid\.effect has 2 along 'layer' and \.mean has 3"),
        ({"pos": ("a", "b")}, r"Grid\.effect has 3 along 'pos' and \.pos has 2"),
        ({"low": np.zeros((2, 3))}, r"has 3 along 'pos' and \.low has 2"),
        ({"effect": torch.zeros(2)}, r"Grid\.effect has shape \(2,\) and its axes are \('layer', "),
        ({"total": torch.zeros(1)}, r"Grid\.total has shape \(1,\)"),
        ({"layer": torch.zeros(2)}, r"Grid\.layer has dtype float32 and should be Int"),
        ({"effect": np.zeros((2, 3))}, r"Grid\.effect is a ndarray"),
        ({"effect": [[1.0]]}, r"Grid\.effect is a list"),
    ],
)
def test_an_array_that_disagrees_is_named_with_both_sides(changes, told):
    with pytest.raises(ResultError, match=told):
        grid(**changes)


def test_a_nested_value_must_agree_on_its_axes_too():
    short = Interval(value=torch.ones(3), low=torch.ones(3), high=1.0)
    with pytest.raises(
        ResultError, match=r"heal\.value has 2 along 'part' and \.harm\.value has 3"
    ):
        parts(harm=short)


def test_replacing_a_field_checks_again():
    with pytest.raises(ResultError, match="mean"):
        replace(grid(), mean=torch.zeros(5))


@pytest.mark.parametrize(
    "axes", ["layer 3", "layer ...", "*batch layer", "_ layer", "layer layer+1", "layer layer"]
)
def test_an_axis_that_cannot_name_a_column_is_refused(axes):
    @dataclass(frozen=True, eq=False, kw_only=True)
    class Odd(Result):
        effect: Float[Tensor, axes]

    with pytest.raises(ResultError, match=re.escape(axes)):
        Odd.axes()


def test_a_field_named_like_an_axis_that_it_does_not_label_is_refused():
    @dataclass(frozen=True, eq=False, kw_only=True)
    class Clash(Result):
        effect: Float[Tensor, " layer"]
        layer: int

    with pytest.raises(ResultError, match="named like the axis 'layer'"):
        Clash(effect=torch.ones(2), layer=1)


def test_a_field_that_hides_a_method_is_refused_when_the_class_is_made():
    with pytest.raises(TypeError, match="save hides"):

        @dataclass(frozen=True, eq=False, kw_only=True)
        class Hides(Result):
            save: str  # pyright: ignore[reportIncompatibleMethodOverride]


def test_complex_values_are_refused_as_tables_cannot_hold_them():
    from jaxtyping import Complex

    @dataclass(frozen=True, eq=False, kw_only=True)
    class Waves(Result):
        wave: Complex[Tensor, " layer"]

    with pytest.raises(ResultError, match="complex64"):
        Waves(wave=torch.zeros(2, dtype=torch.complex64))


def test_the_string_under_a_field_describes_it():
    told = Grid.describe()
    assert told["effect"] == "Share of the gap, 0 none, 1 all."
    assert told["provenance"].startswith("Models, versions")
    assert "low" not in told


def test_a_class_without_source_has_results_all_the_same():
    space = {"Result": Result, "dataclass": dataclass, "Float": Float, "Tensor": Tensor}
    exec(
        "@dataclass(frozen=True, eq=False, kw_only=True)\n"
        "class Typed(Result):\n    effect: Float[Tensor, ' layer']\n",
        space,
    )
    made = space["Typed"](effect=torch.ones(2))
    assert set(made.describe()) <= {"provenance"}
    assert len(made.to_frame()) == 2


def test_the_repr_names_axes_and_sizes_but_no_numbers():
    made = grid(provenance=Provenance(seed=0))
    assert repr(made) == (
        "<Grid effect[layer 2, pos 3] mean[layer 2] layer[layer 2] low[pos 3, layer 2] total[]: "
        "Effect of each layer at each position.>"
    )


def test_the_html_shows_hostile_text_as_text():
    made = grid(pos=("<script>alert(1)</script>", '"><img src=x>', "\ud800"), host="<b onload='x'>")
    page = made._repr_html_()
    page.encode("utf-8")
    assert not re.search(r"<(script|img|b )", page)
    assert "&lt;script&gt;" in page
    assert "Share of the gap" in page
    assert "6 of 6 rows" in page


def test_the_html_of_a_long_table_is_short():
    made = grid(effect=torch.zeros(2, 5000), pos=tuple(map(str, range(5000))), low=None)
    page = made._repr_html_()
    assert "8 of 10000 rows" in page
    assert len(page) < 5000


def test_a_result_without_a_figure_says_what_to_plot():
    with pytest.raises(ResultError, match="no figure.*layer, pos, effect"):
        grid().figure()
