"""Results: what every measurement leaves behind, in memory and on disk.

The errors load at once and cost nothing; whatever needs torch loads when it is first used.
"""

from typing import TYPE_CHECKING

from elicit.results.errors import DamagedFileWarning, ElicitError, ResultError, RunError
from elicit.results.lazy import lazily

if TYPE_CHECKING:
    from elicit.results.base import Result, load_result
    from elicit.results.codec import encode
    from elicit.results.columns import axis_sizes
    from elicit.results.disk import (
        TEMPORARY,
        disk_errors,
        is_plain_name,
        kind_of,
        parse_json,
        read_file,
        sha256_file,
        write_atomic,
    )
    from elicit.results.drawing import (
        figure,
        finding,
        interval,
        label,
        minus,
        number,
        says,
        visible,
        visible_token,
    )
    from elicit.results.estimate import Estimate
    from elicit.results.folder import (
        MANIFEST,
        TABLE,
        VALUES,
        read_folder,
        result_files,
        write_files,
    )
    from elicit.results.labelled import to_xarray
    from elicit.results.provenance import (
        ModelId,
        Provenance,
        installed_versions,
        matmul_precision,
        surrounded,
        surroundings,
    )
    from elicit.results.store import (
        as_tensor,
        canonical_json,
        clean_text,
        digest_json,
        digest_tensors,
        plain,
        read_tensor_bytes,
        tensor_bytes,
    )
    from elicit.results.table import table_bytes

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
    "finding",
    "installed_versions",
    "interval",
    "label",
    "lazily",
    "is_plain_name",
    "kind_of",
    "parse_json",
    "read_file",
    "load_result",
    "matmul_precision",
    "minus",
    "number",
    "plain",
    "read_folder",
    "read_tensor_bytes",
    "result_files",
    "says",
    "sha256_file",
    "surrounded",
    "surroundings",
    "table_bytes",
    "tensor_bytes",
    "to_xarray",
    "visible",
    "visible_token",
    "write_atomic",
    "write_files",
]

__getattr__ = lazily(__name__, __file__)
