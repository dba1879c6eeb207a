"""Section on crossed texts: what a few tokens of one model do in the other's text."""

from collections import Counter
from collections.abc import Sequence

from elicit.page import Plot, Section, Table, estimate_cell, plot, table_of
from elicit.page.traces.text import level_text
from elicit.results import interval, number
from elicit.traces import Crossing
from elicit.traces.figures import most, rule_text

MOST = 8
"""Kinds of taken tokens that are listed for each writer."""


def crossing_section(found: Sequence[Crossing]) -> Section:
    """Both directions, one after the other.

    Args:
        found: Crossed texts, one result for each writer.
    """
    items: list[Plot | Table] = []
    for n, each in enumerate(found):
        caption = (
            f"{each.host.capitalize()} writes and takes {each.donor}’s token where the rule says "
            "so, at most so many a text (≤) that differ from its own; used: how many, on average. "
            "Dotted: each model alone. Grey: "
            "random places, the control. Bars are "
            f"{level_text(each)}intervals of each number alone."
        )
        items.append(plot(f"plot-crossing-{n}", each.figure(), caption, columns=12))
    taken = _taken(found)
    return Section(
        "crossing",
        "What a few tokens of the other model carry",
        " ".join(crossing_sentence(each) for each in found),
        (*items, *([] if taken is None else [taken]), _table(found)),
    )


def crossing_sentence(found: Crossing) -> str:
    """What the smallest budget does under the first rule, beside random places.

    Args:
        found: Crossed texts of one writer.
    """
    rule = next((i for i, name in enumerate(found.rule) if not _random(name)), 0)
    used = number(found.used.value[rule, 0].item(), digits=2)
    alone, crossed = (
        number(each.item(), digits=2)
        for each in (found.alone.value[0], found.accuracy.value[rule, 0])
    )
    change = interval(*found.change[rule, 0].ends, digits=2)
    told = (
        f"With {most(found.budget[0].item())} of {found.donor} {rule_text(found.rule[rule])}, "
        f"{used} used a text, {found.host} is right in {crossed} instead of {alone} (change "
        f"{change})"
    )
    random = next((i for i, name in enumerate(found.rule) if _random(name)), rule)
    if random == rule:
        return f"{told}."
    there = interval(*found.change[random, 0].ends, digits=2)
    spent = number(found.used.value[random, 0].item(), digits=2)
    return f"{told}; at random places ({spent} used) the change is {there}."


def _random(rule: str) -> bool:
    return rule.startswith("random")


def _taken(found: Sequence[Crossing]) -> Table | None:
    """Which tokens the first rule took, by how often."""
    rows = []
    for each in found:
        kinds = Counter(
            zip(each.taken_text, each.replaced_text, each.taken_at.tolist(), strict=True)
        )
        rows += [
            [given, own, each.donor, each.host, str(at), str(count)]
            for (given, own, at), count in kinds.most_common(MOST)
        ]
    if not rows:
        return None
    caption = (
        "Tokens that were taken at the smallest budget under the first rule that is not random, "
        f"the most frequent {MOST} kinds of each writer."
    )
    head = ("token", "instead of", "of", "in the text of", "tokens before it", "texts")
    return table_of(caption, head, rows, 4)


def _table(found: Sequence[Crossing]) -> Table:
    rows = [
        [
            each.host,
            rule_text(rule),
            most(each.budget[j].item()),
            estimate_cell(each.used[i, j], digits=2),
            estimate_cell(each.accuracy[i, j], digits=2),
            estimate_cell(each.change[i, j], digits=2, effect=True),
            number(each.p[i, j].item()),
        ]
        for each in found
        for i, rule in enumerate(each.rule)
        for j in range(len(each.budget))
    ]
    caption = (
        f"Intervals are {level_text(found[0])}ones of each number alone; changes are paired with "
        "the writer’s own texts by problem; p is not adjusted. Random places are as many as the "
        "first other rule used in the same problem; where both models would write the same token "
        "there, none is used. Bold: the interval excludes 0."
    )
    head = ("writer", "rule", "budget", "used a text", "right", "change", "p")
    return table_of(caption, head, rows, 3, "Every number")
