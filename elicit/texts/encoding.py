"""Token ids of cut texts, and of every answer that is read in them."""

from collections.abc import Sequence
from dataclasses import dataclass

from elicit.pair import Alignment
from elicit.tasks import Fault, TaskError, joined, n_common, shown
from elicit.texts._trie import Trie
from elicit.texts.cuts import AnswerForm, CutText, EncodedText, Lane


def encode_cuts(
    alignment: Alignment,
    texts: Sequence[CutText],
    form: AnswerForm,
    *,
    n_positions: int | None = None,
) -> tuple[EncodedText, ...]:
    """Token ids of texts and of every answer that is read in them.

    Whole strings are tokenised, never two encodings put together; what is scored of a candidate
    begins at the first token that the text with the lead-in does not have, for all candidates of a
    lane at one place, as in `tasks.encode_forced`.

    Args:
        alignment: How text becomes token ids.
        texts: What is read.
        form: Lead-in, end and template.
        n_positions: Longest row that the model can read, tokens; None for no limit.

    Raises:
        TaskError: A lead-in merges with the text before it, candidates cannot be told apart, or a
            row is too long; every fault is named.
        PairError: A text needs a token that one of the models has no row for.
    """
    coder = _Coder(alignment, form, texts)
    wrong: list[Fault] = []
    rows = [coder.encode(*each, wrong) for each in zip(texts, coder.spelled, strict=True)]
    for text, row in zip(texts, rows, strict=True):
        reach = max([len(row.ids), *(lane.reach for lane in row.lanes)])
        if n_positions is not None and reach > n_positions:
            what = f"it needs {reach} tokens, and the model has {n_positions} positions"
            wrong.append(_fault(text, what, "Shorten the text, or leave the problem out"))
    if wrong:
        n_bad = len({fault.where for fault in wrong})
        raise TaskError(
            f"No answer can be asked for in the texts of {n_bad} problem{'s' * (n_bad != 1)}, so "
            "nothing was run:",
            list(dict.fromkeys(wrong)),
        )
    return tuple(rows)


@dataclass(frozen=True, kw_only=True)
class _Spelled:
    """The strings that a text is tokenised as."""

    head: str
    whole: str
    prefixes: tuple[str, ...]
    """Up to each cut; the head at the beginning."""
    led: tuple[str, ...]
    """The same with the lead-in."""
    first: tuple[bool, ...]
    """Whether a cut is the beginning."""


