"""Where tokens stand in a written thought."""

from elicit.organisms.catalog import resolve
from elicit.tasks import load_task
from elicit.texts import AnswerForm, StepRule
from elicit.traces import given_thoughts, ledger


def test_every_token_ends_where_its_own_text_does(organism):
    pair = organism("rl")
    task = load_task(resolve("organism:rl").problems).subset(4, 0)
    form = AnswerForm(lead_in="answer")
    found = ledger(pair, given_thoughts(task, form), form=form, steps=StepRule.parse("marker:;"))
    for thought, text in enumerate(found.text):
        tokens = found.tokens_of(thought)
        ends = found.token_char[tokens].tolist()
        cut = [text[a:b].strip() for a, b in zip([0, *ends], ends, strict=False)]
        ids = found.token_id[tokens].tolist()
        assert cut == [pair.alignment.decode([i]).strip() for i in ids]
        assert ends[-1] == len(text)
