"""Laws of bytes on disk: one spelling for equal values, whole files or none."""

import errno
import itertools
import json
import os
import random
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from elicit.results import (
    ElicitError,
    ResultError,
    canonical_json,
    digest_json,
    digest_tensors,
    disk_errors,
    sha256_file,
    write_atomic,
)
from elicit.results.store import read_tensor_bytes, tensor_bytes

DTYPES = [
    torch.bool,
    torch.int8,
    torch.int64,
    torch.uint8,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.float8_e4m3fn,
]


def test_the_digest_of_known_bytes_is_the_published_one(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_file(tmp_path / "abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_json_has_one_spelling_whatever_the_order_of_keys():
    pairs = [("b", [1, 2.5, None]), ("a", {"y": True, "x": "é\ud800"}), ("c", -0.0)]
    spelled = {canonical_json(dict(order)) for order in itertools.permutations(pairs)}
    assert len(spelled) == 1
    (data,) = spelled
    assert data.isascii()
    assert data.endswith(b"}\n")
    assert json.loads(data) == dict(pairs)


def test_json_digests_keep_apart_what_python_calls_equal():
    digests = {digest_json(value) for value in (1, 1.0, True, "1", [1])}
    assert len(digests) == 5


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: "a"}, {"a": {2}}, object()])
def test_json_refuses_what_would_not_be_read_back(value):
    with pytest.raises(ResultError, match="value"):
        canonical_json(value)


def test_a_value_that_contains_itself_is_refused():
    loop = []
    loop.append(loop)
    with pytest.raises(ResultError, match="contains itself"):
        canonical_json(loop)


def test_the_digest_of_tensors_does_not_depend_on_order_or_strides():
    rng = torch.Generator().manual_seed(0)
    weights = {name: torch.randn(4, 6, generator=rng) for name in "abc"}
    strided = {name: weights[name].T.contiguous().T for name in "cab"}
    assert not strided["a"].is_contiguous()
    assert digest_tensors(weights) == digest_tensors(strided)


@pytest.mark.parametrize("rows", [0, 1])
def test_one_value_or_none_of_a_column_is_stored_as_it_is(rows):
    column = torch.arange(4 * rows).view(rows, 4).unbind(1)[2]
    assert column.stride() == (4,)
    assert digest_tensors({"w": column}) == digest_tensors({"w": torch.tensor([2])[:rows]})
    back, _ = read_tensor_bytes(tensor_bytes({"w": column}, {}))
    assert torch.equal(back["w"], column)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_digest_of_tensors_changes_with_any_bit_of_any_dtype(dtype):
    raw = torch.arange(48, dtype=torch.uint8) % 2
    tensor = raw.view(dtype)
    before = digest_tensors({"w": tensor})
    rng = random.Random(0)
    for _ in range(8):
        byte = rng.randrange(48)
        raw[byte] ^= 1
        assert digest_tensors({"w": tensor}) != before
        raw[byte] ^= 1
    assert digest_tensors({"w": tensor}) == before


def test_the_digest_of_tensors_sees_names_shapes_and_dtypes():
    flat = torch.zeros(6)
    variants = [
        {"w": flat},
        {"v": flat},
        {"w": flat.view(2, 3)},
        {"w": flat.view(torch.int32)},
        {"w": flat.bfloat16()},
        {"w": flat[:3], "x": flat[3:]},
        {"w": flat[:0]},
        {"w": torch.tensor(0.0)},
        {},
    ]
    assert len({digest_tensors(variant) for variant in variants}) == len(variants)


def test_the_digest_of_a_mapped_file_is_that_of_the_tensors_in_memory(tmp_path):
    weights = {"w": torch.randn(8, 3).bfloat16(), "b": torch.randn(5)}
    save_file(weights, tmp_path / "model.safetensors")
    assert digest_tensors(load_file(tmp_path / "model.safetensors")) == digest_tensors(weights)


def test_the_digest_of_tensors_does_not_depend_on_lazy_signs():
    value = torch.tensor([1 + 2j, 3 - 1j])
    lazy = value.conj()
    assert lazy.is_conj()
    assert digest_tensors({"z": lazy}) == digest_tensors({"z": lazy.resolve_conj()})
    assert digest_tensors({"z": lazy}) != digest_tensors({"z": value})


def test_a_tensor_without_plain_bytes_is_refused_by_name():
    with pytest.raises(ResultError, match="w_sparse"):
        digest_tensors({"w_sparse": torch.eye(3).to_sparse()})
    with pytest.raises(ResultError, match="w_meta"):
        digest_tensors({"w_meta": torch.empty(3, device="meta")})


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensors_come_back_as_the_bytes_that_were_written(dtype):
    tensors = {
        "matrix": (torch.arange(96, dtype=torch.uint8) % 2).view(dtype).view(2, -1),
        "empty": torch.empty(0, 3, dtype=dtype),
        "scalar": torch.zeros((), dtype=dtype),
    }
    back, metadata = read_tensor_bytes(tensor_bytes(tensors, {"b": 1, "a": "é"}))
    assert metadata == {"b": 1, "a": "é"}
    assert digest_tensors(back) == digest_tensors(tensors)


def test_tensors_that_share_memory_are_stored_whole():
    whole = torch.arange(6.0)
    back, _ = read_tensor_bytes(tensor_bytes({"whole": whole, "part": whole[2:4]}, {}))
    assert torch.equal(back["whole"], whole)
    assert torch.equal(back["part"], whole[2:4])


def test_a_safetensors_file_with_a_bogus_length_is_refused():
    data = tensor_bytes({"w": torch.ones(3)}, {})
    for length in (0, 1, 2**40, 2**64 - 1):
        with pytest.raises(ResultError, match="not a whole"):
            read_tensor_bytes(struct.pack("<Q", length) + data[8:])


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "table.json"
    write_atomic(path, b"old")

    def full(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_never_sees_a_part_of_a_file(tmp_path, monkeypatch):
    path = tmp_path / "values"
    write_atomic(path, b"old" * 1000)
    seen = []
    sync = os.fsync

    def look(handle):
        seen.append(path.read_bytes())
        sync(handle)

    monkeypatch.setattr(os, "fsync", look)
    write_atomic(path, b"new" * 1000)
    # Once before the rename, for the file, and once after it, for the folder.
    assert seen == [b"old" * 1000, b"new" * 1000]


def test_names_as_long_as_the_file_system_takes_are_written(tmp_path):
    path = tmp_path / ("n" * 255)
    write_atomic(path, b"x")
    assert path.read_bytes() == b"x"


def test_a_full_disk_is_told_with_its_path_and_free_bytes(tmp_path):
    with (
        pytest.raises(ElicitError, match=r"disk is full: .*deep/cell.* \d+ bytes are free"),
        disk_errors(tmp_path / "deep" / "cell", ElicitError),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_numpy_arrays_of_any_order_are_stored_by_value():
    from elicit.results.store import as_tensor

    array = np.arange(6, dtype=">i4").reshape(2, 3).T
    array.flags.writeable = False
    assert as_tensor(array, "a").tolist() == array.tolist()
    with pytest.raises(ResultError, match="labels"):
        as_tensor(np.array(["x"]), "names")


def test_a_path_counts_as_its_string():
    assert canonical_json({"out": Path("runs") / "a"}) == canonical_json({"out": "runs/a"})
