"""No file of a checkpoint runs code: pickled weights are refused before anything opens them."""

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from elicit.pair import PairError, load_pair, no_unpickling
from tests import checkpoints


class Payload:
    """Writes a file wherever it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory, llama):
    return checkpoints.write_adapter(tmp_path_factory.mktemp("adapter"), llama)


@pytest.fixture
def mark(tmp_path) -> Path:
    return tmp_path / "ran"


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.ckpt", "weights.pkl"])
def test_a_pickled_checkpoint_is_refused_by_its_name_and_never_opened(
    written, tmp_path, mark, name
):
    post = tmp_path / "post"
    shutil.copytree(written("llama", seed=2), post)
    for path in post.glob("*.safetensors"):
        path.unlink()
    (post / name).write_bytes(pickle.dumps(Payload(mark)))
    with pytest.raises(PairError, match=name.replace(".", r"\.")):
        load_pair(written("llama", seed=1), post)
    assert not mark.exists()


def test_a_pickle_under_the_name_of_a_safetensors_file_is_refused(written, tmp_path, mark):
    post = tmp_path / "post"
    shutil.copytree(written("llama", seed=2), post)
    (post / "model.safetensors").write_bytes(pickle.dumps(Payload(mark)))
    with pytest.raises(PairError):
        load_pair(written("llama", seed=1), post)
    assert not mark.exists()


@pytest.mark.parametrize("named", ["../outside.safetensors", "weights.bin", "/etc/x.safetensors"])
def test_an_index_that_names_files_elsewhere_or_pickles_is_refused(written, tmp_path, named):
    post = tmp_path / "post"
    shutil.copytree(written("llama", seed=2), post)
    tensors = load_file(post / "model.safetensors")
    (post / "model.safetensors").unlink()
    save_file(tensors, tmp_path / "outside.safetensors", {"format": "pt"})
    index = {"metadata": {}, "weight_map": dict.fromkeys(tensors, named)}
    (post / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(PairError, match=named):
        load_pair(written("llama", seed=1), post)


def test_a_pickled_adapter_is_refused(llama, adapter, tmp_path, mark):
    post = tmp_path / "adapter"
    shutil.copytree(adapter, post)
    (post / "adapter_model.safetensors").unlink()
    torch.save({"x": Payload(mark)}, post / "adapter_model.bin")
    with pytest.raises(PairError, match=r"adapter_model\.bin"):
        load_pair(llama, post)
    assert not mark.exists()


def test_an_adapter_does_not_choose_what_is_imported(llama, adapter, tmp_path, monkeypatch):
    (tmp_path / "chosen.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    post = tmp_path / "adapter"
    shutil.copytree(adapter, post)
    file = post / "adapter_config.json"
    config = json.loads(file.read_text())
    config |= {"megatron_config": {"x": 1}, "megatron_core": "chosen"}
    file.write_text(json.dumps(config))
    with pytest.raises(PairError, match="chosen"):
        load_pair(llama, post)


@pytest.mark.parametrize("weights_only", [None, False])
def test_torch_reads_no_objects_whatever_the_environment_says(
    tmp_path, mark, monkeypatch, weights_only
):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    file = tmp_path / "x.pt"
    torch.save({"x": Payload(mark)}, file)
    with no_unpickling(), pytest.raises(pickle.UnpicklingError):
        torch.load(file, weights_only=weights_only)
    assert not mark.exists()


@pytest.mark.parametrize(
    "damage",
    [
        "[" * 100_000,
        "[]",
        "null",
        '{"model_type": []}',
        '{"model_type": "llama", "hidden_size": "x"}',
        '{"model_type": "llama", "rope_parameters": 3}',
        '{"model_type": "llama", "num_attention_heads": 0}',
        '{"model_type": "llama", "vocab_size": -1}',
    ],
)
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "tokenizer.json"])
def test_a_malformed_file_of_a_checkpoint_is_one_error(written, tmp_path, damage, file):
    post = tmp_path / "post"
    shutil.copytree(written("llama", seed=2), post)
    (post / file).write_text(damage)
    try:
        load_pair(written("llama", seed=1), post)
    except PairError:
        return
    assert file == "tokenizer_config.json"  # what it lacks has defaults
