"""Runs, metrics, sites and positions as phrases inside a sentence."""

from elicit.results import minus, number

METRICS = {
    "logit_diff": "the logit difference",
    "log_prob": "the answer’s log-probability",
    "probability": "the answer’s probability",
    "kl": "the divergence from the donor",
}
CONTROLS = {"other_prompt": "another prompt’s activation", "noise": "noise of equal norm"}
_KINDS = {
    "resid_pre": "the residual stream before layer {}",
    "resid_mid": "the residual stream between attention and MLP of layer {}",
    "resid_post": "the residual stream after layer {}",
    "attn_out": "the attention output of layer {}",
    "mlp_out": "the MLP output of layer {}",
    "z": "the heads’ outputs of layer {}",
    "q": "the queries of layer {}",
    "k": "the keys of layer {}",
    "v": "the values of layer {}",
}


def run_text(name: str) -> str:
    """Phrase for a run.

    >>> run_text("base"), run_text("base, clean prompt")
    ('base', 'base on the clean prompt')
    """
    model, comma, prompt = name.partition(", ")
    return f"{model} on the {prompt}" if comma else model


def metric_text(metric: str) -> str:
    """Phrase for a metric."""
    return METRICS.get(metric, metric)


def site_text(site: str, kind: str) -> str:
    """Phrase for a site.

    >>> site_text("resid_post.3", "resid_post"), site_text("z.3.1", "z")
    ('the residual stream after layer 3', 'head 1 of layer 3 (z)')
    """
    pieces = site.split(".")
    if len(pieces) == 3:
        return f"head {pieces[2]} of layer {pieces[1]} ({kind})"
    return _KINDS[kind].format(pieces[1]) if len(pieces) == 2 and kind in _KINDS else site


def pos_text(pos: str) -> str:
    """Phrase for a position.

    >>> pos_text("-1 A"), pos_text("all"), pos_text("4")
    ('position −1 “A”', 'all positions at once', 'position 4')
    """
    if pos == "all":
        return "all positions at once"
    index, space, word = pos.partition(" ")
    if not index.lstrip("-").isdigit():
        return f"“{pos}”"
    return f"position {minus(index)}" + (f" “{word}”" if space else "")


def percent_text(share: float) -> str:
    """A share of the gap in percent; values below 9.5 % keep a decimal."""
    value = 100 * share
    return f"{number(value, digits=0 if abs(value) >= 9.5 else 1)} %"
