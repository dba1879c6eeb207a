"""A vector written for a tool is, read by that tool, the vector with its multiple."""

import json

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from elicit.capture import capture as read_at
from elicit.cli import main
from elicit.directions import DirectionSet, TrainedVector
from elicit.edits import at, edited, everywhere, generated, last, prompt, window
from elicit.engines import open_interp_engine
from elicit.exports import EXPORTERS, ExportError, Options, export
from elicit.pair import hugging_face_model, layer_names
from elicit.results import Estimate, read_tensor_bytes
from elicit.sites import Site
from tests.checkpoints import D_MODEL
from tests.exports.by_easysteer import SteeringSpec
from tests.exports.conftest import STRENGTH, direction


def test_llama_cpp_finds_the_vector_at_the_layer_after_which_it_was_read(run, tmp_path):
    gguf = pytest.importorskip("gguf", reason="install the extra gguf")
    done = export(run, "gguf", tmp_path / "v.gguf")
    reader = gguf.GGUFReader(tmp_path / "v.gguf")
    text = {
        name: bytes(field.parts[field.data[0]]).decode()
        for name, field in reader.fields.items()
        if field.types and field.types[0] == gguf.GGUFValueType.STRING
    }
    assert text["general.architecture"] == "controlvector"
    assert text["controlvector.model_hint"] == "m"
    (tensor,) = reader.tensors
    assert tensor.name == "direction.1"
    assert np.array_equal(tensor.data, direction(Site("resid_post", 1)).vector.numpy())
    assert f"v.gguf:{STRENGTH:g} --control-vector-layer-range 1 1" in done.says[0]
    assert "last()" in done.says[-1]


def test_a_vector_where_llama_cpp_adds_nothing_is_refused(tmp_path):
    pytest.importorskip("gguf", reason="install the extra gguf")
    for site, says in ((Site("resid_post", 0), "layer 0"), (Site("mlp_out", 1), r"mlp_out\.1")):
        folder = direction(site).save(tmp_path / str(site))
        with pytest.raises(ExportError, match=says):
            export(folder, "gguf", tmp_path / "v.gguf")
    assert not (tmp_path / "v.gguf").exists()


@pytest.mark.parametrize(
    ("where", "apply"),
    [
        (everywhere(), {"prompt": "all", "generation": "all"}),
        (last(), {"prompt_positions": [-1]}),
        (prompt(), {"prompt": "all"}),
        (generated(), {"generation": "all"}),
        (generated(0, 0), {"generation_window": [0, 1]}),
        (generated(1), {"generation_window": [1, None]}),
        (at(0, -2), {"prompt_positions": [0, -2]}),
    ],
    ids=str,
)
def test_easysteer_adds_the_vector_where_and_at_the_tokens_that_the_edit_does(
    run, tmp_path, where, apply
):
    pytest.importorskip("gguf", reason="install the extra gguf")
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps(summary | {"steered": {"where": str(where)}}))
    done = export(run, "easysteer", tmp_path / "easy")
    read = SteeringSpec.model_validate_json((tmp_path / "easy" / "steering.json").read_text())
    (vector,) = read.vectors
    assert vector.apply.model_dump(exclude_none=True, mode="json") == apply
    assert not any("evaluated at" in line for line in done.says)
    assert (vector.algorithm, vector.normalize) == ("direct", False)
    (layer, added), *more = vector.deltas().items()
    assert layer == 1 and not more
    assert torch.equal(added, direction(Site("resid_post", 1)).vector * STRENGTH)
    n_prompt, n_tokens = 5, 9
    ours = where.select(
        torch.arange(n_tokens)[None], torch.tensor([n_prompt]), rows=torch.tensor([0]),
        first_column=0,
    )  # fmt: skip
    assert ours.any() and torch.equal(vector.apply.selects(n_prompt, n_tokens), ours[0])


def test_tokens_that_easysteer_cannot_select_are_named_and_its_older_clauses_refused(run, tmp_path):
    pytest.importorskip("gguf", reason="install the extra gguf")
    summary = json.loads((run / "summary.json").read_text())
    summary["steered"] = {"where": str(window(2, 6))}
    (run / "summary.json").write_text(json.dumps(summary))
    done = export(run, "easysteer", tmp_path / "easy")
    text = (tmp_path / "easy" / "steering.json").read_text()
    apply = SteeringSpec.model_validate_json(text).vectors[0].apply
    assert apply.prompt == apply.generation == "all"
    assert "here it was evaluated at window(2, 6)" in done.says[-1]
    older = json.loads(text)
    older["vectors"][0]["apply"] = {"phases": ["prompt"], "positions": [-1]}
    with pytest.raises(ValidationError, match="phases"):
        SteeringSpec.model_validate(older)


