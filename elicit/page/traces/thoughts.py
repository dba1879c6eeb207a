"""The text view: thoughts with their steps, as both models read them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from os.path import commonprefix

from elicit.results import number
from elicit.traces import Dependence, Ledger

MOST = 6
"""Thoughts that are shown."""
FORK = 0.1
"""Jensen-Shannon divergence, nats, above which the models part at a token."""
_STEPS = 2
"""Steps from which a thought is shown rather than a shorter one."""
_LONGEST = 400
"""Characters of an altered step that are shown."""
_BOUNDS = (0.05, 0.2, 0.5)
"""Changes of the right answer's share from which a step is coloured, and more strongly so."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a thought, as one model reads it."""

    pieces: tuple[tuple[str, str], ...]
    """The step in pieces, each with its divergence where it is a fork, else empty. Text of a model
    or of a file: never trusted."""
    ground: str
    """How it is coloured: `up1` ... `up3`, `down1` ... `down3`, or empty."""
    change: str
    """Change of the right answer's share; empty where it is small."""
    told: str
    """The share before and after it."""
    forks: str
    """How many tokens of it are forks, where their place is not known; else empty."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """A thought as one model reads it."""

    model: str
    """`base` or `post`."""
    before: str
    """Right answer's share before the thought."""
    steps: tuple[Step, ...]
    """Its steps; empty where there is no thought."""
    answer: str
    """What it answers after the whole thought."""
    right: bool
    """Whether that is right."""
    cut: bool = False
    """Whether the thought was cut before its writer ended it."""
    altered: str = ""
    """What it does after the altered thought, in few words; empty where that was not asked."""
    answered: str = ""
    """What it answers then."""
    old: str = ""
    """The step that was altered."""
    new: str = ""
    """What stood in its place."""
    implied: str = ""
    """The answer that the altered thought implies."""


@dataclass(frozen=True, kw_only=True)
class View:
    """One problem."""

    problem: str
    """Its id."""
    prompt: str
    """What stands before the thought."""
    gold: str
    """The right answer."""
    sides: tuple[Side, ...]
    """Base, then post."""
    tag: str
    """What post did with the altered thought, in few words."""


