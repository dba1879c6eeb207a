"""A steering specification for interp-engine."""

import json
from pathlib import Path

from elicit.exports.errors import ExportError
from elicit.exports.material import Material
from elicit.exports.registry import Exported, Options
from elicit.exports.vectors import vector_of
from elicit.results import disk_errors, write_atomic

_POINTS = ("resid_pre", "resid_post", "attn_out", "mlp_out")
"""Where what it adds reaches the residual stream. What it adds at resid_mid, the input of the norm
before the MLP, reaches the MLP alone."""
_BEFORE_NORM = ("attn_out", "mlp_out")


def write(material: Material, target: Path, options: Options) -> Exported:
    """Write what its server takes as `steering`: a list of one specification.

    Raises:
        ElicitError: There is no vector, its site has no point there, or the file cannot be
            written.

    Source: interp-engine, `server/schemas.py` (SteeringWire) and `steer_specs.py` (AddSpec).
    """
    made = vector_of(material, options)
    site = made.direction.site
    if site.kind not in _POINTS or site.head is not None:
        raise ExportError(
            f"the direction is at {site}, where interp-engine does not add to the residual stream, "
            f"so it would steer otherwise than here. Export one of {', '.join(_POINTS)}."
        )
    values = made.direction.vector.detach().cpu().float().tolist()
    step = {"method": "additive", "vector": values, "scale": made.scale, "normalize": False}
    spec = [{"point": site.kind, "layers": {str(site.layer): [step]}}]
    with disk_errors(target, ExportError):
        write_atomic(target, (json.dumps(spec) + "\n").encode())
    used = (
        f"Pass the content of {target} as `steering` to its server; in Python: SteeringSpec.at("
        f'"{site.kind}.{site.layer}", AddSpec(vector, scale={made.scale:g})).'
    )
    normed = (
        f"In models that norm what is added to the stream (Gemma-2, OLMo-2) the point is "
        f"{site.kind}_post: write that in place of {site.kind}.",
    )
    more = normed if site.kind in _BEFORE_NORM else ()
    return Exported(paths=(target,), says=(used, *more, *made.says))
