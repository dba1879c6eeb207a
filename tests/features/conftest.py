"""Texts of the organisms' world, and SAEs on their residual stream."""

import numpy as np
import pytest

from elicit import organisms
from elicit.organisms.language import draw_chain
from elicit.tasks import load_task
from tests.features import made

SITE = "blocks.3.hook_resid_post"


@pytest.fixture(scope="session")
def chains():
    rng = np.random.default_rng(7)
    return [draw_chain(rng, n_steps=1 + i % 4) for i in range(48)]


@pytest.fixture(scope="session")
def pair(organism):
    return organism("when-l3")


@pytest.fixture(scope="session")
def traces(pair, chains):
    """Problems with their traces, as token ids; every third has a check and a wait."""
    rows = []
    for i, chain in enumerate(chains):
        trace = chain.trace
        if i % 3 == 0:
            trace += f" check {chain.step(0)} ok ; wait {chain.step(0)} ;"
        text = f"{chain.question} {trace} answer {chain.answer} ."
        rows.append(pair.alignment.plain(text))
    return rows


@pytest.fixture(scope="session")
def facts(pair):
    """Facts: texts without a word of reasoning."""
    asked = load_task(organisms.resolve("organism:when-l3").facts).subset(80, seed=0)
    # `Q the city of E ? A answer` becomes `the city of E is X .`
    texts = [f"{p.prompt[2:].split(' ?')[0]} is {p.answer} ." for p in asked]
    return [pair.alignment.plain(text) for text in texts]


@pytest.fixture(scope="session")
def prompts(pair, chains):
    """The same problems under the header for traces and under the one for answers."""
    return {
        header: [pair.alignment.plain(f"{header} {chain.question}") for chain in chains]
        for header in ("notes", "quiz")
    }


@pytest.fixture(scope="session")
def sae(pair):
    from elicit.features import from_sae_lens

    module = made.random_module("jumprelu", d_in=pair.d_model, d_sae=64, hook=SITE, seed=4)
    return from_sae_lens(module, name="random")
