"""Texts whose steps are recorded and replayed are those that are written without."""

import warnings
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from elicit.edits import Ablate, Clamp, ProjectOut, Shift, Steer, edited, generated, window
from elicit.pair import Loading, PairError, load_pair, record_steps, records_steps
from elicit.rollouts import (
    Dial,
    Generation,
    TokenDraws,
    _recorded,
    _steady,
    continue_ids,
    dose_rollouts,
    rollouts,
)
from elicit.sites import resid_mid, resid_post, z
from elicit.tasks import load_task
from tests.checkpoints import WORDS
from tests.pretended import identity_kept, pretend, waits
from tests.rollouts import recording
from tests.rollouts.test_loop import ROWS, padded

RECORD = _recorded.record


@pytest.fixture
def made(monkeypatch):
    """How often a step was recorded, and how often one was replayed."""
    found = {"recorded": 0, "replayed": 0}

    def record(work, device):
        replay, logits = recording.record(work, device)
        found["recorded"] += 1

        def counted():
            found["replayed"] += 1
            replay()

        return counted, logits

    monkeypatch.setattr(_recorded, "record", record)
    return found


def both(model: nn.Module, write):
    """What is written without and with recorded steps."""
    plain = write()
    record_steps(model)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return plain, write()
    finally:
        record_steps(model, False)


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gpt_neox"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_text_of_recorded_steps_is_the_same(paired, architecture, temperature, made, monkeypatch):
    monkeypatch.setattr(_steady, "COLUMNS", 5)  # the memory grows twice
    model = paired(architecture).base.original_model
    seeds = [100 + i for i in range(len(ROWS))] if temperature else ()
    draws = TokenDraws(temperature=temperature, seeds=seeds)
    options = {"stop_ids": [2], "pad_id": 0, "draws": draws, "max_new_tokens": [14, 3, 2, 4]}
    plain, replayed = both(model, lambda: continue_ids(model, *padded(ROWS), **options))
    assert torch.equal(plain, replayed)
    # Prompts and the first token are read the plain way; then the memory grows at the sixth and the
    # eleventh token, and rows leave when fewer than half are running.
    assert made["replayed"] == plain.shape[1] - 2 == 12
    assert made["recorded"] == 4


@pytest.fixture(scope="module")
def words():
    asked = [" ".join(WORDS[i : i + 3 + i % 2]) for i in (4, 9, 11)]
    return load_task([{"prompt": each, "answer": WORDS[8]} for each in asked], name="words")


def _edits(d_model):
    first, second = torch.randn(2, d_model, generator=torch.Generator().manual_seed(0))
    return {
        "a dose for each row": lambda s: [Steer(resid_post(0), 40 * first, scale=s)],
        "later tokens alone": lambda s: [
            Clamp(resid_post(0), first, value=3.0, scale=s, where=generated(2)),
            ProjectOut(resid_mid(1), second, scale=s),
        ],
        "tokens in between": lambda s: [
            Ablate(resid_post(1), how="mean", value=first, scale=s, where=window(5, 6)),
            Steer(resid_post(0), second, scale=s, where=generated()),
        ],
    }


@pytest.mark.parametrize("name", ["a dose for each row", "later tokens alone", "tokens in between"])
def test_edits_reach_the_same_tokens_of_recorded_steps(paired, words, made, name):
    pair = paired("llama")
    side, edits = pair.side("base"), _edits(pair.d_model)[name]

    def write():
        return dose_rollouts(
            side, words, edits, strengths=[0.0, 1.0, 2.0],
            generation=Generation(
                max_new_tokens=12, temperature=1.0, batch_size=6, stop_ids=tuple(range(2, 12))
            ),
        )  # fmt: skip

    plain, replayed = both(side.bridge, write)
    assert torch.equal(plain.written, replayed.written) and made["replayed"] == 8
    steered = plain.written.split(plain.n_tokens.tolist())
    assert any(not torch.equal(a, b) for a, b in zip(steered[:3], steered[6:], strict=True))


