"""A plan needs no weights, counts what the command counts, and its arithmetic is open."""

import json
import re
import shutil
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from elicit import jobs, organisms
from elicit.cli import main
from elicit.jobs._forecast import Size, forecast
from elicit.jobs._plan import fits
from elicit.jobs._plan.cards import (
    BANDWIDTH_EFFICIENCY,
    BUS_EFFICIENCY,
    CARDS,
    FULL_EFFICIENCY,
    LAYER_SECONDS,
)
from elicit.pair import Loading, PairError, load_pair, outline_pair
from elicit.patching.sweep import sweep
from elicit.runs import NoProgress
from elicit.weights import changed_slots
from tests import checkpoints

FORECAST = ("report", "graft", "patch", "revise", "exists", "features", "steer", "trace")


@pytest.fixture(scope="module")
def outline():
    return outline_pair("organism:rl")


@pytest.fixture(scope="module")
def weightless(tmp_path_factory):
    """Folders with configuration and tokenizer and no weights."""
    folder = tmp_path_factory.mktemp("weightless")
    for name in ("base", "post"):
        whole = folder / f"whole-{name}"
        organisms.export(getattr(organisms.resolve("rl"), name), whole)
        kept = shutil.copytree(whole, folder / name, ignore=lambda *_: ["model.safetensors"])
        assert not list(kept.glob("*.safetensors"))
    return folder


def spec_of(name, tmp_path, **options):
    return jobs.COMMANDS[name].spec.from_options(
        {"pair": "organism:rl", "out": tmp_path, "limit": 48} | options
    )


def test_an_outline_has_every_size_of_the_loaded_pair_and_no_numbers(outline, organism):
    pair = organism("rl")
    assert Size.of(outline) == Size.of(pair)
    assert outline.alignment.digest == pair.alignment.digest
    one = next(outline.base.parameters())
    assert one.untyped_storage().device.type == "meta"


@pytest.mark.parametrize("name", FORECAST)
def test_a_plan_counts_what_the_command_counts(name, outline, organism, tmp_path):
    spec = spec_of(name, tmp_path)
    job = jobs.COMMANDS[name].job
    counted = [
        forecast(
            pair, job.costing.stages(spec, pair, job.prepare(spec, pair, job.check(spec)).inputs)
        )
        for pair in (outline, organism("rl"))
    ]
    assert counted[0].stages == counted[1].stages


@pytest.mark.parametrize("architecture", checkpoints.FAMILIES)
def test_fused_projections_and_tied_embeddings_have_the_sizes_of_the_checkpoint(
    architecture, written, paired
):
    base, post = written(architecture), written(architecture, seed=1)
    assert Size.of(outline_pair(base, post)) == Size.of(paired(architecture))


def test_an_adapter_changes_what_its_header_names(tmp_path, written):
    llama = written("llama")
    adapter = checkpoints.write_adapter(tmp_path / "adapter", llama)
    assert changed_slots(outline_pair(llama, adapter)) == changed_slots(load_pair(llama, adapter))


class _Stop(Exception):
    """Ends a run once its forecast is known."""


class _Announced(NoProgress):
    sentence = ""

    def announce(self, sentence: str) -> None:
        self.sentence = sentence
        raise _Stop


@pytest.mark.slow(checked=True)
@pytest.mark.parametrize("name", ["revise", "trace"])
def test_the_plan_and_the_run_say_the_same_tokens_operations_and_memory(name, tmp_path, capsys):
    own = {"traces": "own"} if name == "trace" else {}
    words = ["--pair", "organism:hollow", "--limit", "8"]
    words += [word for key, value in own.items() for word in (f"--{key}", value)]
    main_ok("plan", "--command", name, *words)
    told = " ".join(capsys.readouterr().out.split())
    spec = spec_of(name, tmp_path, pair="organism:hollow", limit=8, **own)
    progress = _Announced()
    with pytest.raises(_Stop):
        jobs.COMMANDS[name].run(spec, progress=progress)
    for what in (r"[\d,]+ tokens read", r"at most [\d,]+ written", r"[\d.]+ GiB"):
        (planned,) = re.findall(what, told)[:1]
        if not planned.startswith("at most 0 "):
            assert planned in progress.sentence
    flop = float(re.findall(r"([\d,.]+) TFLOP", told)[0].replace(",", ""))
    run, unit = re.findall(r"([\d,.]+) ([GT])FLOP", progress.sentence)[0]
    assert flop * (1000 if unit == "G" else 1) == pytest.approx(
        float(run.replace(",", "")), rel=6e-3
    )


