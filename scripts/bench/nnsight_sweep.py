"""Patch cells with nnsight, as fast as it goes; run by patching.py in nnsight's own environment.

    NNSIGHT_PYTHON scripts/bench/nnsight_sweep.py FOLDER DEVICE DTYPE

Reads one JSON object a line from standard input and answers each with one on standard output:
`{"clean": rows, "corrupted": rows, "answer": ids, "wrong": ids}` sets the prompts, and
`{"cells": [[problem, layer, position], ...], "invokes": n}` patches `resid_pre` there, n cells a
trace, each an invoke of its own; the answer holds logit differences, CPU and wall seconds.
"""

import json
import sys
import time
import warnings
from collections.abc import Iterator

import torch
from nnsight import TransformersModel  # pyright: ignore[reportMissingImports]
from torch import Tensor


class Sweeper:
    """A model in nnsight, and the clean activations of the prompts."""

    def __init__(self, folder: str, device: str, dtype: str) -> None:
        """Load the model."""
        self.device = torch.device(device)
        # Only a GPU needs to be named, and naming a device needs accelerate.
        placed = {} if device == "cpu" else {"device_map": device}
        self.model = TransformersModel(
            folder, task="text-generation", dispatch=True, dtype=getattr(torch, dtype), **placed
        )
        inner = getattr(self.model, "transformer", None)
        self.blocks = inner.h if inner is not None else self.model.model.layers

    def prepare(self, job: dict[str, list]) -> None:
        """Run the clean prompts once and keep what enters every layer."""
        self.corrupted = torch.tensor(job["corrupted"], device=self.device)
        self.answer, self.wrong = job["answer"], job["wrong"]
        ids = torch.tensor(job["clean"], device=self.device)
        blocks = self.blocks
        with torch.no_grad(), self.model.trace(self._prompt(ids), logits_to_keep=1):
            kept = [].save()  # pyright: ignore[reportAttributeAccessIssue]
            for block in blocks:
                kept.append(block.input)
        self.donor = [value.detach().clone() for value in kept]

    @staticmethod
    def _prompt(ids: Tensor) -> dict[str, Tensor]:
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def sweep(self, cells: list[tuple[int, int, int]], invokes: int) -> list[float]:
        """Logit difference with each cell patched; only the last position is unembedded."""
        found: list[float] = []
        for begin in range(0, len(cells), invokes):
            some = cells[begin : begin + invokes]
            logits = self._trace(some)
            for (row, _, _), each in zip(some, logits, strict=True):
                found.append(float(each[self.answer[row]] - each[self.wrong[row]]))
        return found

    def _trace(self, cells: list[tuple[int, int, int]]) -> list[Tensor]:
        model, blocks, donor = self.model, self.blocks, self.donor
        prompts = [self._prompt(self.corrupted[row : row + 1]) for row, _, _ in cells]
        with torch.no_grad(), model.trace(logits_to_keep=1) as tracer:
            logits = [].save()  # pyright: ignore[reportAttributeAccessIssue]
            for prompt, (row, layer, pos) in zip(prompts, cells, strict=True):
                with tracer.invoke(prompt):
                    blocks[layer].input[:, pos] = donor[layer][row, pos]
                    logits.append(model.output.logits[0, -1])
        return logits


def synchronised(device: torch.device) -> tuple[float, float]:
    """CPU and wall clock once the device has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.process_time(), time.perf_counter()


def requests() -> Iterator[dict]:
    """What is asked, line by line."""
    for line in sys.stdin:
        if line.strip():
            yield json.loads(line)


def main() -> None:
    """Answer until the input ends."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    replies = sys.stdout
    sys.stdout = sys.stderr  # whatever a library prints is no reply
    sweeper = Sweeper(*sys.argv[1:4])
    for job in requests():
        if "clean" in job:
            sweeper.prepare(job)
            answer: dict[str, object] = {"ready": True}
        else:
            cpu, wall = synchronised(sweeper.device)
            values = sweeper.sweep([tuple(cell) for cell in job["cells"]], job["invokes"])
            cpu_end, wall_end = synchronised(sweeper.device)
            answer = {"values": values, "cpu": cpu_end - cpu, "wall": wall_end - wall}
        replies.write(json.dumps(answer) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