def test_an_edit_that_only_recorded_steps_made_counts_as_made(paired, words, made):
    side = paired("llama").side("base")
    record_steps(side.bridge)
    try:
        with edited(side.bridge, [Steer(resid_post(0), torch.ones(32), where=generated(3))]):
            rollouts(side, words, generation=Generation(max_new_tokens=9, stop_ids=()))
            # The block still holds for calls that are not recorded.
            ids = torch.tensor([[5, 9, 12]])
            side.bridge.original_model(input_ids=ids)
    finally:
        record_steps(side.bridge, False)
    assert made["replayed"]


def test_two_models_write_together_with_recorded_steps(paired, words, made):
    pair = paired("llama")
    base, post = pair.side("base"), pair.side("post")
    generation, rule = Generation(max_new_tokens=8, stop_ids=()), Dial(towards=post, a=0.5)

    def write():
        return rollouts(base, words, generation=generation, rule=rule)

    record_steps(post.bridge)
    try:
        plain, replayed = both(
            base.bridge, lambda: rollouts(base, words, generation=generation, rule=rule)
        )
    finally:
        record_steps(post.bridge, False)
    assert torch.equal(plain.written, replayed.written)
    assert made["replayed"] == 2 * 6 + 6  # post's steps in both runs


def test_what_cannot_be_recorded_is_written_as_before(paired, words, made):
    """Functions of selected tokens, and layers that keep a window only."""
    generation = Generation(max_new_tokens=6, stop_ids=())
    for architecture in ("llama", "gemma2"):
        side = paired(architecture).side("base")
        edits = [Shift(resid_post(0), lambda x: 0.5 * x.flip(-1), where=generated())]

        def write(side=side, edits=edits if architecture == "llama" else []):
            if not edits:
                return rollouts(side, words, generation=generation)
            with edited(side.bridge, edits):
                return rollouts(side, words, generation=generation)

        plain, again = both(side.bridge, write)
        assert torch.equal(plain.written, again.written)
    assert not made["recorded"]


def _asks(_module, _args, output):
    """The host must know a number before it goes on."""
    if bool(output.abs().amax() > 1e9):
        return output * 0
    return None


def _counts(step):
    """A step with a number that only Python knows: it is recorded as it was once."""
    calls = []

    def counted(self):
        calls.append(self)
        return step(self) + (len(calls) > 1) * 0.1 * len(calls)

    return counted


@pytest.mark.parametrize("fault", ["capturing", "recorded gives .* differ"])
def test_a_step_that_cannot_be_replayed_is_said_and_read(paired, made, fault, monkeypatch):
    model = paired("llama").base.original_model
    options = {"stop_ids": (), "pad_id": 0, "max_new_tokens": 7}
    plain = continue_ids(model, *padded(ROWS), **options)
    handle = model.lm_head.register_forward_hook(_asks) if fault == "capturing" else None
    if handle is None:
        monkeypatch.setattr(_steady.Steady, "step", _counts(_steady.Steady.step))
    record_steps(model)
    try:
        with pytest.warns(UserWarning, match=f"not recorded as CUDA graphs.*{fault}"):
            found = continue_ids(model, *padded(ROWS), **options)
    finally:
        record_steps(model, False)
        if handle is not None:
            handle.remove()
    assert torch.equal(plain, found)  # all logits move alike, or none
    assert made["replayed"] == (0 if fault == "capturing" else 1)


def test_steps_are_recorded_on_cuda_devices_alone(written):
    with pytest.raises(PairError, match="no step can be recorded"):
        load_pair(
            written("llama", seed=1),
            written("llama", seed=2),
            device="cpu",
            loading=Loading(cuda_graphs=True),
        )
    with pytest.raises(PairError, match="recorded step reads weights where they"):
        Loading(cuda_graphs=True, offload=True)
    pair = load_pair("organism:rl", device="cpu", check_parity=False)
    assert not records_steps(pair.base)
    before = pair.identity["runs"]
    record_steps(pair.base)
    assert pair.identity["runs"] == f"{before}, steps recorded"
    record_steps(pair.base, False)
    record_steps(pair.post)
    assert pair.identity["runs"] == f"{before}, steps recorded"


