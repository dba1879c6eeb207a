"""Fine-tuning and its documents: what is learned, what it tells in bits, what is refused."""

import math
import operator
from dataclasses import replace

import pytest
import torch

from elicit import organisms
from elicit.elicitation import (
    Document,
    Documents,
    ExampleRates,
    FineTunePlan,
    OwnCritic,
    Reversed,
    RuleCritic,
    SearchStep,
    TrainingError,
    answer_documents,
    critiques,
    example_rates,
    fine_tune,
    reverse_documents,
    search_documents,
    solutions_of,
    trace_documents,
)
from elicit.organisms import read_chain
from elicit.pair import hugging_face_model, weights_digest
from elicit.tasks import Problem, Task
from tests.elicitation.chains import ANSWERS, chains

PLAN = FineTunePlan(steps=2, batch=3, every=1, generation=replace(ANSWERS, max_new_tokens=4))
ORACLE = RuleCritic(rule=lambda problem, solution: organisms.critique(problem.prompt, solution))


@pytest.fixture(scope="module")
def side(organism):
    return organism("rl").side("base")


def test_an_untouched_models_code_length_is_that_of_its_own_probabilities(side):
    documents = trace_documents(chains(3, 1))
    digest = weights_digest(side.bridge)
    found = fine_tune(side, documents, plan=replace(PLAN, steps=1))
    bits = 0.0
    for document in documents.documents:
        ids = side.alignment.plain(f"{document.prompt} {document.target}") + [2]
        begin = len(side.alignment.plain(document.prompt))
        with torch.no_grad():
            logits = hugging_face_model(side.bridge)(input_ids=torch.tensor([ids])).logits[0]
        said = logits.double().log_softmax(-1)[begin - 1 : -1]
        bits -= said.gather(-1, torch.tensor(ids[begin:])[:, None]).sum().item() / math.log(2)
    assert found.bits == pytest.approx(bits, rel=1e-5) and found.sees == "teacher"
    assert weights_digest(side.bridge) == digest


def test_a_document_that_comes_again_tells_nothing_new(side):
    found = fine_tune(side, answer_documents(chains(3, 1)), plan=replace(PLAN, steps=3))
    bits = found.of("bits")
    assert bits[0] > 0 and not bool(bits[1:].any())
    assert bool((found.of("loss")[1:] < found.of("loss")[:-1]).all())


def test_the_same_seed_learns_the_same_bytes(side):
    one, other = (fine_tune(side, answer_documents(chains(5, 1)), plan=PLAN) for _ in range(2))
    assert torch.equal(one.curve, other.curve)
    assert all(torch.equal(v, other.parameters[k]) for k, v in one.parameters.items())


def test_documents_hold_answers_or_solutions():
    task = chains(2, 1)
    first = task.problems[0]
    assert answer_documents(task).documents[0].target == f"answer {first.answer} ."
    assert trace_documents(task).documents[0].target == f"{first.trace} answer {first.answer} ."
    assert (answer_documents(task).sees, trace_documents(task).sees) == ("answers", "teacher")
    bare = Task(name="bare", problems=(replace(first, trace=None),))
    with pytest.raises(TrainingError, match=first.id):
        trace_documents(bare)
    with pytest.raises(TrainingError, match="'answer'"):
        answer_documents(task, form="answer")


def test_a_backward_question_undoes_the_steps():
    task = chains(6, 1)

    def reverse(problem):
        question, solution = organisms.backward_question(read_chain(problem.prompt))
        return Reversed(question=question, solution=solution)

    documents = reverse_documents(
        task, reverse, asks=lambda problem, question: (f"{problem.prompt} ?", question)
    ).documents
    assert len(documents) == 18
    for problem, backward in zip(task, documents[1::3], strict=True):
        chain = read_chain(problem.prompt)
        assert f"answer {chain.start} ." in backward.target
        assert str(chain.start) not in backward.prompt.split(" ; ")[0]
        for part in backward.target.split(" ; ")[:-1]:
            left, right = part.rsplit(" = ", 1)
            value, op, operand = left.split(" = ")[1].split()
            worked = {"+": operator.add, "-": operator.sub, "*": operator.mul}[op]
            assert worked(int(value), int(operand)) % 10 == int(right)


def test_a_messy_search_keeps_what_failed_and_a_clean_one_does_not():
    task = Task(name="t", problems=(Problem(id="a", prompt="x ?", answer="2"),))
    steps = [
        SearchStep(text="try 1 no ;", succeeds=False),
        SearchStep(text="try 2 ok ;", succeeds=True),
        SearchStep(text="try 3 no ;", succeeds=False),
    ]
    messy, clean = (
        search_documents(task, lambda _: steps, kind=kind).documents[0].target
        for kind in ("messy", "clean")
    )
    assert messy == "try 1 no ; try 2 ok ; answer 2 ." and clean == "try 2 ok ; answer 2 ."
    with pytest.raises(TrainingError, match="'a'"):
        search_documents(task, lambda _: steps[:1])


