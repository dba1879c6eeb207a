"""A folder of activations is filled once, survives a kill, and is never read unless whole."""

import warnings

import pytest
import torch

from elicit.capture import ActivationStore, CaptureError, Moments, StoreError, capture, moments
from elicit.capture import _shards as shards_room
from elicit.capture import store as store_room
from elicit.capture._shards import plan_shards
from elicit.edits import Steer, edited
from elicit.pair import weights_digest
from elicit.runs import LOCK, DamagedFileWarning, RunError, release_lock, take_lock
from elicit.sites import SiteError, pattern, resid_post, resid_pre, z
from tests import checkpoints

SITES = [resid_post(1), z(0, 2)]


def token_rows(n=20, seed=0):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 12, (n,), generator=generator).tolist()
    return [torch.randint(4, 60, (length,), generator=generator).tolist() for length in lengths]


ROWS = token_rows()


def opened(
    folder, model, *, rows=ROWS, sites=SITES, dtype=torch.float32, shard_tokens=30, **options
):
    return ActivationStore.open(
        folder,
        model_digest=weights_digest(model),
        rows=rows,
        sites=sites,
        dtype=dtype,
        shard_tokens=shard_tokens,
        **options,
    )


def contents(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != LOCK]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def model(paired):
    return paired("llama").base


@pytest.fixture
def filled(tmp_path, model):
    store = opened(tmp_path / "filled", model)
    store.fill(model, pad_id=0)
    return store


@torch.no_grad()
def test_what_is_read_back_is_what_each_row_gives_alone(model, filled):
    lengths = [len(row) for row in ROWS]
    for site in SITES:
        alone = torch.cat(
            [capture(model, torch.tensor([row]), sites=[site]).at[site][0] for row in ROWS]
        )
        assert torch.allclose(filled.tensor(site), alone, atol=1e-5)
        found = list(filled.read(site))
        assert len(found) == len(filled.shards) > 3
        assert all(len(shard.activations) <= 30 for shard in found)
        assert torch.cat([shard.row for shard in found]).tolist() == [
            row for row, length in enumerate(lengths) for _ in range(length)
        ]
        assert torch.cat([shard.pos for shard in found]).tolist() == [
            pos for length in lengths for pos in range(length)
        ]
    assert filled.n_tokens == sum(lengths)


def test_moments_of_the_store_are_those_of_the_stream(paired, filled):
    site = SITES[0]
    from_disk = Moments(checkpoints.D_MODEL)
    for shard in filled.read(site):
        from_disk.update(shard.activations)
    streamed = moments(paired("llama").side("base"), ROWS, sites=[site])[site]
    assert from_disk.n == streamed.n
    assert torch.allclose(from_disk.covariance(), streamed.covariance(), atol=1e-4)


def test_a_second_fill_computes_nothing_and_changes_no_byte(model, filled):
    before = contents(filled.folder)
    again = opened(filled.folder, model)
    ran = []

    def count(*_: object) -> None:
        ran.append(1)

    count.keeps_values = True
    handle = model.embed.register_forward_hook(count)
    try:
        done = again.fill(model, pad_id=0)
    finally:
        handle.remove()
    assert not ran
    assert (done.n_computed, done.n_kept) == (0, 2 * len(again.shards))
    assert contents(filled.folder) == before


@pytest.mark.parametrize("n_before", [0, 1, 4])
def test_a_killed_fill_goes_on_and_ends_with_the_bytes_of_one_never_killed(
    tmp_path, model, filled, monkeypatch, n_before
):
    folder = tmp_path / "killed"
    real = store_room.write_shard
    written = []

    def dies(path, values, **named):
        if len(written) == n_before:
            # What a kill in the middle of a write leaves behind.
            (path.parent / f".{path.name}.0{shards_room.TEMPORARY}").write_bytes(b"half")
            raise KeyboardInterrupt
        written.append(path)
        real(path, values, **named)

    monkeypatch.setattr(store_room, "write_shard", dies)
    with pytest.raises(KeyboardInterrupt):
        opened(folder, model).fill(model, pad_id=0)
    monkeypatch.setattr(store_room, "write_shard", real)
    store = opened(folder, model)
    with pytest.raises(StoreError, match="not been filled to its end"):
        list(store.read(SITES[-1]))
    done = store.fill(model, pad_id=0)
    assert done.n_kept == n_before
    assert contents(folder) == contents(filled.folder)


def truncated(path, _others):
    path.write_bytes(path.read_bytes()[:-7])


def emptied(path, _others):
    path.write_bytes(b"")


def value_altered(path, _others):
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))


def header_altered(path, _others):
    path.write_bytes(path.read_bytes().replace(b"digest", b"digesT", 1))


def another_shard(path, others):
    path.write_bytes(others[1].read_bytes())


def another_file(path, _others):
    path.write_text("not a tensor in sight")


