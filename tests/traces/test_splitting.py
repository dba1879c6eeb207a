"""Where a thought ends: before the lead-in and the words that only lead to it."""

import pytest

from elicit.tasks import Problem
from elicit.texts import AnswerForm
from elicit.traces.splitting import split_answer

PENCILS = Problem(id="1", prompt="How many pencils?", answer="18")
FORM = AnswerForm(lead_in="The answer is")


@pytest.mark.parametrize(
    ("text", "thought", "answer"),
    [
        ("He has 9 * 2 = 18 pencils. So the answer is 18.", "He has 9 * 2 = 18 pencils.", "18"),
        ("9 * 2 = 18.\nTherefore, the answer is 18.", "9 * 2 = 18.", "18"),
        ("He has 18 pencils and the answer is 18.", "He has 18 pencils and", "18"),
        ("So the answer is 18.", "", "18"),
        ("9 * 2 = 18. The answers are many.", "9 * 2 = 18. The answers are many.", None),
    ],
)
def test_a_lead_in_is_found_in_any_case_with_the_words_that_lead_to_it(text, thought, answer):
    assert split_answer(text, PENCILS, FORM) == (thought, answer)


@pytest.mark.parametrize("candidates", [None, ("18", "24")])
def test_an_answer_with_its_unit_glued_on_is_the_answer(candidates):
    problem = Problem(id="1", prompt="How heavy?", answer="24", candidates=candidates)
    text = "3 boxes of 8 kg make 24kg. The answer is 24kg."
    assert split_answer(text, problem, FORM) == ("3 boxes of 8 kg make 24kg.", "24")
