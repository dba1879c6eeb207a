"""Exports: results, vectors, SAEs and texts in the formats of other tools.

`export(folder, "gguf")` writes what `elicit export` does; `EXPORTERS` has every tool.
"""

from typing import TYPE_CHECKING

from elicit.results import lazily

if TYPE_CHECKING:
    from elicit.exports.card import card
    from elicit.exports.errors import ExportError
    from elicit.exports.hub import HubApi, published, push_to_hub
    from elicit.exports.inspect_ai import write_log
    from elicit.exports.lm_eval import lm_eval_command
    from elicit.exports.material import Material
    from elicit.exports.registry import (
        EXPORTERS,
        Exported,
        Exporter,
        Options,
        export,
        register,
    )
    from elicit.exports.written import Written, texts_of, texts_of_rollouts

__all__ = [
    "EXPORTERS",
    "ExportError",
    "Exported",
    "Exporter",
    "HubApi",
    "Material",
    "Options",
    "Written",
    "card",
    "export",
    "lm_eval_command",
    "published",
    "push_to_hub",
    "register",
    "texts_of",
    "texts_of_rollouts",
    "write_log",
]

__getattr__ = lazily(__name__, __file__)
