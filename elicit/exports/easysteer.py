"""A vector and its specification for EasySteer, which steers in vLLM."""

import json
import re
from pathlib import Path
from typing import Any

from elicit.exports.errors import ExportError
from elicit.exports.gguf import write_control_vector
from elicit.exports.material import Material
from elicit.exports.registry import Exported, Options
from elicit.exports.vectors import vector_of
from elicit.results import disk_errors, write_atomic

_EVERYWHERE = {"prompt": "all", "generation": "all"}
_CALL = re.compile(r"(?P<form>[a-z]+)\((?P<ends>[^()]*)\)")
_END = re.compile(r"None|-?\d+")


def write(material: Material, target: Path, options: Options) -> Exported:
    """Write a folder with `vector.gguf` and `steering.json`, a `SteeringSpec` of EasySteer.

    The tokens are those at which the vector was evaluated.

    Raises:
        ElicitError: There is no vector, or the folder cannot be written.

    Source: Xu et al. 2025, arXiv:2509.25175; EasySteer-vllm-v1 at 6267ca0 (6 August 2026),
        `vllm/steer_vectors/api.py` (SteeringSpec), `algorithms/loading.py` and
        `algorithms/direct.py`: `direction.N` is added to the output of layer N, counted from 0.
    """
    made = vector_of(material, options)
    clause = clause_of(made.where)
    file = target.absolute() / "vector.gguf"
    spec = {
        "vectors": [
            {
                "source": str(file),
                "algorithm": "direct",
                "scale": made.scale,
                "layers": [made.layer],
                "normalize": False,
                "apply": clause or _EVERYWHERE,
                "name": "elicit",
            }
        ]
    }
    with disk_errors(target, ExportError):
        target.mkdir()
        write_control_vector(made, file)
        write_atomic(target / "steering.json", (json.dumps(spec, indent=1) + "\n").encode())
    current = (
        'LLM(MODEL, enable_steer_vector=True, steer_algorithms=["direct"]).generate(prompts, '
        f"steering=SteeringSpec.model_validate_json(open({str(target / 'steering.json')!r}).read())"
        "), of vllm.steer_vectors"
    )
    older = (
        "Versions before 6 August 2026 know none of these selectors: SteerVectorRequest("
        f'"elicit", 1, steer_vector_local_path={str(file)!r}, scale={made.scale:g}, '
        f"target_layers=[{made.layer}], prefill_trigger_tokens=[-1], "
        "generate_trigger_tokens=[-1]), which steers every token."
    )
    return Exported(paths=(target,), says=(current, older, *(made.says if clause is None else ())))


def clause_of(where: str) -> dict[str, Any] | None:
    """The tokens of `where` as the selectors of EasySteer; None if it has none for them.

    Args:
        where: Name of tokens, as `str` of `elicit.edits.Where` gives it.
    """
    called = _CALL.fullmatch(where)
    if called is None:
        return None
    ends = [None if each == "None" else int(each) for each in _END.findall(called["ends"])]
    match called["form"], ends:
        case "everywhere", []:
            return _EVERYWHERE
        case "prompt", []:
            return {"prompt": "all"}
        case "generated", []:
            return {"generation": "all"}
        case "last", []:
            return {"prompt_positions": [-1]}
        case "at", [*places] if places:
            return {"prompt_positions": places}
        case "generated", [int(first), last]:
            # Its windows end before their second number, and count as here: 0 follows the prompt.
            return {"generation_window": [first, None if last is None else last + 1]}
    return None
