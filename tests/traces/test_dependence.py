"""Whether answers follow altered thoughts: planted pairs, laws, and the edits themselves."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.spatial.distance import jensenshannon

from elicit.tasks import Problem
from elicit.traces import (
    Altered,
    Case,
    Filler,
    OperandsSwapped,
    OtherThought,
    Place,
    ResultChanged,
    Thought,
    TraceError,
    dependence,
)
from elicit.traces._dependence_metrics import _area, _bernoulli_jsd
from elicit.traces.stating import conclusion_place, other_value, result_spans, value_spans
from tests.traces.made import FORM, case

DIGITS = tuple("0123456789")


def thought(text: str, answer: str = "7", candidates=DIGITS) -> Thought:
    problem = Problem(id="p", prompt="Q a = 3 ;", answer=answer, candidates=candidates)
    return Thought(problem=problem, text=text, answer=answer)


def ends(text: str) -> list[int]:
    return [i + 1 for i, c in enumerate(text) if c == ";"]


def test_a_conclusion_is_changed_where_it_is_stated_and_the_text_ends_there():
    text = "so b = 3 + 4 = 7 ; check b = 3 + 4 = 7 ok ;"
    item = thought(text)
    place = conclusion_place(item, ends(text), DIGITS)
    assert place == Place(start=0, end=18, value="7")
    made = ResultChanged()(case(item, place, DIGITS, (), np.random.default_rng(0)))
    assert made is not None and made.answer not in (None, "7")
    assert made.text == f"so b = 3 + 4 = {made.answer} ;"
    whole = ResultChanged(cut_at_conclusion=False)(
        case(item, place, DIGITS, (), np.random.default_rng(0))
    )
    assert whole is not None
    assert whole.text == text.replace("= 7", f"= {whole.answer}")


def test_a_value_that_occurs_by_chance_before_is_no_conclusion():
    text = "so b = 3 + 4 = 7 ; so c = 7 + 2 = 9 ; so d = 9 + 8 = 7 ;"
    place = conclusion_place(thought(text), ends(text), DIGITS)
    assert place is not None and text[place.start : place.end].strip() == "so d = 9 + 8 = 7 ;"


def test_checks_of_earlier_steps_may_follow_a_conclusion():
    text = "so b = 3 + 4 = 7 ; so c = 7 + 2 = 9 ; check b = 3 + 4 = 7 ok ;"
    place = conclusion_place(thought(text, "9"), ends(text), DIGITS)
    assert place is not None and text[place.start : place.end].strip() == "so c = 7 + 2 = 9 ;"


def test_an_operand_is_not_a_result():
    text = "so y = 7 + 0 = 7 ;"
    assert result_spans(text, "7", 0, len(text)) == [(15, 16)]
    text = "She makes 9 * 2 = $<<9*2=18>>18 every day."
    spans = result_spans(text, "18", 0, len(text))
    assert [text[a:b] for a, b in spans] == ["18", "18"]
    assert value_spans("It costs 1,200 dollars, not 12.", "1200") == [(9, 14)]


def test_words_are_changed_as_words():
    item = thought("The capital is Paris. So Paris it is.", "Paris", ("Paris", "Rome"))
    place = conclusion_place(item, [21, 37], ("Paris", "Rome"))
    assert place is not None
    made = ResultChanged()(case(item, place, ("Paris", "Rome"), (), np.random.default_rng(0)))
    assert made is not None and made.answer == "Rome" and "Rome" in made.text


def test_a_changed_value_is_neither_right_nor_the_thought_s_own_and_new_where_it_can_be():
    random = np.random.default_rng(1)
    item = thought("so b = 3 + 4 = 7 ;")
    for _ in range(50):
        drawn = other_value(item, "7", DIGITS, random)
        assert drawn not in ("7", "3", "4")
    free = Thought(
        problem=Problem(id="p", prompt="How many?", answer="1,200"),
        text="It is 1,200.",
        answer="1,200",
    )
    drawn = other_value(free, "1,200", ("1,200",), random)
    assert drawn is not None and 1191 <= int(drawn.replace(",", "")) <= 1209 and "," in drawn


def test_a_thought_that_does_not_state_its_answer_has_no_conclusion():
    text = "so b = 3 + 4 ;"
    assert conclusion_place(thought(text), ends(text), DIGITS) is None


def test_swapped_operands_mean_the_same_and_filler_has_the_length_of_the_thought():
    item = thought("so b = 3 + 4 = 7 ; so c = 7 - 2 = 5 ;")
    place = Place(start=0, end=18, value="7")
    random = np.random.default_rng(0)
    swapped = OperandsSwapped()(case(item, place, DIGITS, (), random))
    assert swapped is not None and swapped.text == "so b = 4 + 3 = 7 ; so c = 7 - 2 = 5 ;"
    filler = Filler()(case(item, place, DIGITS, (), random))
    assert filler is not None and len(filler.text.split()) == len(item.text.split())
    none = OperandsSwapped()(case(thought("so c = 7 - 2 = 5 ;"), place, DIGITS, (), random))
    assert none is None


def test_another_thought_has_another_answer():
    item = thought("so b = 3 + 4 = 7 ;")
    alike = Thought(problem=Problem(id="q", prompt="x", answer="7"), text="same", answer="7")
    other = Thought(problem=Problem(id="r", prompt="x", answer="2"), text="other", answer="2")
    place = Place(start=0, end=18, value="7")
    made = OtherThought()(case(item, place, DIGITS, (item, alike, other), np.random.default_rng(0)))
    assert made is not None and made.text == "other" and made.answer == "2"
    assert (
        OtherThought()(case(item, place, DIGITS, (item, alike), np.random.default_rng(0))) is None
    )


def test_cir_and_early_answering_are_those_of_scipy(read_given):
    made = read_given("rl")
    for curve in list(made.readings.base.curves())[:10]:
        final = curve.share[:, curve.final]
        q = float(final[-1])
        expected = [
            jensenshannon([float(p), 1 - float(p)], [q, 1 - q], base=2) ** 2 for p in final[:-1]
        ]
        found = _bernoulli_jsd(final[:-1], final[-1])
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-9)
        agrees = (curve.answer == curve.final).double().numpy()
        at = curve.at.double().numpy() / float(curve.at[-1])
        assert abs(_area(curve) - (1 - trapezoid(agrees, at))) < 1e-12


@dataclass(frozen=True)
class Named:
    """An alteration of somebody's own: the answer written out, or nothing changed."""

    name: str
    answer: str | None

    def __call__(self, case: Case) -> Altered | None:
        text = case.thought.text
        return Altered(
            text=text if self.answer is None else f"so a = 1 + 2 = {self.answer} ;",
            answer=self.answer,
        )


@pytest.mark.slow(checked=True)
def test_an_alteration_of_one_s_own_is_measured_under_its_name(read_given):
    made = read_given("rl", 8)
    ways = [Named("a three", "3"), Named("nothing", None)]
    found = dependence(made.pair, made.readings, form=FORM, alterations=ways)
    assert float(found.of("after a three").mean()) >= 0.9
    assert float(found.of("after nothing").min()) == 1
    none = found.of("same when operands are swapped")
    assert bool(none.isnan().all())  # not among those asked for


def test_two_alterations_of_one_name_are_refused(read_given):
    made = read_given("rl", 8)
    with pytest.raises(TraceError) as caught:
        dependence(
            made.pair, made.readings, form=FORM, alterations=[Filler(), Named("filler", "3")]
        )
    assert "'filler'" in str(caught.value)
