"""A vector and its specification for EasySteer, which steers in vLLM."""

import json
from pathlib import Path

from elicit.exports.errors import ExportError
from elicit.exports.gguf import write_control_vector
from elicit.exports.material import Material
from elicit.exports.registry import Exported, Options
from elicit.exports.vectors import vector_of
from elicit.results import disk_errors, write_atomic

_PHASES = {
    "everywhere()": {"phases": ["prompt", "generation"]},
    "last()": {"phases": ["prompt"], "positions": [-1]},
    "prompt()": {"phases": ["prompt"]},
    "generated(0, None)": {"phases": ["generation"]},
    "generated(0, 0)": {"phases": ["generation"], "generation_positions": [0]},
}
"""Tokens that are steered here as EasySteer selects them."""


def write(material: Material, target: Path, options: Options) -> Exported:
    """Write a folder with `vector.gguf` and `steering.json`, a `SteeringSpec` of EasySteer.

    The tokens are those at which the vector was evaluated.

    Raises:
        ElicitError: There is no vector, or the folder cannot be written.

    Source: Xu et al. 2025, arXiv:2509.25175; `vllm/steer_vectors/api.py` (SteeringSpec) and
        `algorithms/direct.py`: `direction.N` is added to the output of layer N.
    """
    made = vector_of(material, options)
    apply = _PHASES.get(made.where, _PHASES["everywhere()"])
    file = target.absolute() / "vector.gguf"
    spec = {
        "vectors": [
            {
                "source": str(file),
                "algorithm": "direct",
                "scale": made.scale,
                "layers": [made.layer],
                "normalize": False,
                "apply": apply,
                "name": "elicit",
            }
        ]
    }
    with disk_errors(target, ExportError):
        target.mkdir()
        write_control_vector(made, file)
        write_atomic(target / "steering.json", (json.dumps(spec, indent=1) + "\n").encode())
    current = (
        f"llm.generate(prompts, steering=SteeringSpec.model_validate_json("
        f"open({str(target / 'steering.json')!r}).read()))"
    )
    older = (
        f'Before its second interface: SteerVectorRequest("elicit", 1, steer_vector_local_path='
        f"{str(file)!r}, scale={made.scale:g}, target_layers=[{made.layer}], "
        "prefill_trigger_tokens=[-1], generate_trigger_tokens=[-1]), which steers every token."
    )
    known = made.where in _PHASES
    return Exported(paths=(target,), says=(current, older, *(() if known else made.says)))
