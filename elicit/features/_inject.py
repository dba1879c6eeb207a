"""Token injection into texts: forms, a feature's top tokens, and control tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from elicit.features._reading import Rows
from elicit.features.activations import TopActivations
from elicit.features.errors import FeatureError

Form = Literal["prepend", "append", "intersperse", "replace", "bigram", "trigram"]
FORMS: tuple[Form, ...] = get_args(Form)
Gram = tuple[int, ...]
_GRAM = {"bigram": 2, "trigram": 3}


@dataclass(frozen=True, kw_only=True)
class Injection:
    """Options of token injection.

    Raises:
        FeatureError: No token would be injected.
    """

    n_tokens: int = 3
    """Tokens injected into each text; of bigrams and trigrams one fewer, at least one."""
    seed: int = 0
    """Seed of the positions and of the control's tokens."""

    def __post_init__(self) -> None:
        """Refuse an injection of nothing."""
        if self.n_tokens < 1:
            raise FeatureError(
                f"n_tokens is {self.n_tokens}, so nothing would be injected. Pass 1 or more."
            )

    def n_grams(self, form: Form) -> int:
        """Number of tokens, bigrams or trigrams that a form injects."""
        return max(self.n_tokens - 1, 1) if form in _GRAM else self.n_tokens


def inject(
    row: Sequence[int],
    tokens: Sequence[Gram],
    form: Form,
    *,
    special: frozenset[int],
    rng: np.random.Generator,
) -> list[int]:
    """Text with tokens injected; a special token at its start stays there.

    `tokens`: tokens, or runs of tokens, each injected once, in this order. `form`: `prepend` and
    `append` put all at one end, `intersperse` spreads them evenly, `replace` overwrites others,
    `bigram` and `trigram` insert runs at random positions.
    """
    lead = 1 if row and row[0] in special else 0
    head, body = list(row[:lead]), list(row[lead:])
    flat = [i for gram in tokens for i in gram]
    if form == "prepend":
        return [*head, *flat, *body]
    if form == "append":
        return [*head, *body, *flat]
    if form == "replace":
        positions = rng.permutation(len(body))[: len(flat)]
        for position, token in zip(positions, flat, strict=False):
            body[int(position)] = token
        return head + body
    if form == "intersperse":
        gaps = [round((i + 1) * len(body) / (len(tokens) + 1)) for i in range(len(tokens))]
    else:
        gaps = sorted(int(i) for i in rng.integers(0, len(body) + 1, len(tokens)))
    # From the end: earlier insertions would shift later gaps.
    for gap, gram in sorted(zip(gaps, tokens, strict=True), key=lambda at: at[0], reverse=True):
        body[gap:gap] = gram
    return head + body


def top_grams(
    top: TopActivations, texts: Rows, i: int, injection: Injection
) -> dict[Form, list[Gram]]:
    """Tokens and n-grams injected for one feature, by form."""
    single: list[Gram] = [(int(t),) for t in top.token[i].tolist() if t >= 0]
    pools: dict[Form, list[Gram]] = {form: single[: injection.n_tokens] for form in FORMS}
    for form in FORMS:
        if form not in _GRAM:
            continue
        grams: list[Gram] = []
        for value, index in zip(top.value[i].tolist(), top.index[i].tolist(), strict=True):
            row, pos = texts.rows[int(texts.row[index])], int(texts.pos[index])
            gram = tuple(row[pos - 1 : pos - 1 + _GRAM[form]])
            if value > 0 and gram not in grams:
                grams.append(gram)
        pools[form] = grams[: injection.n_grams(form)]
    return pools


def drawn_grams(without: Rows, injection: Injection) -> dict[Form, list[Gram]]:
    """Control tokens and n-grams, drawn from the texts without reasoning."""
    rng = np.random.default_rng([injection.seed, 1])
    counted = without.counted.nonzero()[:, 0].numpy()
    ids = without.ids.tolist()

    def drawn(size: int) -> Gram:
        return tuple(ids[int(i)] for i in rng.choice(counted, size))

    return {
        form: [drawn(_GRAM.get(form, 1)) for _ in range(injection.n_grams(form))] for form in FORMS
    }
