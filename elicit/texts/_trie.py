"""Continuations that share their beginnings, each token of them once."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Trie:
    """Tokens to run after a prefix, each below the one that it follows, and what is read there."""

    token: list[int] = field(default_factory=list)
    """Token of each node."""
    parent: list[int] = field(default_factory=list)
    """Node before it; -1 directly after the prefix."""
    depth: list[int] = field(default_factory=list)
    """Tokens between the prefix and the node."""
    _known: dict[tuple[int, int], int] = field(default_factory=dict)

    def reads(self, tail: Sequence[int], start: int) -> list[tuple[int, int]]:
        """Nodes and the tokens that are read there, for the tokens of a tail from `start` on.

        Args:
            tail: Tokens after the prefix; its last token is read and not run.
            start: First of them that is read.

        Returns:
            Pairs of node (-1: the prefix's last token) and token.
        """
        node, found = -1, []
        for place, token in enumerate(tail):
            if place >= start:
                found.append((node, token))
            if place + 1 < len(tail):
                node = self._child(node, token)
        return found

    def path(self, node: int) -> list[int]:
        """Tokens from the prefix to a node, the node's own last."""
        tokens: list[int] = []
        while node >= 0:
            tokens.append(self.token[node])
            node = self.parent[node]
        return tokens[::-1]

    def _child(self, parent: int, token: int) -> int:
        key = (parent, token)
        if key not in self._known:
            self._known[key] = len(self.token)
            self.depth.append(0 if parent < 0 else self.depth[parent] + 1)
            self.token.append(token)
            self.parent.append(parent)
        return self._known[key]