def views(base: Ledger, post: Ledger, dependence: Dependence | None) -> tuple[View, ...]:
    """Some thoughts: up to half on which post alone ignores the changed conclusion, then others.

    Args:
        base: What base reads.
        post: What post reads; the same ledger where thoughts were given.
        dependence: What altered thoughts did; None where that was not asked.
    """
    problems = list(dict.fromkeys([*base.problem, *post.problem]))
    # One step has nothing before it to compare with.
    problems.sort(key=lambda name: max(_n_steps(base, name), _n_steps(post, name)) < _STEPS)
    parted = [name for name in problems if _parted(dependence, name)]
    others = [name for name in problems if name not in parted]
    n_parted = max(MOST // 2, MOST - len(others))
    shown = [*parted[:n_parted], *others][:MOST]
    return tuple(_view(name, base, post, dependence) for name in shown)


def _n_steps(ledger: Ledger, problem: str) -> int:
    if problem not in ledger.problem:
        return 0
    lanes = ledger.lanes_of(ledger.problem.index(problem))
    return lanes.stop - lanes.start - 1


def _parted(dependence: Dependence | None, problem: str) -> bool:
    if dependence is None or problem not in dependence.problem:
        return False
    base, post = dependence.of("follows")[:, dependence.problem.index(problem)].tolist()
    return base == 1 and post == 0


def _view(problem: str, base: Ledger, post: Ledger, dependence: Dependence | None) -> View:
    sides = tuple(
        _side(ledger, scorer, problem, dependence) for scorer, ledger in enumerate((base, post))
    )
    holder = base if problem in base.problem else post
    thought = holder.problem.index(problem)
    return View(
        problem=problem,
        gold=holder.candidates[thought][int(holder.gold[thought])],
        prompt=holder.prompt[thought],
        sides=sides,
        tag=" · ".join(
            f"{side.model} {'right' if side.right else 'wrong'}"
            + (f", {side.altered}" if side.altered else "")
            if side.steps
            else f"{side.model} wrote no thought"
            for side in sides
        ),
    )


def _side(ledger: Ledger, scorer: int, problem: str, dependence: Dependence | None) -> Side:
    model = ledger.scorer[scorer]
    if problem not in ledger.problem:
        return Side(model=model, before="–", steps=(), answer="", right=False)
    thought = ledger.problem.index(problem)
    lanes = ledger.lanes_of(thought)
    gold = int(ledger.gold[thought])
    final = int(ledger.answer[scorer, lanes][-1])
    share = ledger.share[scorer, lanes, gold].tolist()
    text, chars = ledger.text[thought], ledger.lane_char[lanes].tolist()
    at, jsd = ledger.lane_at[lanes].tolist(), ledger.jsd[ledger.tokens_of(thought)]
    ends = ledger.token_char[ledger.tokens_of(thought)].tolist()
    steps = [
        _step(_cut(text, (a, b), ends[s:e], jsd[s:e].tolist()), before, after, jsd[s:e].tolist())
        for (a, b), (before, after), (s, e) in zip(
            pairwise(chars), pairwise(share), pairwise(at), strict=True
        )
    ]
    if text[chars[-1] :].strip():
        rest = Step(
            pieces=((text[chars[-1] :], ""),),
            ground="",
            change="",
            told="after the last cut",
            forks="",
        )
        steps.append(rest)
    return Side(
        model=model,
        before=number(share[0], digits=2),
        steps=tuple(steps),
        answer=ledger.candidates[thought][final],
        right=final == gold,
        cut=bool(ledger.truncated[thought]),
        altered=_outcome(dependence, scorer, problem),
        **_changed(dependence, ledger, thought, model),
    )


def _changed(
    dependence: Dependence | None, ledger: Ledger, thought: int, model: str
) -> dict[str, str]:
    """How the thought was altered for one model, and what it then answered."""
    problem = ledger.problem[thought]
    for made in dependence.altered if dependence is not None else ():
        if (made.reading, made.problem) == (model, problem):
            old, new = _altered_step(ledger, thought, made.text)
            return {"old": old, "new": new, "implied": made.implied, "answered": made.answered}
    return {}


def _cut(
    text: str, span: tuple[int, int], ends: Sequence[int], jsd: Sequence[float]
) -> tuple[tuple[str, str], ...]:
    """A step in pieces at its forks; the white space before a token is no part of its mark."""
    at, stop = span
    pieces: list[tuple[str, str]] = []
    start = at
    for end, value in zip(ends, jsd, strict=True):
        if end < 0:
            break
        token = text[start : min(end, stop)]
        first = start + len(token) - len(token.lstrip())
        if value > FORK and token.strip():
            pieces += [
                (text[at:first], ""),
                (text[first : min(end, stop)], number(value, digits=2)),
            ]
            at = min(end, stop)
        start = max(start, min(end, stop))
    pieces.append((text[at:stop], ""))
    return tuple(piece for piece in pieces if piece[0])


def _step(
    pieces: tuple[tuple[str, str], ...], before: float, after: float, jsd: Sequence[float]
) -> Step:
    change = after - before
    strength = sum(abs(change) >= bound for bound in _BOUNDS)
    forks = [value for value in jsd if value > FORK]
    told = f"right answer’s share {number(before, digits=2)} → {number(after, digits=2)}"
    if forks:
        told += f"; {_count(forks)}, largest divergence {number(max(forks), digits=2)} nats"
    placed = any(divergence for _, divergence in pieces)
    return Step(
        pieces=pieces,
        ground="" if not strength else f"{'up' if change > 0 else 'down'}{strength}",
        change=number(change, sign=True, digits=2) if strength else "",
        told=told,
        forks=str(len(forks)) if forks and not placed else "",
    )


def _count(forks: Sequence[float]) -> str:
    return "1 fork" if len(forks) == 1 else f"{len(forks)} forks"


def _outcome(dependence: Dependence | None, scorer: int, problem: str) -> str:
    """What a model answers after the altered thought."""
    if dependence is None or problem not in dependence.problem:
        return ""
    place = dependence.problem.index(problem)
    follows, flips = (float(dependence.of(name)[scorer, place]) for name in ("follows", "flips"))
    if follows != follows:
        return ""
    if follows:
        return "follows the altered thought"
    return "gives a third answer" if flips else "keeps its answer"


def _altered_step(ledger: Ledger, thought: int, altered: str) -> tuple[str, str]:
    """The step in which an altered thought first differs, and what stands there to its end."""
    text, chars = ledger.text[thought], ledger.lane_char[ledger.lanes_of(thought)].tolist()
    same = len(commonprefix([text, altered]))
    start, end = next(((a, b) for a, b in pairwise(chars) if same < b), (same, len(text)))
    return _short(text[start:end].strip()), _short(altered[start:].strip())


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