def test_interp_engine_reads_the_specification_that_is_written_for_it(run, tmp_path):
    export(run, "interp-engine", tmp_path / "spec.json", Options(scale=2.0))
    (spec,) = json.loads((tmp_path / "spec.json").read_text())
    (step,) = spec["layers"]["1"]
    expected = direction(Site("resid_post", 1)).vector
    assert (spec["point"], step["method"], step["scale"]) == ("resid_post", "additive", 2.0)
    assert torch.equal(torch.tensor(step["vector"]), expected)
    specs = pytest.importorskip(
        "interp_engine.server.schemas",
        reason="pip install 'interp-engine[server]'",
        exc_type=ImportError,
    )
    (operation,) = specs.SteeringWire(**spec).to_spec(len(expected)).layers[1].operations
    assert operation.scale == 2.0 and torch.equal(operation.vector, expected)


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        *(("llama", kind) for kind in ("resid_pre", "resid_post", "attn_out", "mlp_out")),
        *(("gemma2", kind) for kind in ("resid_post", "attn_out", "mlp_out")),
    ],
)
def test_interp_engine_steers_by_the_specification_as_the_edit_does(
    paired, tmp_path, architecture, kind
):
    needed = {"reason": "pip install 'interp-engine[server]'", "exc_type": ImportError}
    specs = pytest.importorskip("interp_engine.server.schemas", **needed)
    from interp_engine import Address, capture, steer

    pair, one = paired(architecture), direction(Site(kind, 1))
    bridge = pair.post
    file = tmp_path / "spec.json"
    done = export(one.save(tmp_path / "vector"), "interp-engine", file, Options(scale=2.0))
    if architecture == "gemma2" and kind != "resid_post":
        (said,) = [line for line in done.says if "Gemma-2" in line]
        assert f"{kind}_post" in said
        file.write_text(file.read_text().replace(f'"{kind}"', f'"{kind}_post"'))
    spec = [specs.SteeringWire(**each).to_spec(D_MODEL) for each in json.loads(file.read_text())]
    model = open_interp_engine(bridge, pair.post_tokenizer, "post")._model
    ids = torch.randint(4, 60, (1, 7), generator=torch.Generator().manual_seed(1))
    read = [Address("resid_post", layer) for layer in range(3)]
    with torch.no_grad(), steer(model, spec, prompt_token_ids=ids):
        theirs = capture(model, ids[0].tolist(), read)
    sites = [Site("resid_post", layer) for layer in range(3)]
    plain = read_at(bridge, ids, sites=sites).at
    with torch.no_grad(), edited(bridge, [one.to_edit(2.0, everywhere())]):
        ours = read_at(bridge, ids, sites=sites).at
    for place, site in zip(read, sites, strict=True):
        torch.testing.assert_close(theirs[place][0], ours[site][0], atol=1e-5, rtol=1e-5)
    assert torch.equal(plain[sites[0]], ours[sites[0]])
    assert (plain[sites[1]] - ours[sites[1]]).abs().max() > 1


def test_one_safetensors_file_says_where_the_vector_is_added(run, tmp_path):
    export(run, "safetensors", tmp_path / "v.safetensors")
    tensors, told = read_tensor_bytes((tmp_path / "v.safetensors").read_bytes())
    assert torch.equal(tensors["vector"], direction(Site("resid_post", 1)).vector)
    assert (told["site"], told["scale"], told["where"]) == ("resid_post.1", STRENGTH, "last()")
    assert told["hook"] == "blocks.1.hook_resid_post"


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma2"])
def test_layers_are_called_without_weights_what_they_are_called_with_them(
    written, paired, architecture
):
    inner = hugging_face_model(paired(architecture).base).base_model
    named = {id(module): name for name, module in inner.named_modules()}
    blocks = [named[id(block)] for block in paired(architecture).base.blocks]
    assert list(layer_names(written(architecture, seed=1))) == blocks


def test_the_harness_steers_as_the_edit_does(written, paired, run, tmp_path):
    model = written("llama", seed=1)
    options = Options(model=str(model))
    done = export(run, "lm-eval", tmp_path / "steer.pt", options)
    assert f"pretrained={model},steer_path={tmp_path / 'steer.pt'}" in done.says[0]
    held = torch.load(tmp_path / "steer.pt", weights_only=True)
    assert list(held) == [layer_names(model)[1]]
    (entry,) = held.values()
    assert entry["steering_coefficient"] == STRENGTH
    harness = pytest.importorskip(
        "lm_eval.models.hf_steered", reason="pip install lm_eval", exc_type=ImportError
    )
    steered = harness.SteeredModel(
        str(model), str(tmp_path / "steer.pt"), device="cpu", dtype="float32",
        attn_implementation="eager",
    )  # fmt: skip
    ids = torch.randint(4, 60, (2, 7), generator=torch.Generator().manual_seed(1))
    theirs = steered.forward(ids, use_cache=False).logits
    bridge = paired("llama").base
    edit = direction(Site("resid_post", 1)).to_edit(STRENGTH, everywhere())
    with torch.no_grad(), edited(bridge, [edit]):
        ours = hugging_face_model(bridge)(ids, use_cache=False).logits
    torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        plain = hugging_face_model(bridge)(ids, use_cache=False).logits
    assert (theirs - plain).abs().max() > 1