@pytest.mark.parametrize(
    "damage", [truncated, emptied, value_altered, header_altered, another_shard, another_file]
)
def test_a_damaged_or_foreign_shard_is_named_made_anew_and_never_read(model, filled, damage):
    before = contents(filled.folder)
    paths = [filled._path(SITES[0], index) for index in range(len(filled.shards))]
    damage(paths[2], paths)
    for store in (filled, opened(filled.folder, model)):
        with pytest.raises(StoreError, match="damaged or foreign") as caught:
            store.tensor(SITES[0])
        assert paths[2].name in str(caught.value)
    store = opened(filled.folder, model)
    with pytest.warns(DamagedFileWarning, match=paths[2].name):
        done = store.fill(model, pad_id=0)
    assert done.damaged == (paths[2],)
    assert done.n_computed == 1
    assert contents(filled.folder) == before


def test_a_shard_of_another_model_is_foreign_even_under_the_right_name(tmp_path, paired, filled):
    post = paired("llama").post
    other = opened(tmp_path / "post", post)
    other.fill(post, pad_id=0)
    here, there = (store._path(SITES[0], 1) for store in (filled, other))
    assert here.name == there.name
    here.write_bytes(there.read_bytes())
    with pytest.raises(StoreError, match="other weights, token ids or settings"):
        filled.tensor(SITES[0])


def test_a_damaged_manifest_is_named_and_the_shards_still_vouch_for_themselves(model, filled):
    before = contents(filled.folder)
    manifest = filled.folder / shards_room.MANIFEST
    manifest.write_bytes(manifest.read_bytes()[:-20])
    with pytest.warns(DamagedFileWarning, match="activations.json"):
        store = opened(filled.folder, model)
    done = store.fill(model, pad_id=0)
    assert done.n_computed == 0
    assert contents(filled.folder) == before


def test_a_site_can_be_added_and_the_others_are_kept(model, filled):
    before = contents(filled.folder)
    more = opened(filled.folder, model, sites=[resid_pre(2), SITES[0]])
    done = more.fill(model, pad_id=0)
    assert (done.n_computed, done.n_kept) == (len(more.shards), len(more.shards))
    after = contents(filled.folder)
    assert {name for name in before if before[name] != after[name]} == {shards_room.MANIFEST}
    assert torch.equal(opened(filled.folder, model).tensor(SITES[1]), filled.tensor(SITES[1]))


def test_each_shard_is_computed_by_itself_so_its_bytes_do_not_depend_on_what_is_there(
    model, filled
):
    before = contents(filled.folder)
    for index in (0, 3):
        filled._path(SITES[0], index).unlink()
    filled._path(SITES[1], 3).unlink()
    done = opened(filled.folder, model).fill(model, pad_id=0)
    assert done.n_computed == 3
    assert not done.damaged
    assert contents(filled.folder) == before


def test_what_is_read_is_mapped_and_writing_to_it_does_not_reach_the_file(model, filled):
    before = contents(filled.folder)
    shard = next(filled.read(SITES[0]))
    shard.activations.zero_()
    assert contents(filled.folder) == before
    assert next(opened(filled.folder, model).read(SITES[0])).activations.any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_on_disk_is_the_rounded_value(tmp_path, model, filled, dtype):
    store = opened(tmp_path / "half", model, dtype=dtype)
    store.fill(model, pad_id=0)
    for site in SITES:
        assert torch.equal(store.tensor(site), filled.tensor(site).to(dtype))


def test_other_weights_rows_or_settings_are_refused_with_both_values(tmp_path, paired, model):
    folder = tmp_path / "store"
    opened(folder, model).fill(model, pad_id=0)
    digest, other = weights_digest(model), weights_digest(paired("llama").post)
    with pytest.raises(StoreError) as caught:
        opened(folder, paired("llama").post)
    assert digest in str(caught.value)
    assert other in str(caught.value)
    with pytest.raises(StoreError, match="ids = "):
        opened(folder, model, rows=[*ROWS[:-1], [5]])
    with pytest.raises(StoreError, match="ids = "):
        opened(folder, model, rows=[[*ROWS[0], *ROWS[1]], *ROWS[2:]])
    with pytest.raises(StoreError, match="dtype = .*float32.*bfloat16"):
        opened(folder, model, dtype=torch.bfloat16)
    with pytest.raises(StoreError, match="shard_tokens = 30, and shard_tokens = 31"):
        opened(folder, model, shard_tokens=31)
    with pytest.raises(StoreError, match="max_tokens"):
        opened(folder, model, max_tokens=64)


