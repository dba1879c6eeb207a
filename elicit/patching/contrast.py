"""Contrasts: prompts that differ in one respect, with the answers that reveal the difference."""

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
from elicit.results import digest_json, visible, visible_token
from elicit.tasks import Task, shown

_HTML_ROWS = 4


@dataclass(frozen=True, kw_only=True, repr=False)
class Contrast:
    """Clean and corrupted prompts with right and wrong continuations: the input of a sweep.

    Raises:
        PatchError: Prompts of a problem differ in length, are equal, or have equal answers; names
            all such problems.
    """

    clean: Rows
    """Token ids of each problem's prompt."""
    corrupted: Rows | None
    """Token ids of the corrupted prompt; None for sweeps across two models."""
    answer: Rows
    """Token ids of the right continuation of the clean prompt."""
    wrong: Rows | None
    """Token ids of the wrong continuation."""
    id: tuple[str, ...]
    """Name of each problem."""
    words: tuple[tuple[str, ...], ...]
    """Text of each token of each clean prompt, for labels."""

    def __post_init__(self) -> None:
        """Validate prompts and continuations."""
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
        """Contrast of texts. Prompt, space and answer are tokenised together.

        Args:
            alignment: Tokenisation of the pair.
            clean: Prompt of each problem; a conversation is allowed where `templated`.
            answer: Right continuation of each clean prompt, without surrounding white space.
            corrupted: Corrupted prompt of each problem, with the same number of tokens.
            wrong: Wrong continuation.
            id: Name of each problem; None numbers them from 0.
            templated: Whether prompts go through the chat template; the continuation then begins
                the assistant's turn.

        Raises:
            PatchError: A prompt cannot be encoded or differs in length from its counterpart, or a
                continuation changes the tokens of its prompt.
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
        """Contrast of texts from `read_lines`.

        Args:
            alignment: Tokenisation of the pair.
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
            words=tuple(
                tuple(visible_token(alignment.decode([i])) for i in row) for row in columns["clean"]
            ),
        )

    @classmethod
    def from_pairs(cls, alignment: Alignment, pairs: TextPairs) -> "Contrast":
        """Contrast of texts in the language of the organisms; see `elicit.organisms`.

        Args:
            alignment: Tokenisation of the pair.
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

        Unless every problem has candidates, there are no wrong continuations and no `logit_diff`.

        Args:
            alignment: Tokenisation of the pair.
            task: Prompts and answers.
            corrupted: Corrupted prompt of each problem; None for sweeps across two models.
            templated: Whether prompts go through the chat template.

        Raises:
            PatchError: See `from_texts`.
        """
        choices = all(problem.candidates is not None for problem in task)
        return cls.from_texts(
            alignment,
            clean=[problem.turns for problem in task],
            answer=[problem.answer for problem in task],
            corrupted=corrupted,
            wrong=[first_other(p.candidates or (), p.answer) for p in task] if choices else None,
            id=[problem.id for problem in task],
            templated=templated,
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of ids and tokens in order, excluding label texts."""
        names = [item.name for item in fields(self) if item.name != "words"]
        return digest_json({name: getattr(self, name) for name in names})

    def __len__(self) -> int:
        """Number of problems."""
        return len(self.clean)

    def check(self, d_vocab: int) -> None:
        """Refuse token ids outside the vocabulary.

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
        """Random subset of problems in their original order, nested in larger subsets.

        Args:
            n: Problems to draw, 1 to len(contrast).
            seed: Any integer; the draw depends only on it and the ids.

        Raises:
            PatchError: `n` is out of range.
        """
        if not 1 <= n <= len(self):
            raise PatchError(
                f"a subset of {n} was requested of a contrast with {len(self)} problems. "
                f"Pass 1 to {len(self)}."
            )
        lots = [digest_json([seed, name]) for name in self.id]
        kept = sorted(sorted(range(len(self)), key=lots.__getitem__)[:n])
        columns = {item.name: getattr(self, item.name) for item in fields(self)}
        return Contrast(
            **{name: c and tuple(c[place] for place in kept) for name, c in columns.items()}
        )

    def __repr__(self) -> str:
        """Size and kind in one line, without tokens."""
        lengths = {len(row) for row in self.clean}
        span = f"{min(lengths)}" if len(lengths) == 1 else f"{min(lengths)} to {max(lengths)}"
        kind = "clean prompts only" if self.corrupted is None else "clean and corrupted prompts"
        return f"<Contrast {len(self)} problems, {kind} of {span} tokens, {self.digest[:12]}>"

    def _repr_html_(self) -> str:
        """The first problems with replaced tokens in bold; text is escaped."""
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
    """Read a contrast file; errors list every invalid line.

    Each line is a JSON object with `prompt` (or `clean`), `answer`, and, in all lines or
    none, `corrupted` and `wrong`; `id` is its line number if left out. Whatever `load_task` reads
    works too: `candidates` give the wrong continuation.

    Args:
        path: See `elicit.tasks.load_task`.
        alignment: Tokenisation of the pair.
        templated: Whether prompts go through the chat template.

    Raises:
        PatchError: The file cannot be read, has no problem, or has invalid lines; all are named.
    """
    return Contrast.encoded(alignment, read_lines(Path(path)), templated=templated)


def single_token(contrast: Contrast, metric: str) -> None:
    """Refuse a logit difference between continuations that are not one token each.

    `metric`: name of a metric; all but `logit_diff` read whole continuations.

    Raises:
        PatchError: The metric is unknown, or `logit_diff` and continuations not of one token.
    """
    check_metrics([metric])
    if metric != "logit_diff":
        return
    if contrast.wrong is None:
        raise PatchError(
            "logit_diff is the answer's logit minus that of a wrong token, and the contrast has "
            "no wrong continuations. Add them, or use log_prob."
        )
    for name, rows in (("answer", contrast.answer), ("wrong", contrast.wrong)):
        for problem, row in zip(contrast.id, rows, strict=True):
            if len(row) != 1:
                raise PatchError(
                    f"logit_diff reads one token, and {name} of problem {shown(problem)} has "
                    f"{len(row)} (ids {list(row)}), so the difference would compare only "
                    "their first tokens. Use log_prob, which reads all tokens, or shorter answers."
                )


def _escaped(text: str) -> str:
    return html.escape(visible(text))