def test_the_oracle_criticises_what_is_written():
    prompt = "Q a = 3 ; b = a + 4 ; b ? A"
    right, wrong = "so b = 3 + 4 = 7 ; answer 7 .", "so b = 3 + 4 = 8 ; answer 8 ."
    assert organisms.critique(prompt, right) == (
        "check b = 3 + 4 = 7 ok ; answer 7 .",
        "check ok .",
    )
    assert organisms.critique(prompt, wrong)[0] == "check b = 3 + 4 = 7 no ; answer 7 ."
    assert organisms.critique(prompt, "answer 7 .")[0].startswith("check b = 3 + 4 = 7 ok")
    assert organisms.critique(prompt, "answer 8 .")[1] == "check no ."


@pytest.fixture(scope="module")
def solutions(side):
    how = replace(ANSWERS, temperature=1.0, n_samples=3, max_new_tokens=12)
    return solutions_of(side, chains(4, 1), generation=how)


def test_critiques_of_a_kind_hold_what_the_kind_says(side, solutions):
    task = chains(4, 1)
    full = critiques(task, solutions, ORACLE)
    assert len(full) == 12 and full.sees == "teacher"
    for document, text in zip(full.documents, solutions.text, strict=True):
        assert document.prompt.endswith(text) and document.target.startswith("check ")
    verdicts = critiques(task, solutions, ORACLE, kind="verdict")
    assert {d.target for d in verdicts.documents} <= {"check ok .", "check no ."}
    shuffled = critiques(task, solutions, ORACLE, kind="shuffled", seed=3)
    targets = [d.target for d in shuffled.documents]
    assert sorted(targets) == sorted(d.target for d in full.documents)
    assert [d.prompt for d in shuffled.documents] == [d.prompt for d in full.documents]
    own = OwnCritic(side=side, cue="check", generation=replace(ANSWERS, max_new_tokens=6))
    selfs = critiques(task, solutions, own, kind="self")
    assert selfs.sees == "nothing" and all(d.target.startswith("check") for d in selfs.documents)
    for wrong in ((ORACLE, "self"), (own, "full")):
        with pytest.raises(TrainingError, match=wrong[1]):
            critiques(task, solutions, wrong[0], kind=wrong[1])
    with pytest.raises(TrainingError, match=chains(5, 1).digest[:12]):
        critiques(chains(5, 1), solutions, ORACLE)


def test_documents_that_do_not_fit_are_refused(side):
    def of(prompt, target):
        return Documents(
            name="d", sees="nothing", documents=(Document(id="x", prompt=prompt, target=target),)
        )

    with pytest.raises(TrainingError, match="no target"):
        of("Q", " ")
    with pytest.raises(TrainingError, match="does not know"):
        fine_tune(side, of("Q a = 3 ;", "wonderful ."), plan=PLAN)
    with pytest.raises(TrainingError, match="192 positions"):
        fine_tune(side, of("Q " + "a " * 200, "answer 1 ."), plan=PLAN)
    with pytest.raises(TrainingError, match="budget is 3"):
        fine_tune(side, of("Q a = 3 ; a ? A", "answer 3 ."), plan=replace(PLAN, budget=3))
    with pytest.raises(TrainingError, match="two documents"):
        Documents(name="d", sees="nothing", documents=of("Q", "A").documents * 2)


def test_examples_are_picked_by_how_often_a_direct_answer_is_right():
    rates = ExampleRates(
        problem=tuple("abcdefg"),
        right=torch.tensor([0.0, 1.0, 0.5, 0.2, 0.4, 0.3, 0.9]).double(),
        shown=torch.zeros(7).double(),
        right_shown=torch.zeros(7).double(),
        right_direct=torch.tensor([0.0, 1.0, 0.5, 0.2, 0.4, 0.3, 0.9]).double(),
        n_samples=10,
        n_tokens=100,
    )
    assert rates.pick("hard") == ("d", "f", "e") and rates.pick("easy") == ("e", "c", "g")
    assert rates.pick("middle") == ("f", "e", "c")
    with pytest.raises(TrainingError, match="solves 1 in every text already and 1 in none"):
        rates.pick("hard", 6)


def test_direct_and_reasoned_successes_add_up(side):
    found = example_rates(side, chains(3, 2), generation=ANSWERS, n_samples=4)
    assert torch.allclose(found.right, found.right_shown + found.right_direct)
    assert bool((found.right_shown <= found.shown).all())
