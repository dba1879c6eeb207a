"""Section on token shifts: how far post moved, on how many tokens, and on which."""

from collections.abc import Sequence

from elicit.page import Section, Table, estimate_cell, plot, table_of
from elicit.page.traces.text import level_text
from elicit.results import interval, number, visible
from elicit.traces import Ledger, Shifts

MOST = 8
"""Kinds of forks that are listed for each source of texts."""
_BEFORE, _AFTER = 32, 16
"""Characters of context around a token."""
_WHOSE = {"base": "base’s texts", "post": "post’s texts", "given": "the given thoughts"}


def shifts_section(found: Shifts, n: int, ledgers: Sequence[Ledger]) -> Section:
    """Both divergences side by side, their concentration, and the tokens that moved most.

    Args:
        found: Where predictions differ.
        n: Number of the section.
        ledgers: The texts, for context; empty where they are not at hand.
    """
    caption = (
        "Share of the divergence (upwards) that lies on a share of all tokens. Solid: the most "
        "divergent tokens first; dashed: those at which base is least sure first, an order that "
        "does not look at the outcome. Dotted: the divergence spread evenly."
    )
    return Section(
        f"shifts-{n}",
        "Where predictions moved",
        shifts_sentence(found),
        (
            plot(f"plot-shifts-{n}", found.figure(), caption, columns=20),
            _directions(found),
            _kinds(found, ledgers),
            _numbers(found),
        ),
    )


def shifts_sentence(found: Shifts) -> str:
    """On how many tokens models differ, and how much of each divergence the first percent holds.

    Args:
        found: Where predictions differ.
    """
    shifted = found.of("shifted")
    parts = [
        f"{_plain(*shifted[i].ends)} of the tokens of {whose(name)}"
        for i, name in enumerate(found.source)
    ]
    told = (
        "Base’s and post’s predictions differ by more than 0.1 nats (Jensen–Shannon) at "
        f"{' and at '.join(parts)}."
    )
    for i, name in enumerate(found.source):
        held = found.lorenz[:, 0, i, 1].tolist()
        if all(share == share for share in held):
            each = " and ".join(
                f"{number(share, digits=2)} of KL({direction})"
                for share, direction in zip(held, found.direction, strict=True)
            )
            told += f" In {whose(name)}, the most divergent 1 % of tokens holds {each}."
    return told


def whose(source: str) -> str:
    """Texts of a source in words.

    Args:
        source: `base`, `post`, or `given`.
    """
    return _WHOSE.get(source, source)


def _plain(value: float, low: float, high: float) -> str:
    return interval(value, low, high).removeprefix("+")


def _directions(found: Shifts) -> Table:
    names = [
        name.format(direction)
        for name in ("KL({})", "KL({}) on forks", "KL({}) on first tokens")
        for direction in found.direction
    ]
    several = len(found.source) > 1
    rows = [
        [
            *([whose(source)] if several else []),
            part,
            str(int(found.n_tokens[j, i])),
            *(estimate_cell(found.of(name, part)[i], digits=2) for name in names),
        ]
        for i, source in enumerate(found.source)
        for j, part in enumerate(found.part)
    ]
    chance = number(found.chance[0, 0].item(), digits=2)
    cutoffs = " and ".join(
        f"{number(x, digits=2)} nats in {whose(name)}"
        for x, name in zip(found.cutoff[0].tolist(), found.source, strict=True)
    )
    infinite = int(found.n_infinite.sum())
    caption = (
        f"Both divergences (nats a token, and shares of each), with {level_text(found)}intervals "
        "over problems. KL(base‖post) weighs what base might write, so that one token that post "
        "finds nearly impossible can hold much of it; KL(post‖base) weighs what post might write. "
        "Where they differ much, few tokens may decide: the rows below leave out the ends. Forks "
        f"are the fifth of tokens at which base is least sure (chance {chance}); that fifth "
        f"reaches down to an entropy of {cutoffs}."
        + (f" {infinite} tokens whose KL is infinite are left out." if infinite else "")
    )
    head = (*(["texts"] if several else []), "tokens counted", "n", *names)
    return table_of(caption, head, rows, 1 + several)


def _kinds(found: Shifts, ledgers: Sequence[Ledger]) -> Table:
    """The tokens of largest divergence, those with the same text as one row."""
    texts = {ledger.source: ledger for ledger in ledgers}
    several = len(found.source) > 1
    rows: list[list[str]] = []
    for source in found.source:
        kinds: dict[str, list[int]] = {}
        for i, (name, text) in enumerate(zip(found.fork_source, found.fork_text, strict=True)):
            if name == source:
                kinds.setdefault(text, []).append(i)
        rows += [
            [
                text,
                *([whose(source)] if several else []),
                _context(found, places[0], texts.get(source)),
                str(len(places)),
                _mean([found.fork_jsd[i].item() for i in places]),
                _mean([found.fork_entropy[i].item() for i in places]),
                f"{sum(int(found.fork_rank[i]) == 0 for i in places)} of {len(places)}",
            ]
            for text, places in list(kinds.items())[:MOST]
        ]
    listed = max((found.fork_source.count(source) for source in found.source), default=0)
    caption = (
        f"The {listed} written tokens of largest divergence in each kind of texts; those that read "
        f"alike are one row, at most {MOST} rows. The example is the most divergent one, with its "
        "problem, the token between bars. Divergence and base’s entropy are means over the row, "
        "nats. Texts are verbatim; invisible characters are shown as escapes."
    )
    head = ("token", *(["texts"] if several else []), "example", "times", "divergence")
    head = (*head, "base’s entropy", "base ranks it first")
    return table_of(caption, head, rows, 2 + several)


def _context(found: Shifts, fork: int, ledger: Ledger | None) -> str:
    """What stands around a token; only its place where the text is not at hand."""
    at, problem = int(found.fork_at[fork]), found.fork_problem[fork]
    place = f"{problem}, token {at}"
    if ledger is None or problem not in ledger.problem:
        return place
    thought = ledger.problem.index(problem)
    ends = ledger.token_char[ledger.tokens_of(thought)].tolist()
    if at >= len(ends) or ends[at] < 0 or (at and ends[at - 1] < 0):
        return place
    start, end, text = ends[at - 1] if at else 0, ends[at], ledger.text[thought]
    token = text[start:end]
    # White space before a token is no part of what is marked.
    start += len(token) - len(token.lstrip()) if token.strip() else 0
    before, after = text[max(0, start - _BEFORE) : start], text[end : end + _AFTER]
    shown = (
        f"{'…' if start > _BEFORE else ''}{before}|{text[start:end]}|{after}"
        f"{'…' if end + _AFTER < len(text) else ''}"
    )
    return f"{problem}: {visible(shown)}"


def _mean(values: Sequence[float]) -> str:
    return number(sum(values) / len(values), digits=2)


def _numbers(found: Shifts) -> Table:
    rows = [
        [
            f"{name} ({unit})",
            meaning,
            *(estimate_cell(found.of(name)[i]) for i in range(len(found.source))),
        ]
        for name, unit, meaning in zip(found.metric, found.unit, found.meaning, strict=True)
    ]
    caption = f"All tokens counted, with {level_text(found)}intervals of each number alone."
    head = ("metric", "what a large value says", *(whose(name) for name in found.source))
    return table_of(caption, head, rows, 2, "Every number")
