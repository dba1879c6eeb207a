"""How the models of a specification are loaded."""

from typing import Literal

import torch

from elicit.jobs._spec import PairSpec
from elicit.pair import DATE, Loading


def dtype_of(spec: PairSpec) -> torch.dtype | Literal["auto"]:
    """Precision of both models."""
    return "auto" if spec.dtype == "auto" else getattr(torch, spec.dtype)


def loading_of(spec: PairSpec) -> Loading:
    """Placement, revisions and the way from text to token ids."""
    return Loading(
        device_map=spec.device_map,
        post_device=spec.post_device,
        share_weights=spec.share_weights,
        offload=spec.offload,
        cuda_graphs=spec.cuda_graphs,
        trust_remote_code=spec.trust_remote_code,
        attn_implementation=spec.attn_implementation or "eager",
        unused_tensors=spec.unused_tensors,
        revision_base=spec.base_revision,
        revision_post=spec.post_revision,
        renamed_tokens=dict(one.split("=", 1) for one in spec.renamed_tokens),
        adds_bos=spec.adds_bos,
        separator=None if spec.separator is None else spec.separator.replace("\\n", "\n"),
        template_date=spec.template_date or DATE,
    )