class _Coder:
    """Encodes texts; remembers which tokens a candidate adds after the tokens of a lead-in."""

    def __init__(self, alignment: Alignment, form: AnswerForm, texts: Sequence[CutText]) -> None:
        self.alignment, self.form = alignment, form
        self._added: dict[tuple[tuple[int, ...], str], tuple[int, ...] | None] = {}
        self.spelled = [self._spell(text) for text in texts]
        strings = dict.fromkeys(
            string
            for each in self.spelled
            for string in (each.head, each.whole, *each.prefixes, *each.led)
        )
        rows = alignment.read_all(list(strings), templated=form.templated)
        self._known = dict(zip(strings, rows, strict=True))

    def _read(self, text: str) -> list[int]:
        if text not in self._known:
            self._known[text] = self.alignment.read(text, templated=self.form.templated)
        return self._known[text]

    def _spell(self, text: CutText) -> _Spelled:
        form, alignment = self.form, self.alignment
        head = whole = alignment.spelled(text.prompt, templated=form.templated)
        dropped = 0
        if text.text:
            head, whole = alignment.joined(text.prompt, text.text, templated=form.templated)
            # A tag that the template has opened already is left out of the text.
            dropped = next(n for n in range(len(text.text) + 1) if whole.endswith(text.text[n:]))
        start = len(whole) - len(text.text) + dropped
        left = [max(0, cut - dropped) for cut in text.cuts]
        prefixes = [whole[: start + n] if n else head for n in left]
        return _Spelled(
            head=head,
            whole=whole,
            prefixes=tuple(prefixes),
            led=tuple(
                self._lead(text, p, first=not n) for p, n in zip(prefixes, left, strict=True)
            ),
            first=tuple(not n for n in left),
        )

    def _lead(self, text: CutText, prefix: str, *, first: bool) -> str:
        """A prefix with the lead-in after it."""
        form = self.form
        if not form.lead_in:
            return prefix
        if first:
            return self.alignment.joined(text.prompt, form.lead_in, templated=form.templated)[1]
        return joined(prefix, form.lead_in, between=self.alignment.separator)[1]

    def encode(self, text: CutText, spelled: _Spelled, wrong: list[Fault]) -> EncodedText:
        """Token ids of one text, and its lanes."""
        ids, prompt = self._read(spelled.whole), self._read(spelled.head)
        start = n_common(prompt, ids)
        if start == 0:
            fix = "Begin the prompt with a token that is left as it is, such as BOS"
            wrong.append(_fault(text, "no token stands before its first one", fix))
        lanes, at = [], []
        for prefix, led, first in zip(spelled.prefixes, spelled.led, spelled.first, strict=True):
            before = self._read(prefix)
            lanes.append(self._lane(text, ids, before, led, wrong, first=first))
            at.append(0 if first else max(0, len(before) - start))
        ends = self._ends(spelled.whole, ids)[start:]
        length = len(spelled.whole) - len(text.text)
        return EncodedText(
            ids=tuple(ids),
            start=start,
            lanes=tuple(lanes),
            text_at=tuple(at),
            ends=tuple(max(0, end - length) for end in ends),
        )

    def _ends(self, whole: str, ids: Sequence[int]) -> list[int]:
        """Character at which each token of a text ends, with its beginning where it has one."""
        alignment = self.alignment
        tokenizer = alignment.template_tokenizer if self.form.templated else alignment.tokenizer
        if not getattr(tokenizer, "is_fast", False):
            return []
        read = tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True)  # pyright: ignore[reportCallIssue]
        more = len(ids) - len(read["input_ids"])
        if more < 0 or list(read["input_ids"]) != list(ids[more:]):
            return []
        return [0] * more + [int(end) for _, end in read["offset_mapping"]]

    def _lane(
        self,
        text: CutText,
        ids: list[int],
        before: list[int],
        led: str,
        wrong: list[Fault],
        *,
        first: bool,
    ) -> Lane:
        """The lane after some text and its lead-in."""
        lead = self._read(led) if self.form.lead_in else list(before)
        kept = n_common(before, lead)
        if kept < len(before) and not first:
            wrong.append(_fault(text, *_merges(self.alignment, before, lead, kept)))
        wholes = [self._whole(text, candidate, led, lead, first) for candidate in text.candidates]
        shared = min(n_common(lead, whole) for whole in wholes)
        wrong += [_fault(text, *what) for what in _alike(text.candidates, wholes, shared)]
        at = min([n_common(ids, whole) for whole in wholes] + [shared, len(ids)])
        at = min([at] + [len(whole) - 1 for whole in wholes])
        trie = Trie()
        reads = tuple(tuple(trie.reads(whole[at:], shared - at)) for whole in wholes)
        return Lane(at=at, trie=trie, reads=reads)

    def _whole(
        self, text: CutText, candidate: str, led: str, lead: list[int], first: bool
    ) -> list[int]:
        """Tokens of everything up to the end of a candidate."""
        key = (tuple(lead[-4:]), candidate)
        if self.form.lead_in and key in self._added and self._added[key] is not None:
            return [*lead, *(self._added[key] or ())]
        answer = f"{candidate}{self.form.end}"
        if first and not self.form.lead_in:
            _, spelled = self.alignment.joined(text.prompt, answer, templated=self.form.templated)
        else:
            spelled = joined(led, answer, between=self.alignment.separator)[1]
        whole = self._read(spelled)
        clean = whole[: len(lead)] == lead
        self._added[key] = tuple(whole[len(lead) :]) if clean else None
        return whole


def _fault(text: CutText, what: str, fix: str) -> Fault:
    return Fault(where=f"problem {shown(text.problem)}", what=what, fix=fix)


def _merges(
    alignment: Alignment, before: Sequence[int], lead: Sequence[int], kept: int
) -> tuple[str, str]:
    alone = [alignment.decode([i]) for i in before[kept:]]
    merged = [alignment.decode([i]) for i in lead[kept : kept + len(alone) + 1]]
    return (
        f"the lead-in merges with the text before it: the text ends in the tokens {alone}, and "
        f"with the lead-in they are {merged}, so an answer would be asked for after another text",
        "Begin the lead-in with a line break or a space, or cut the text elsewhere",
    )


def _alike(
    names: Sequence[str], wholes: Sequence[Sequence[int]], start: int
) -> list[tuple[str, str]]:
    """Candidates of one lane that no model could tell apart, or of which one begins another."""
    ordered = sorted(zip(names, map(tuple, wholes), strict=True), key=lambda pair: pair[1])
    found = [
        (f"candidate {shown(name)} adds no token to the text", "Give an answer that can be read")
        for name, ids in ordered
        if len(ids) <= start
    ]
    for (name, ids), (other, longer) in zip(ordered, ordered[1:], strict=False):
        if ids == longer:
            what = f"candidates {shown(name)} and {shown(other)} have the same tokens"
            found.append((what, "Keep one: no model can tell them apart"))
        elif longer[: len(ids)] == ids:
            what = (
                f"the tokens of candidate {shown(name)} begin those of {shown(other)}, which "
                "could then never be the more probable one"
            )
            fix = (
                "Pass an end that closes an answer: a line end, or a full stop if none has decimals"
            )
            found.append((what, fix))
    return found
