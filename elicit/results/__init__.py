"""Results: what every measurement leaves behind, in memory and on disk.

The errors load at once and cost nothing; whatever needs torch loads when it is first used.
"""

from typing import TYPE_CHECKING

from elicit.results.errors import DamagedFileWarning, ElicitError, ResultError, RunError
from elicit.results.lazy import lazily

if TYPE_CHECKING:
    from elicit.results.axes import axis_sizes
    from elicit.results.base import Result, load_result
    from elicit.results.codec import encode
    from elicit.results.drawing import (
        figure,
        interval,
        label,
        number,
        visible,
        visible_token,
    )
    from elicit.results.estimate import Estimate
    from elicit.results.folder import MANIFEST, TABLE, VALUES, read_folder
    from elicit.results.provenance import (
        ModelId,
        Provenance,
        installed_versions,
        matmul_precision,
        surrounded,
        surroundings,
    )
    from elicit.results.store import (
        TEMPORARY,
        as_tensor,
        canonical_json,
        clean_text,
        digest_json,
        digest_tensors,
        disk_errors,
        plain,
        read_tensor_bytes,
        sha256_file,
        tensor_bytes,
        write_atomic,
    )

__all__ = [
    "DamagedFileWarning",
    "ElicitError",
    "Estimate",
    "MANIFEST",
    "ModelId",
    "Provenance",
    "Result",
    "ResultError",
    "RunError",
    "TABLE",
    "TEMPORARY",
    "VALUES",
    "as_tensor",
    "axis_sizes",
    "canonical_json",
    "clean_text",
    "digest_json",
    "digest_tensors",
    "disk_errors",
    "encode",
    "figure",
    "installed_versions",
    "interval",
    "label",
    "lazily",
    "load_result",
    "matmul_precision",
    "number",
    "plain",
    "read_folder",
    "read_tensor_bytes",
    "sha256_file",
    "surrounded",
    "surroundings",
    "tensor_bytes",
    "visible",
    "visible_token",
    "write_atomic",
]

__getattr__ = lazily(__name__, __file__)
