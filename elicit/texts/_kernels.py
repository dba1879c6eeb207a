"""Triton kernels over a block of logits; imported only where they run, and empty without Triton."""

# pyright: reportPossiblyUnboundVariable=false, reportMissingImports=false
# pyright: reportAttributeAccessIssue=false, reportIndexIssue=false

try:
    import triton
    import triton.language as tl
except ImportError:  # PyTorch brings it where there is a CUDA device.
    triton = None

if triton is not None:
    IDS, STEP, TOKENS = tl.constexpr(2048), tl.constexpr(16), tl.constexpr(32)
    """Ids of a split, ids and tokens of a tile."""
    FLOOR, TINY = tl.constexpr(-1e25), tl.constexpr(1.1754943508222875e-38)
    """As in `elicit.texts.predictions`; smallest normal float32."""

    @triton.jit
    def layer_sums(
        z, probs, largest, watched, sums, counts, size
    ):  # fmt: skip
        """Sums over some ids for some tokens: exp, exp times logit, expected logit; counts.

        `sums` is `[split 3 token]`, `counts` `[split 2 token]`: one split is `IDS` ids. Logits are
        less the largest of their token; -inf counts as `FLOOR`, whose exp is 0. `size` is ids,
        tokens, and the strides of rows of `z` and of `probs`.
        """
        n_ids, n_tokens = tl.load(size), tl.load(size + 1)
        z_row, probs_row = tl.load(size + 2), tl.load(size + 3)
        token = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
        here = token < n_tokens
        top = tl.load(largest + token, mask=here, other=0.0)
        seen = tl.load(watched + token, mask=here, other=0.0)
        total = tl.zeros([TOKENS], tl.float32)
        cross = tl.zeros([TOKENS], tl.float32)
        expected = tl.zeros([TOKENS], tl.float32)
        above = tl.zeros([TOKENS], tl.int32)
        lost = tl.zeros([TOKENS], tl.int32)
        for start in range(0, IDS, STEP):
            row = tl.program_id(1) * IDS + start + tl.arange(0, STEP)
            held = (row < n_ids)[:, None] & here[None, :]
            wide = row.to(tl.int64)[:, None]
            s = tl.load(z + wide * z_row + token[None, :], mask=held, other=float("-inf"))
            p = tl.load(probs + wide * probs_row + token[None, :], mask=held, other=0.0)
            s = s - top[None, :]
            lost += tl.sum(((s == float("-inf")) & (p > 0)).to(tl.int32), 0)
            s = tl.where(s < FLOOR, FLOOR, s)  # not a maximum, which would hide NaN
            e = tl.exp(s)
            total += tl.sum(e, 0)
            cross += tl.sum(e * s, 0)
            expected += tl.sum(p * s, 0)
            above += tl.sum((held & (s > seen[None, :])).to(tl.int32), 0)
        at = sums + tl.program_id(1) * 3 * n_tokens + token
        tl.store(at, total, mask=here)
        tl.store(at + n_tokens, cross, mask=here)
        tl.store(at + 2 * n_tokens, expected, mask=here)
        at = counts + tl.program_id(1) * 2 * n_tokens + token
        tl.store(at, above, mask=here)
        tl.store(at + n_tokens, lost, mask=here)

    @triton.jit
    def mixed_sums(
        z, probs, largest, share, sums, size
    ):  # fmt: skip
        """Sums of (p + q) log(p + q) over some ids for some tokens; `sums` is `[split token]`."""
        n_ids, n_tokens = tl.load(size), tl.load(size + 1)
        z_row, probs_row = tl.load(size + 2), tl.load(size + 3)
        token = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
        here = token < n_tokens
        top = tl.load(largest + token, mask=here, other=0.0)
        part = tl.load(share + token, mask=here, other=0.0)
        total = tl.zeros([TOKENS], tl.float32)
        for start in range(0, IDS, STEP):
            row = tl.program_id(1) * IDS + start + tl.arange(0, STEP)
            held = (row < n_ids)[:, None] & here[None, :]
            wide = row.to(tl.int64)[:, None]
            s = tl.load(z + wide * z_row + token[None, :], mask=held, other=float("-inf"))
            p = tl.load(probs + wide * probs_row + token[None, :], mask=held, other=0.0)
            both = p + tl.exp(s - top[None, :]) * part[None, :]
            total += tl.sum(both * tl.log(tl.where(both < TINY, TINY, both)), 0)
        tl.store(sums + tl.program_id(1) * n_tokens + token, total, mask=here)