def test_a_shared_pair_is_planned_and_counted_once(tmp_path):
    llama = tmp_path / "base"
    organisms.export(organisms.resolve("rl").base, llama)
    adapter = checkpoints.write_adapter(tmp_path / "adapter", llama)
    named = {"pair": None, "base": str(llama), "post": str(adapter),
             "problems": organisms.resolve("rl").problems}  # fmt: skip
    apart, shared = (
        jobs.plan(spec_of("revise", tmp_path / "run", share_weights=share, **named))[0]
        for share in (False, True)
    )
    loaded = load_pair(llama, adapter, loading=Loading(share_weights=True))
    assert shared.forecast.size == Size.of(loaded)
    assert shared.placement["base on cpu"] == apart.placement["base on cpu"]
    assert shared.placement["post on cpu"] < 0.2 * apart.placement["post on cpu"]


def test_a_plan_reads_no_weights(weightless, tmp_path, capsys):
    with pytest.raises(PairError):
        load_pair(weightless / "base", weightless / "post")
    main_ok("plan", "--command", "graft,revise", "--base", str(weightless / "base"),
            "--post", str(weightless / "post"), "--problems",
            str(organisms.resolve("rl").problems), "--json")  # fmt: skip
    first, second = json.loads(capsys.readouterr().out)
    assert (first["command"], second["command"]) == ("graft", "revise")
    assert first["gflop"] > 0 and first["placement_gib"]["base on cpu"] > 0
    assert {card["card"] for card in first["cards"]} == {"L4", "A100-80GB", "H100", "H200"}


def main_ok(*words):
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 0


@pytest.mark.slow(checked=True)
def test_a_pair_too_large_for_a_card_is_narrowed_then_split(tmp_path, monkeypatch):
    giant = Size(layers=68_000_000_000, head=1_000_000_000, nbytes=2 * 4 * 69_000_000_000)
    monkeypatch.setattr(Size, "of", classmethod(lambda _cls, _pair: giant))
    (plan,) = jobs.plan(spec_of("revise", tmp_path, device="cuda"), cards=["L4", "H200"])
    small, large = plan.fits
    # No number of these cards holds both models; host memory may.
    assert small.flags == "--offload" and small.gib < 24
    # Each forward moves 4 × 69 B bytes, however few tokens it reads.
    assert small.minutes > small.moved / 30 / 60 and small.moved > 4 * 69e9 / 2**30
    # Neither does what not even one module and the activations leave room for.
    tiny = replace(CARDS["L4"], memory=1e-3)
    monkeypatch.setitem(CARDS, "tiny", tiny)
    (plan,) = jobs.plan(spec_of("revise", tmp_path, device="cuda"), cards=["tiny"])
    assert not plan.fits[0].n_cards and plan.fits[0].words == "does not fit"
    # 2 models × 69 B × 2 bytes = 257 GiB over cards of 0.9 × 141 GiB.
    assert large.n_cards == 3
    assert large.flags == "--dtype bfloat16 --max-tokens 2048 --device-map auto"


@pytest.mark.slow(checked=True)
def test_a_plan_names_the_options_that_its_flags_exclude(tmp_path, monkeypatch):
    giant = Size(layers=68_000_000_000, head=1_000_000_000, nbytes=2 * 4 * 69_000_000_000)
    monkeypatch.setattr(Size, "of", classmethod(lambda _cls, _pair: giant))
    flags = {}
    for name, value in (("cuda_graphs", True), ("device_map", "auto")):
        spec = spec_of("revise", tmp_path, device="cuda", **{name: value})
        (plan,) = jobs.plan(spec, cards=["L4", "H200"])
        flags[name] = [fit.flags for fit in plan.fits]
    split = "--dtype bfloat16 --max-tokens 2048 --device-map auto"
    assert flags["cuda_graphs"] == [
        "--offload without --cuda-graphs",
        f"{split} without --cuda-graphs",
    ]
    assert flags["device_map"] == ["--offload without --device-map", split]


def test_weights_in_host_memory_are_planned_there(tmp_path):
    apart, kept = (
        jobs.plan(spec_of("revise", tmp_path, device="cuda", offload=offload), cards=["L4"])[0]
        for offload in (False, True)
    )
    assert kept.placement["base in host memory"] == apart.placement["base on cuda"]
    assert not any(name.startswith(("base on", "post on")) for name in kept.placement)
    assert kept.fits[0].gib < apart.fits[0].gib and kept.fits[0].words == "fits as it is"


