"""llama.cpp, given an exported control vector, computes what the edit computes."""

import re
from contextlib import nullcontext

import pytest
import torch

from elicit.edits import edited, everywhere
from elicit.exports import Options, export
from elicit.pair import hugging_face_model
from elicit.sites import Site
from tests.exports.by_llama_cpp import control_vector, loaded, write_llama
from tests.exports.conftest import direction

CLOSE = 1e-5
"""Largest difference that float32 is allowed, in logits of which the largest are near 3."""
CLEAR = 0.5
"""What another strength, another layer or none must differ by at least."""


def test_llama_cpp_steers_as_the_edit_does_and_at_no_other_layer(written, paired, tmp_path):
    pytest.importorskip("llama_cpp", reason="./scripts/roundtrips installs it")
    pytest.importorskip("gguf", reason="install the extra gguf")
    bridge = paired("llama").base
    ids = torch.randint(4, 60, (7,), generator=torch.Generator().manual_seed(1)).tolist()

    def ours(*edits) -> torch.Tensor:
        with torch.no_grad(), edited(bridge, edits) if edits else nullcontext():
            return hugging_face_model(bridge)(torch.tensor([ids]), use_cache=False).logits[0]

    plain = ours()
    with loaded(write_llama(written("llama", seed=1), tmp_path / "model.gguf")) as model:
        torch.testing.assert_close(model.logits(ids), plain, atol=CLOSE, rtol=0)
        for kind, layer, after in (("resid_post", 1, 1), ("resid_pre", 2, 1), ("resid_post", 2, 2)):
            one = direction(Site(kind, layer))
            file = tmp_path / f"{kind}.gguf"
            file.unlink(missing_ok=True)
            folder = one.save(tmp_path / f"{kind}{layer}")
            done = export(folder, "gguf", file, Options(scale=1.5))
            # The numbers of the command that the export prints.
            said = re.search(
                r"--control-vector-scaled \S+:(\S+) --control-vector-layer-range (\d) (\d)",
                done.says[0],
            )
            assert said is not None and said.groups() == ("1.5", str(after), str(after))
            vector = control_vector(file, float(said[1]))
            theirs = model.logits(ids, vector=vector, layers=(int(said[2]), int(said[3])))
            expected = ours(one.to_edit(1.5, everywhere()))
            torch.testing.assert_close(theirs, expected, atol=CLOSE, rtol=0)
            others = [plain, ours(one.to_edit(-1.5, everywhere()))]
            others += [
                ours(direction(Site("resid_post", near)).to_edit(1.5, everywhere()))
                for near in {0, 1, 2} - {after}
            ]
            assert min((theirs - other).abs().max() for other in others) > CLEAR
        # Where the export refuses to write, llama.cpp adds nothing.
        data, width = vector
        nothing = model.logits(ids, vector=(data, width), layers=(0, 0))
        torch.testing.assert_close(nothing, plain, atol=CLOSE, rtol=0)
