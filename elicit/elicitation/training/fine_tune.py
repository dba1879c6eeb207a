"""Supervised fine-tuning, with what each document tells the model in bits."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from elicit import fitting
from elicit.elicitation.training._course import Course, output_norms
from elicit.elicitation.training._finished import Told, finished, origin_of
from elicit.elicitation.training._parametrised import Parametrised, size_of
from elicit.elicitation.training._reading import Row, TextReader
from elicit.elicitation.training._ways import parametrised
from elicit.elicitation.training.documents import Documents
from elicit.elicitation.training.errors import TrainingError
from elicit.elicitation.training.plans import FineTunePlan, Trainable
from elicit.elicitation.training.trained import Trained
from elicit.pair import Side, hugging_face_model
from elicit.runs import Execution
from elicit.tasks import Task

MEASURES = ("loss", "bits", "gradient norm", "tokens", "flops")
"""Of each update: nats a token of the targets, before the update; code length of the targets that
are read for the first time, bits; norm of the gradient before it is clipped; tokens read;
operations."""


def fine_tune(
    side: Side,
    documents: Documents,
    *,
    choose: Task | None = None,
    trainable: Trainable = "all",
    plan: FineTunePlan = FineTunePlan(),
    seed: int = 0,
    execution: Execution = Execution(),
) -> Trained:
    """Train a model to continue prompts with given targets; the model is left as it was.

    The targets are coded as they come: each costs -log2 of its probability under the model before
    the update that learns from it. Their sum (the prequential code length) bounds from above what
    the documents told; a document that comes again tells nothing new.

    Args:
        side: The model.
        documents: What is learned.
        choose: Problems on which the number of updates is chosen; None takes all updates.
        trainable: What is trained.
        plan: Sizes, rates, budget, and how problems to choose on are answered.
        seed: Of the order of documents and of whatever is drawn.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        TrainingError: A document does not fit the model, or the budget is below one update.

    Source: Dawid 1984 (prequential code); AdamW with a linear warm-up, then a constant rate.
    """
    rows = _encoded(side, documents, templated=plan.generation.templated)
    told = Told(
        side=side,
        method=f"fine-tuning, {documents.name}",
        trainable=trainable,
        sees=documents.sees,
        seed=seed,
        tasks=() if choose is None else (choose,),
        plan=plan,
        data=documents.digest,
    )
    if plan.backend == "trl":
        from elicit.elicitation.training._trl import tune_by_trl

        return tune_by_trl(told, rows, choose=choose, execution=execution)
    execution = execution.scoped(f"tune-{origin_of(told)}")
    norms = output_norms(side, [row.prompt for row in rows], execution)
    trained = parametrised(side.bridge, trainable, norms=norms, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    order = fitting.in_epochs(
        lambda: torch.randperm(len(rows), generator=generator).tolist(), plan.steps * plan.batch
    )
    longest = max(sum(sorted((len(r.prompt) + len(r.text) for r in rows), reverse=True)[:1]), 1)
    if plan.budget is not None and plan.budget < longest:
        raise TrainingError(
            f"the budget is {plan.budget} tokens and one document has {longest}, so nothing would "
            "be trained. Raise the budget."
        )
    updates = _Updates(side=side, rows=rows, order=order, plan=plan, execution=execution)
    with trained.installed():
        course = Course(
            side=side,
            trained=trained,
            choose=choose,
            generation=plan.generation,
            stop=lambda measured: _stop(plan, measured),
            stop_right=plan.stop_right,
            check=lambda _: None,
            execution=execution,
            steps=plan.steps,
        )
        measured = fitting.fit(
            torch.optim.AdamW(trained.leaves, betas=(0.9, 0.98), weight_decay=0.0),
            lambda number: updates.step(number, trained),
            steps=plan.steps,
            rate=lambda number: plan.rate(trainable) * min(1.0, (number + 1) / plan.warm_up),
            label=f"{told.method}, {trainable}",
            every=plan.every,
            watch=course,
            execution=execution,
        )
    return finished(told, course, measured, MEASURES)


@dataclass(frozen=True, kw_only=True)
class _Updates:
    """The updates of a training, by number."""

    side: Side
    rows: list[Row]
    order: list[int]
    plan: FineTunePlan
    execution: Execution

    def step(self, number: int, trained: Parametrised) -> Float[Tensor, " measure"]:
        """Read a batch of documents and leave their gradient; what was measured."""
        trained.refresh()
        size = self.plan.batch
        places = self.order[number * size : (number + 1) * size]
        known = set(self.order[: number * size])
        n_target = sum(len(self.rows[i].text) for i in places)
        batch = [
            Row(prompt=self.rows[i].prompt, text=self.rows[i].text, weight=1 / n_target)
            for i in places
        ]
        reader = TextReader(
            hugging_face_model(self.side.bridge),
            self.side.alignment,
            max_tokens=self.execution.max_tokens,
            memory=self.execution.memory,
        )
        read = reader.read(batch)
        trained.pull()
        norm = torch.nn.utils.clip_grad_norm_(trained.leaves, self.plan.clip_norm)
        new = [n for n, i in enumerate(places) if i not in known and i not in places[:n]]
        values = {
            "loss": -read.log_prob.sum().item() / n_target,
            "bits": -read.log_prob[new].sum().item() / math.log(2),
            "gradient norm": float(norm),
            "tokens": float(sum(len(row.prompt) + len(row.text) for row in batch)),
            "flops": float(6 * size_of(self.side.bridge) * read.n_moved),
        }
        return torch.tensor([values[name] for name in MEASURES], dtype=torch.float64)


def within_positions(side: Side, documents: Documents, *, templated: bool = False) -> Documents:
    """The documents that fit a model's positions; longer ones are left out.

    Args:
        side: The model.
        documents: Documents of any length.
        templated: Whether prompts go through the chat template.

    Raises:
        TrainingError: None fits.
    """
    limit = side.n_positions
    if limit is None:
        return documents
    kept = tuple(
        document
        for document in documents.documents
        if len(side.alignment.continued(document.prompt, document.target, templated=templated).ids)
        < limit
    )
    return replace(documents, documents=kept)


def _encoded(side: Side, documents: Documents, *, templated: bool) -> list[Row]:
    """Token ids of every document, the token that ends a text included."""
    alignment, limit = side.alignment, side.n_positions
    own = alignment.tokenizer.eos_token_id
    end = own if own in side.stop_ids else side.stop_ids[0]
    rows: list[Row] = []
    for document in documents.documents:
        found = alignment.continued(document.prompt, document.target, templated=templated)
        n_tokens = len(found.ids) + 1
        fits = limit is None or n_tokens <= limit
        strange = alignment.unknown(f"{document.prompt} {document.target}", templated=templated)
        if not (fits and found.start and found.written) or strange:
            what = (
                f"has {n_tokens} tokens and the model {limit} positions"
                if not fits
                else "has words that the tokenizer does not know"
                if strange
                else "adds no token to its prompt, or has no token before its target"
            )
            raise TrainingError(
                f"document {document.id!r} of {documents.name!r} {what}, so the model could not "
                "learn it. Leave it out, or write it otherwise."
            )
        rows.append(Row(prompt=found.prompt, text=(*found.written, end), weight=1.0))
    return rows


def _stop(plan: FineTunePlan, measured: Float[Tensor, "step measure"]) -> str:
    """Why training ends after these updates; empty where it goes on."""
    tokens = measured[:, MEASURES.index("tokens")]
    over = plan.budget is not None and float(tokens.sum() + tokens[-1]) > plan.budget
    return "budget" if over else ""