def test_one_model_on_each_of_two_devices_is_planned_by_device(tmp_path, monkeypatch):
    options = {"device": "cuda:0", "post_device": "cuda:1"}
    apart = jobs.plan(spec_of("revise", tmp_path, **options), cards=["L4"])[0]
    whole = jobs.plan(spec_of("revise", tmp_path, device="cuda:0"), cards=["L4"])[0]
    assert apart.placement["base on cuda:0"] == whole.placement["base on cuda:0"]
    assert apart.placement["post on cuda:1"] == whole.placement["post on cuda:0"]
    for what in ("activations", "keys and values"):
        there = {apart.placement[f"{what} on cuda:{place}"] for place in (0, 1)}
        assert there == {whole.placement[f"{what} on cuda:0"]}
    (fit,) = apart.fits
    assert (fit.n_cards, fit.words) == (2, "fits as it is")
    stage = max(map(whole.forecast.size.memory, whole.forecast.stages)) / 2**30
    assert fit.gib == pytest.approx(whole.fits[0].gib + stage)
    with pytest.raises(PairError, match="one tensor is on one device"):
        jobs.plan(spec_of("revise", tmp_path, share_weights=True, **options))
    # A card that holds one model and not two.
    model, both = whole.placement["base on cuda:0"], whole.fits[0].gib
    tiny = replace(CARDS["L4"], memory=(both - model / 2) / 0.9)
    monkeypatch.setitem(CARDS, "tiny", tiny)
    monkeypatch.setattr(fits, "LEAST_TOKENS", 10**9)
    monkeypatch.setattr(fits, "_as", lambda whole, _itemsize, _pair: whole)
    (plan,) = jobs.plan(spec_of("revise", tmp_path, device="cuda"), cards=["tiny"])
    assert plan.fits[0].n_cards == 2
    assert plan.fits[0].flags.endswith("--device cuda:0 --post-device cuda:1")


def test_minutes_are_the_rates_of_the_card(outline, tmp_path):
    spec = spec_of("trace", tmp_path, device="cuda")
    (plan,) = jobs.plan(spec, cards=["H100"])
    card, size = CARDS["H100"], plan.forecast.size
    seconds = plan.forecast.flop / (1e12 * card.full * FULL_EFFICIENCY)
    for stage in plan.forecast.stages:
        weights = 4 * (size.layers + size.head) + size.cached * stage.cached
        moved = weights / (1e9 * card.bandwidth * BANDWIDTH_EFFICIENCY)
        seconds += stage.written / 64 * max(moved, outline.n_layers * LAYER_SECONDS)
    assert plan.fits[0].minutes == pytest.approx(seconds / 60)
    assert plan.fits[0].words == "fits as it is"


@pytest.mark.slow(checked=True)
def test_minutes_of_an_offload_are_those_of_the_card_and_the_bus(outline, tmp_path):
    apart, kept = (
        jobs.plan(
            spec_of("trace", tmp_path, device="cuda", offload=offload, limit=8), cards=["H100"]
        )[0]
        for offload in (False, True)
    )
    size, moved = kept.forecast.size, 0.0
    for stage in kept.forecast.stages:
        read = stage.tokens + stage.reread
        logits = bool(stage.unembedded or stage.reread)
        forwards = max(read / 8192, float(read > 0))
        moved += 4 * forwards * (size.layers + size.head * (1 + logits))
        moved += 4 * stage.written / 64 * (size.layers + 2 * size.head)
    assert apart.fits[0].moved == 0 and kept.fits[0].moved == pytest.approx(moved / 2**30)
    waiting = moved / (1e9 * CARDS["H100"].bus * BUS_EFFICIENCY)
    assert kept.fits[0].minutes == pytest.approx(apart.fits[0].minutes + waiting / 60)
    assert kept.device_gib == pytest.approx(kept.fits[0].gib)
    assert kept.host_gib == pytest.approx(size.nbytes / 2**30)
    assert apart.host_gib == apart.placement["host memory while loading"] > 0


def test_unknown_cards_and_commands_are_refused(tmp_path, capsys):
    with pytest.raises(jobs.SpecError, match="A100-80GB, H100"):
        jobs.plan(spec_of("patch", tmp_path), cards=["Voodoo2"])
    with pytest.raises(SystemExit):
        main(["plan", "--command", "patsch", "--pair", "organism:rl"])
    assert "'patsch'" in capsys.readouterr().err


@pytest.mark.slow(checked=True)
def test_a_sweep_costs_what_its_forecast_says(organism, tmp_path):
    pair = organism("rl")
    spec = spec_of(
        "patch", tmp_path, limit=2, positions=[-2, -1], factorial=False, controls=["noise"]
    )
    job = jobs.COMMANDS["patch"].job
    inputs = job.prepare(spec, pair, job.check(spec)).inputs
    stages = job.costing.stages(spec, pair, inputs)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        for swept in inputs.plans.values():
            sweep(swept)
    expected = sum(Size.of(pair).read_flop(stage) for stage in stages)
    assert expected == pytest.approx(counter.get_total_flops(), rel=0.25)