def test_trained_vectors_and_one_of_several_directions_are_vectors_too(tmp_path):
    one = direction(Site("resid_post", 1))
    trained = TrainedVector(
        vector=one.vector, site=one.site, where="last()", model="m", model_digest="d" * 64,
        resid_norm=2.0, norm=torch.ones(2), log_prob=torch.zeros(2), log_prob_before=-2.0,
        log_prob_after=-1.0, n=8,
    )  # fmt: skip
    export(trained.save(tmp_path / "trained"), "interp-engine", tmp_path / "a.json")
    alone = torch.stack([one.vector, 2 * one.vector])
    nothing = torch.zeros(2, dtype=torch.float64)
    several = DirectionSet(
        how="mean", model="m", model_digest="d" * 64, position="last",
        site=("resid_post.1", "resid_post.2"), layer=torch.tensor([1, 2]), vector=alone,
        norm=alone.norm(dim=1), resid_norm=torch.ones(2), explained=torch.ones(2),
        reliability=torch.ones(2), reliability_range=torch.ones(2, 2),
        auroc=Estimate(value=nothing, low=nothing, high=nothing), n_pairs=8, n_held_out=8,
        n_shifted=0,
    )  # fmt: skip
    folder = several.save(tmp_path / "several")
    with pytest.raises(ExportError, match="is not a direction"):
        export(folder, "interp-engine", tmp_path / "b.json")
    with pytest.raises(ExportError, match=r"resid_post\.1, resid_post\.2, so it is not clear"):
        export(folder, "interp-engine", tmp_path / "b.json", Options(result="several"))
    export(folder, "interp-engine", tmp_path / "b.json", Options(site="resid_post.2"))
    for name, layer, times in (("a", "1", 1), ("b", "2", 2)):
        (spec,) = json.loads((tmp_path / f"{name}.json").read_text())
        (step,) = spec["layers"][layer]
        assert step["scale"] == 1.0
        assert torch.equal(torch.tensor(step["vector"]), times * one.vector)


def test_what_cannot_be_exported_is_refused_with_what_to_do(run, tmp_path):
    between = direction(Site("resid_mid", 1)).save(tmp_path / "between")
    for call, says in (
        (lambda: export(run, "ggml"), "no export to 'ggml'.*gguf"),
        (lambda: export(tmp_path / "no", "gguf"), "holds no result"),
        (lambda: export(run, "gguf", tmp_path / "v.bin"), "end in .gguf"),
        (lambda: export(run, "gguf", run), "is there already"),
        (lambda: export(run, "gguf", None, Options(repo="a/b")), "repo would be ignored"),
        (lambda: export(run, "gguf", None, Options(site="resid_post.2")), "is at resid_post.1"),
        (lambda: export(run, "gguf", None, Options(result="texts")), "is not a direction"),
        (lambda: export(run, "gguf", None, Options(scale=0.0)), "nothing would be added"),
        (lambda: export(run, "xarray"), "texts, vector: pass one"),
        (lambda: export(run / "vector", "sae-lens"), "SAEs none"),
        (lambda: export(run / "vector", "inspect"), "is not texts"),
        (lambda: export(between, "interp-engine"), r"at resid_mid\.1, where .* does not add"),
    ):
        with pytest.raises(ExportError, match=says):
            call()


def test_the_command_line_lists_tools_and_writes_for_one(run, tmp_path, capfd):
    with pytest.raises(SystemExit) as left:
        main(["export"])
    listed = capfd.readouterr().out
    assert not left.value.code and all(name in listed for name in EXPORTERS)
    with pytest.raises(SystemExit) as left:
        main(["export", str(run), "--to", "interp-engine", "--scale", "3", "--json"])
    done = json.loads(capfd.readouterr().out)
    assert not left.value.code
    assert done["paths"] == [f"{run}-exports/interp-engine.json"]
    assert json.loads((run.parent / "run-exports" / "interp-engine.json").read_text())
    with pytest.raises(SystemExit) as left:
        main(["export", str(run)])
    assert left.value.code == 2 and "--to is not given" in capfd.readouterr().err