def test_a_recorded_step_copies_nothing_from_the_host(written, words, made):
    """On a pretended device, where a copy from the host is seen as on a GPU."""
    there = pretend()[0]
    with identity_kept():
        pair = load_pair(
            *(written("llama", seed=1), written("llama", seed=2)), device=there, check_parity=False
        )
    side, vector = pair.side("base"), torch.ones(pair.d_model)

    def write():
        return dose_rollouts(
            *(side, words, lambda s: [Steer(resid_post(0), vector, scale=s)]),
            strengths=[0.0, 3.0],
            generation=Generation(max_new_tokens=6, stop_ids=()),
        )

    plain, replayed = both(side.bridge, write)
    assert torch.equal(plain.written, replayed.written) and made["replayed"] == 4
    with waits() as counted:
        write()
    shorter = counted.total()
    assert shorter <= 6 + 4  # once a token, and at the beginning of the batch


def test_a_step_is_recorded_on_the_device_of_its_model(paired, monkeypatch):
    """Which may be another than the current one, and each has streams of its own."""
    current, made = [], []

    @contextmanager
    def device(which):
        current.append(which)
        yield
        current.pop()

    @contextmanager
    def graph(_graph, *, stream):
        made.append((list(current), stream))
        yield

    replayed = SimpleNamespace(replay=lambda: made.append(list(current)))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: replayed)
    monkeypatch.setattr(torch.cuda, "Stream", lambda which: (which, object()))
    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    there = torch.device("cuda:1")
    for _ in range(2):
        replay, _logits = RECORD(lambda: torch.ones(1), there)
        replay()
    (one, stream), again, (_, other), _ = made
    assert one == again == [there] and stream[0] == there
    assert stream[1] is not other[1]
    # And it is the model's device that a reader names.
    named = []
    monkeypatch.setattr(_recorded, "record", lambda _, which: named.append(which) or (None, None))
    model = paired("llama").base.original_model
    record_steps(model)
    try:
        reader = _recorded.reader_of(model, *padded(ROWS), [0] * len(ROWS))
        running = torch.ones(len(ROWS), dtype=torch.bool)
        for _ in range(2):
            reader.logits(running)
            reader.append(torch.full((len(ROWS),), 5), running)
        reader._record()
    finally:
        record_steps(model, False)
    assert named == [reader.device]


@pytest.mark.slow(checked=True)
def test_rows_that_leave_have_their_edits_before_a_step_is_recorded(written, words, made):
    """A copy inside the step would read host memory that is long gone, at each replay."""
    there = pretend()[0]
    with identity_kept():
        pair = load_pair(
            *(written("llama", seed=1), written("llama", seed=2)), device=there, check_parity=False
        )
    side, vector = pair.side("base"), torch.ones(32)

    def edits(s):
        # A number for each row, a vector for each row, and the place of a head.
        return [
            Steer(resid_post(0), vector, scale=s),
            Steer(resid_mid(1), s[:, None] * vector + 1),
            Ablate(z(1, head=2)),
        ]

    def write():
        return dose_rollouts(
            *(side, words, edits),
            strengths=[0.0, 1.0, 2.0],
            generation=Generation(max_new_tokens=9, temperature=1.0, stop_ids=tuple(range(2, 14))),
        )

    plain, replayed = both(side.bridge, write)
    assert torch.equal(plain.written, replayed.written)
    assert made["recorded"] > 1  # rows left, and the others were recorded anew


def test_logits_of_a_replay_stay_as_they_are(paired, made):
    model = paired("llama").base.original_model
    record_steps(model)
    kept = []
    try:
        reader = _recorded.reader_of(model, *padded(ROWS), [0] * len(ROWS))
        running = torch.ones(len(ROWS), dtype=torch.bool)
        for token in (5, 9, 12, 7, 3):
            kept.append(reader.logits(running))
            reader.append(torch.full((len(ROWS),), token), running)
    finally:
        record_steps(model, False)
    assert made["replayed"] == 3
    assert len({each[0, 0].item() for each in kept}) == len(kept)
