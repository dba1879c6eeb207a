"""Contrasts: prompts that differ in one respect, with the answer that tells the difference."""

import html
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

from elicit.organisms import TextPairs
from elicit.pair import Alignment, Text
from elicit.patching._continuations import Rows, Texts, encode, first_other, read_lines, refuse
from elicit.patching.errors import PatchError
from elicit.patching.values import check_metrics
from elicit.results import digest_json
from elicit.results.drawing import visible
from elicit.tasks import Task, shown

_HTML_ROWS = 4


@dataclass(frozen=True, kw_only=True, repr=False)
class Contrast:
    """What a sweep runs on: prompts, their corrupted siblings, and what is read after them.

    Raises:
        PatchError: Prompts of a problem cannot be laid over each other position by position, are
            the same, or have the same answer; all such problems are named.
    """

    clean: Rows
    """Token ids of each problem's prompt."""
    corrupted: Rows | None
    """Token ids of the prompt with something replaced; None where two models read the same one."""
    answer: Rows
    """Token ids of the right continuation of the clean prompt."""
    wrong: Rows | None
    """Token ids of the continuation it is held against."""
    id: tuple[str, ...]
    """Name of each problem."""
    words: tuple[tuple[str, ...], ...]
    """Text of each token of each clean prompt, for labels."""

    def __post_init__(self) -> None:
        """Refuse what could not be contrasted."""
        for name in ("corrupted", "answer", "wrong", "id", "words"):
            rows = getattr(self, name)
            if rows is not None and len(rows) != len(self.clean):
                raise PatchError(
                    f"there are {len(self.clean)} clean prompts and {len(rows)} of {name}, so they "
                    "cannot be paired problem by problem. Pass one for each."
                )
        columns = {name: getattr(self, name) for name in ("clean", "corrupted", "answer", "wrong")}
        refuse(
            [f"problem {shown(name)}" for name in self.id],
            self.id,
            {name: rows for name, rows in columns.items() if rows is not None},
        )

    @classmethod
    def from_texts(
        cls,
        alignment: Alignment,
        *,
        clean: Sequence[Text],
        answer: Sequence[str],
        corrupted: Sequence[Text] | None = None,
        wrong: Sequence[str] | None = None,
        id: Sequence[str] | None = None,
        templated: bool = False,
    ) -> "Contrast":
        """Contrast of texts. A continuation is read as prompt, space and answer, tokenised whole.

        Args:
            alignment: How the pair reads text.
            clean: Prompt of each problem; a conversation is allowed where `templated`.
            answer: Right continuation of each clean prompt, without white space around it.
            corrupted: Prompt of each problem with something replaced, of as many tokens.
            wrong: Continuation that the answer is held against.
            id: Name of each problem; None numbers them from 0.
            templated: Whether prompts go through the chat template; the continuation then begins
                the assistant's turn.

        Raises:
            PatchError: A prompt cannot be read or laid over its sibling, or a continuation changes
                the tokens of its prompt.
        """
        names = tuple(str(n) for n in range(len(clean))) if id is None else tuple(id)
        columns = {"corrupted": corrupted, "answer": answer, "wrong": wrong, "id": names}
        for name, column in columns.items():
            if column is not None and len(column) != len(clean):
                raise PatchError(
                    f"there are {len(clean)} clean prompts and {len(column)} of {name}, so they "
                    "cannot be paired problem by problem. Pass one for each."
                )
        where = [f"problem {shown(name)}" for name in names]
        texts = Texts(
            where=where, id=names, clean=clean, corrupted=corrupted, answer=answer, wrong=wrong
        )
        return cls.encoded(alignment, texts, templated=templated)

    @classmethod
    def encoded(cls, alignment: Alignment, texts: Texts, *, templated: bool = False) -> "Contrast":
        """Contrast of texts as `read_lines` gives them.

        Args:
            alignment: How the pair reads text.
            texts: Prompts and continuations.
            templated: Whether prompts go through the chat template.

        Raises:
            PatchError: See `from_texts`.
        """
        columns = encode(alignment, texts, templated=templated)
        return cls(
            clean=columns["clean"],
            corrupted=columns.get("corrupted"),
            answer=columns["answer"],
            wrong=columns.get("wrong"),
            id=texts.id,
            words=tuple(tuple(alignment.decode([i]) for i in row) for row in columns["clean"]),
        )

    @classmethod
    def from_pairs(cls, alignment: Alignment, pairs: TextPairs) -> "Contrast":
        """Contrast of texts in the language of the organisms; see `elicit.organisms`.

        Args:
            alignment: How the pair reads text.
            pairs: The texts.

        Raises:
            PatchError: There is no prompt, or the tokenizer does not know the language.
        """
        return cls.from_texts(
            alignment,
            clean=pairs.clean,
            corrupted=pairs.corrupted,
            answer=pairs.answer,
            wrong=pairs.wrong,
            id=pairs.id,
        )

    @classmethod
    def from_task(
        cls,
        alignment: Alignment,
        task: Task,
        *,
        corrupted: Sequence[Text] | None = None,
        templated: bool = False,
    ) -> "Contrast":
        """Contrast of a task's problems; the wrong continuation is the first other candidate.

        Without candidates in every problem there is no wrong continuation, so no logit difference.

        Args:
            alignment: How the pair reads text.
            task: Prompts and answers.
            corrupted: Prompt of each problem with something replaced; None for sweeps across two
                models.
            templated: Whether prompts go through the chat template.

        Raises:
            PatchError: See `from_texts`.
        """
        choices = all(problem.candidates is not None for problem in task)
        return cls.from_texts(
            alignment,
            clean=[problem.prompt for problem in task],
            answer=[problem.answer for problem in task],
            corrupted=corrupted,
            wrong=[first_other(p.candidates or (), p.answer) for p in task] if choices else None,
            id=[problem.id for problem in task],
            templated=templated,
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of ids and tokens in their order; the words for labels do not count."""
        names = [item.name for item in fields(self) if item.name != "words"]
        return digest_json({name: getattr(self, name) for name in names})

    def __len__(self) -> int:
        """Number of problems."""
        return len(self.clean)

    def check(self, d_vocab: int) -> None:
        """Refuse token ids that a model has no row for.

        Args:
            d_vocab: Ids the model knows are smaller than this.

        Raises:
            PatchError: An id is out of range; names the problem.
        """
        for name in ("clean", "corrupted", "answer", "wrong"):
            for problem, row in zip(self.id, getattr(self, name) or (), strict=False):
                if max(row) >= d_vocab:
                    raise PatchError(
                        f"problem {shown(problem)}: {name} holds the id {max(row)}, and the models "
                        f"share only ids below {d_vocab}, so one of them cannot read it. Leave "
                        "that problem out, or encode it with this pair's alignment."
                    )

    def subset(self, n: int, seed: int) -> "Contrast":
        """A sample of problems in their old order; a larger one holds every smaller one.

        Args:
            n: Problems to draw, 1 to len(contrast).
            seed: Any integer; with the ids it alone decides which are drawn.

        Raises:
            PatchError: `n` is out of range.
        """
        if not 1 <= n <= len(self):
            raise PatchError(
                f"a subset of {n} was requested of a contrast with {len(self)} problems, so it "
                f"cannot be drawn. Ask for 1 to {len(self)}."
            )
        lots = [digest_json([seed, name]) for name in self.id]
        kept = sorted(sorted(range(len(self)), key=lots.__getitem__)[:n])
        columns = {item.name: getattr(self, item.name) for item in fields(self)}
        return Contrast(
            **{name: c and tuple(c[place] for place in kept) for name, c in columns.items()}
        )

    def __repr__(self) -> str:
        """Size and kind in one line; never the tokens."""
        lengths = {len(row) for row in self.clean}
        span = f"{min(lengths)}" if len(lengths) == 1 else f"{min(lengths)} to {max(lengths)}"
        kind = "clean prompts only" if self.corrupted is None else "clean and corrupted prompts"
        return f"<Contrast {len(self)} problems, {kind} of {span} tokens, {self.digest[:12]}>"

    def _repr_html_(self) -> str:
        """The first problems with what was replaced in bold; text is escaped."""
        rows = []
        for place in range(min(_HTML_ROWS, len(self))):
            clean = self.clean[place]
            other = clean if self.corrupted is None else self.corrupted[place]
            words = [
                f"<b>{_escaped(word)}</b>" if one != two else _escaped(word)
                for word, one, two in zip(self.words[place], clean, other, strict=True)
            ]
            rows.append(f"<tr><th>{_escaped(self.id[place])}</th><td>{' '.join(words)}</td></tr>")
        return f"<p>{_escaped(repr(self))}</p><table>{''.join(rows)}</table>"


def load_contrast(path: str | Path, alignment: Alignment, *, templated: bool = False) -> "Contrast":
    """Read a contrast file, or say what is wrong in every bad line.

    Each line is a JSON object with `id`, `prompt` (or `clean`), `answer`, and in all lines or in
    none `corrupted` and `wrong`. A task file is one too: `candidates` give the wrong continuation.

    Args:
        path: JSONL file in UTF-8.
        alignment: How the pair reads text.
        templated: Whether prompts go through the chat template.

    Raises:
        PatchError: The file cannot be read, holds no problem, or has bad lines; all are named.
    """
    return Contrast.encoded(alignment, read_lines(Path(path)), templated=templated)


def single_token(contrast: Contrast, metric: str) -> None:
    """Refuse a logit difference between continuations that are not one token each.

    Args:
        contrast: What the sweep runs on.
        metric: Name of a metric; all but `logit_diff` read whole continuations.

    Raises:
        PatchError: The metric is unknown, or asks for one token where there are more or none.
    """
    check_metrics([metric])
    if metric != "logit_diff":
        return
    if contrast.wrong is None:
        raise PatchError(
            "logit_diff is the answer's logit minus that of a wrong token, and the contrast has "
            "no wrong continuations. Give it some, or use log_prob."
        )
    for name, rows in (("answer", contrast.answer), ("wrong", contrast.wrong)):
        for problem, row in zip(contrast.id, rows, strict=True):
            if len(row) != 1:
                raise PatchError(
                    f"logit_diff reads one token, and {name} of problem {shown(problem)} has "
                    f"{len(row)} (ids {list(row)}), so the difference would be that of their "
                    "beginnings. Use log_prob, which reads the whole span, or shorter answers."
                )


def _escaped(text: str) -> str:
    return html.escape(visible(text))
