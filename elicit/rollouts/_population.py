"""Weighted texts of several problems while they are written."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Population:
    """Texts of several problems, as many for each, with their weights.

    Args:
        room: Maximum new tokens of each text.
        particles: Texts of each problem, which stand together.
        pad_id: Fills a text after its end.
    """

    def __init__(self, room: Int[Tensor, " row"], *, particles: int, pad_id: int) -> None:
        """Begin with empty texts of equal weight."""
        n = len(room)
        self.room, self.particles = room, particles
        self.ids = torch.full((n, int(room.max())), pad_id, dtype=torch.long)
        self.length = torch.zeros(n, dtype=torch.long)
        self.done = torch.zeros(n, dtype=torch.bool)
        self.log_prob = torch.zeros(n, dtype=torch.float64)
        self.log_weight = torch.zeros(n, dtype=torch.float64)
        self._least = torch.full((n // particles,), float(particles), dtype=torch.float64)
        self._times = torch.zeros(n // particles, dtype=torch.float64)

    def shares(self) -> Float[Tensor, "problem particle"]:
        """Log of each text's share in the weights of its problem."""
        return self.log_weight.view(-1, self.particles).log_softmax(-1)

    def ess(self) -> Float[Tensor, " problem"]:
        """Effective number of texts of each problem."""
        return (-(2 * self.shares()).logsumexp(-1)).exp()

    def resample(self, uniform: Float[Tensor, " problem"]) -> Int[Tensor, " row"]:
        """Draw texts anew where the effective number is below half; weights are equal there then.

        Args:
            uniform: A random number for each problem.

        Returns:
            Row that each row was taken from.
        """
        n, ess = self.particles, self.ess()
        self._least = torch.minimum(self._least, ess)
        source = torch.arange(len(self.ids))
        for problem in (ess < n / 2).nonzero()[:, 0].tolist():
            rows = slice(problem * n, (problem + 1) * n)
            share = self.log_weight[rows].softmax(0)
            # Systematic: n evenly spaced points, moved together by one random number.
            points = (torch.arange(n) + uniform[problem]) / n
            mass = share.cumsum(0)
            taken = torch.searchsorted(mass, points * mass[-1], right=True).clamp(max=n - 1)
            source[rows] = problem * n + taken
            # The mean stays, so that weights of all steps multiply to the normalising constant.
            total = self.log_weight[rows].logsumexp(0) - torch.tensor(float(n)).double().log()
            self.log_weight[rows] = total
            self._times[problem] += 1
        for name in ("ids", "length", "done", "log_prob"):
            setattr(self, name, getattr(self, name)[source])
        return source

    def extend(
        self,
        rows: Int[Tensor, " going"],
        token: Int[Tensor, " going"],
        log_prob: Float[Tensor, " going"],
        *,
        stops: Int[Tensor, " stop"],
    ) -> None:
        """Put a token at the end of some texts.

        Args:
            rows: Which texts.
            token: One for each.
            log_prob: Its log-probability at temperature 1.
            stops: Tokens that end a text.
        """
        self.ids[rows, self.length[rows]] = token
        self.length[rows] += 1
        self.log_prob[rows] += log_prob
        self.done[rows] = torch.isin(token, stops) | (self.length[rows] >= self.room[rows])

    def numbers(self, uniform: Float[Tensor, " problem"]) -> Float[Tensor, "problem number"]:
        """Effective number at the end, its least, how often texts were drawn anew, and a text.

        Args:
            uniform: A random number for each problem, which draws the text by its weight.
        """
        ess, mass = self.ess(), self.shares().exp().cumsum(-1)
        chosen = torch.searchsorted(mass, (uniform * mass[:, -1])[:, None], right=True)[:, 0]
        chosen = chosen.clamp(max=self.particles - 1)
        least = torch.minimum(self._least, ess)
        return torch.stack([ess, least, self._times, chosen.double()], dim=1)
