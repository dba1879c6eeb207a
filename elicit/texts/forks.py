"""Texts that begin alike, read as one text from which the others fork."""

from collections.abc import Sequence

from elicit.tasks import n_common
from elicit.texts._trie import Trie
from elicit.texts.cuts import EncodedText, Lane


def forked(rows: Sequence[EncodedText]) -> EncodedText:
    """One row that holds the lanes of several: each leaves it where its own text goes on otherwise.

    The row from which the others differ latest is kept; of the others only the tokens after the
    fork are run again. What is read stays what it was.

    Args:
        rows: Texts, such as alterations of one thought.

    Returns:
        The kept row with the lanes of all, in the order of `rows`.
    """
    common = [[n_common(a.ids, b.ids) for b in rows] for a in rows]
    kept = max(range(len(rows)), key=lambda i: (sum(common[i]), -len(rows[i].ids)))
    trunk = rows[kept]
    lanes = [
        _moved(lane, row.ids, common[kept][i]) for i, row in enumerate(rows) for lane in row.lanes
    ]
    return EncodedText(
        ids=trunk.ids,
        start=trunk.start,
        lanes=tuple(lanes),
        text_at=tuple(at for row in rows for at in row.text_at),
    )


def _moved(lane: Lane, ids: Sequence[int], fork: int) -> Lane:
    """A lane of one row as a lane that leaves another row at a fork, if that comes before it."""
    if fork >= lane.at:
        return lane
    # The token before a fork is read there: the last of the row has nothing after it.
    between = ids[fork : lane.at]
    trie = Trie()
    reads = []
    for read in lane.reads:
        last, token = read[-1]
        tail = [*between, *lane.trie.path(last), token]
        reads.append(tuple(trie.reads(tail, len(tail) - len(read))))
    return Lane(at=fork, trie=trie, reads=tuple(reads))