def test_bad_arguments_are_refused_before_anything_is_written(tmp_path, paired, model):
    folder = tmp_path / "store"
    with pytest.raises(StoreError, match="sites is empty"):
        opened(folder, model, sites=[])
    with pytest.raises(CaptureError, match="as many values"):
        opened(folder, model, sites=[pattern(0)])
    with pytest.raises(CaptureError, match="twice"):
        opened(folder, model, sites=[z(0), z(0)])
    with pytest.raises(CaptureError, match="row 1 has no token"):
        opened(folder, model, rows=[[5], []])
    with pytest.raises(StoreError, match="dtype is int64"):
        opened(folder, model, dtype=torch.int64)
    with pytest.raises(StoreError, match="shard_tokens is 0"):
        opened(folder, model, shard_tokens=0)
    with pytest.raises(CaptureError, match="max_tokens is 0"):
        opened(folder, model, max_tokens=0)
    with pytest.raises(SiteError, match="layers 0 to 2"):
        opened(folder, model, sites=[z(9)]).fill(model, pad_id=0)
    with pytest.raises(CaptureError, match="token id 999"):
        opened(folder, model, rows=[[999]]).fill(model, pad_id=0)
    with pytest.raises(StoreError, match="of two models"):
        opened(folder, model).fill(paired("llama").post, pad_id=0)
    store = opened(folder, model)
    with pytest.raises(StoreError, match=r"z\.1 is not among"):
        store.read(z(1))
    with pytest.raises(StoreError, match="not there"):
        store.tensor(SITES[0])
    assert not folder.exists()


def test_an_edited_or_hooked_model_is_refused(tmp_path, model):
    store = opened(tmp_path / "store", model)
    steer = Steer(resid_post(0), vector=torch.ones(checkpoints.D_MODEL))
    with edited(model, [steer]):
        with pytest.raises(StoreError, match="under edits"):
            store.fill(model, pad_id=0)
        capture(model, torch.tensor([[5]]), sites=[resid_post(0)])
    for place in (model.blocks[1], model.hook_dict["blocks.1.attn.hook_z"]):
        handle = place.register_forward_hook(lambda *_: None)
        try:
            with pytest.raises(StoreError, match=r"a hook at blocks\.1"):
                store.fill(model, pad_id=0)
        finally:
            handle.remove()
    assert not store.folder.exists()


def test_a_model_in_training_mode_is_read_in_evaluation_mode(tmp_path, model):
    store, trained = opened(tmp_path / "store", model), opened(tmp_path / "trained", model)
    store.fill(model, pad_id=0)
    model.train()
    try:
        trained.fill(model, pad_id=0)
        assert model.training
    finally:
        model.eval()
    for site in SITES:
        assert torch.equal(store.tensor(site), trained.tensor(site))


def test_values_that_the_dtype_cannot_hold_are_refused_and_not_written(tmp_path, paired):
    pair = paired("gpt2")
    weight = pair.post.blocks[0].mlp.original_component.c_proj.bias
    before = weight.data.clone()
    weight.data += 1e5
    try:
        store = opened(tmp_path / "store", pair.post, dtype=torch.float16)
        with pytest.raises(StoreError, match="not finite as float16"):
            store.fill(pair.post, pad_id=0)
        assert not list((tmp_path / "store" / shards_room.SHARDS).glob("resid_post*"))
    finally:
        weight.data.copy_(before)


def test_two_fills_at_once_are_refused_and_the_lock_is_given_back(tmp_path, model, filled):
    handle = take_lock(filled.folder)
    try:
        with pytest.raises(RunError, match="Process"):
            opened(filled.folder, model).fill(model, pad_id=0)
    finally:
        release_lock(handle)
    filled.fill(model, pad_id=0)


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path, model):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(StoreError, match=r"thesis\.txt"):
        opened(tmp_path, model)
    with pytest.raises(StoreError, match="is a file"):
        opened(tmp_path / "thesis.txt", model)
    assert contents(tmp_path) == {"thesis.txt": b"mine"}


def test_shards_are_cut_between_rows_in_order():
    assert plan_shards([3, 3, 3, 9, 1], 6) == ((0, 1), (2,), (3,), (4,))
    assert plan_shards([1] * 5, 100) == ((0, 1, 2, 3, 4),)


def test_progress_is_told_every_row_and_always_ends(tmp_path, model, monkeypatch):
    told = []

    class Watch:
        def start(self, total, what):
            told.append(total)

        def advance(self, n=1, what=None):
            told.append(n)

        def stop(self):
            told.append("stop")

    opened(tmp_path / "a", model).fill(model, pad_id=0, progress=Watch())
    assert told[0] == sum(told[1:-1]) == len(ROWS)
    assert told[-1] == "stop"
    told.clear()

    def full(*_args, **_named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_room, "write_shard", full)
    with pytest.raises(StoreError, match="disk is full"):
        opened(tmp_path / "b", model).fill(model, pad_id=0, progress=Watch())
    assert told[-1] == "stop"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monkeypatch.undo()
        opened(tmp_path / "b", model).fill(model, pad_id=0)
