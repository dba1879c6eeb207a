"""A base model and its post-trained child, made comparable."""

import html
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from elicit.pair._checks import forward_settings
from elicit.pair.alignment import Alignment
from elicit.pair.errors import PairError
from elicit.pair.handles import Bridge, Tokenizer
from elicit.pair.parameters import hugging_face_model
from elicit.pair.placement import device_of
from elicit.pair.recording import records_steps
from elicit.pair.side import Side, end_tokens, position_limit
from elicit.results import ModelId, Provenance, digest_json, installed_versions


@dataclass(frozen=True, eq=False, kw_only=True)
class ModelPair:
    """A base model and the model post-trained from it, with one axis of layers, ids and positions.

    Made by `load_pair`, which refuses what cannot be compared.
    """

    base: Bridge
    """The base, in raw mode: weights as in the checkpoint, nothing folded."""
    post: Bridge
    """The post-trained model, processed like the base."""
    tokenizer: Tokenizer
    """The base's own tokenizer. A bridge's `tokenizer` may add bos to every text; this does not."""
    post_tokenizer: Tokenizer
    """The post-trained model's own tokenizer."""
    alignment: Alignment
    """How text becomes token ids, the same for both models."""
    n_layers: int
    """Blocks in each model."""
    d_model: int
    """Width of the residual stream."""
    d_vocab: int
    """Ids below this have a row in both models."""
    architecture: str
    """The family of both, e.g. `llama`."""
    base_name: str
    """Hub id, directory or organism of the base, as given."""
    post_name: str
    """The same for post."""
    base_digest: str
    """SHA-256 of the base's weights."""
    post_digest: str
    """SHA-256 of the post-trained model's weights."""
    identical: bool
    """Whether all weights are the same: every difference is then 0."""
    dtype: torch.dtype
    """Dtype of both models' weights."""
    device: str
    """Where base's embedding is."""
    attn_implementation: str
    """Attention of the wrapped Hugging Face models: `eager` or `sdpa`."""
    parity: tuple[float, float] | None = None
    """Largest difference in a logit from plain base and plain post; None if not measured."""
    notes: tuple[str, ...] = ()
    """Differences that do not prevent a comparison but matter to a reader, a sentence each."""

    @property
    def base_id(self) -> ModelId:
        """Name and weight digest of the base."""
        return ModelId(name=self.base_name, digest=self.base_digest)

    @property
    def post_id(self) -> ModelId:
        """Name and weight digest of the post-trained model."""
        return ModelId(name=self.post_name, digest=self.post_digest)

    @property
    def post_device(self) -> str:
        """Where post's embedding is; the same as base's unless it was given a device of its own."""
        return str(device_of(self.post))

    @property
    def devices(self) -> str:
        """Where the models compute, in words: one device, or base's and post's."""
        there = self.post_device
        return self.device if there == self.device else f"{self.device} and {there}"

    @property
    def identity(self) -> dict[str, str]:
        """All that a value measured on this pair depends on besides data and options.

        Weights, settings of the forward, the way from text to token ids, precision, device and
        versions; for `RunDirectory.open`.
        """
        settings = {
            name: forward_settings(hugging_face_model(model).config)  # pyright: ignore[reportArgumentType]
            for name, model in (("base", self.base), ("post", self.post))
        }
        versions = installed_versions()
        return {
            "base": self.base_digest,
            "post": self.post_digest,
            "settings": digest_json([settings, self.attn_implementation]),
            "text": self.alignment.digest,
            "ends": str(list(self.side("base").ends)),
            "runs": f"{str(self.dtype).removeprefix('torch.')} on {self.devices}"
            + ", steps recorded" * (records_steps(self.base) or records_steps(self.post)),
            **{name: versions[name] for name in ("torch", "transformers", "transformer_lens")},
        }

    def side(self, name: str) -> Side:
        """One of the two models, for instruments that read one or let it write.

        Args:
            name: `base` or `post`.

        Raises:
            PairError: There is no such model.
        """
        if name == "base":
            bridge, digest = self.base, self.base_digest
        elif name == "post":
            bridge, digest = self.post, self.post_digest
        else:
            raise PairError(f"a pair has no model {name!r}. Pass 'base' or 'post'.")
        return Side(
            bridge=bridge,
            name=name,
            digest=digest,
            alignment=self.alignment,
            n_positions=position_limit(bridge),
            ends=end_tokens((self.base, self.tokenizer), (self.post, self.post_tokenizer)),
        )

    def provenance(
        self,
        seed: int | None = None,
        arguments: Mapping[str, object] | None = None,
        *,
        task_digests: Mapping[str, str] | None = None,
    ) -> Provenance:
        """Origin of a number measured on this pair.

        Args:
            seed: Seed of every random choice; None if there was none.
            arguments: Arguments of the question, JSON values only.
            task_digests: Digest of each task file by its name.
        """
        return Provenance(
            base=self.base_id,
            post=self.post_id,
            seed=seed,
            dtype=str(self.dtype).removeprefix("torch."),
            device=self.devices,
            arguments=dict(arguments or {}),
            task_digests=dict(task_digests or {}),
        )

    def _rows(self) -> list[tuple[str, str]]:
        """What a person should see of the pair, as labels and values."""
        template = self.alignment.template_owner
        rows = [
            ("base", f"{self.base_name} · {self.base_digest[:12]}"),
            ("post", f"{self.post_name} · {self.post_digest[:12]}"),
            (
                "shape",
                f"{self.architecture}, {self.n_layers} layers, d_model {self.d_model}, "
                f"d_vocab {self.d_vocab}",
            ),
            (
                "run",
                f"{str(self.dtype).removeprefix('torch.')} on {self.devices}, "
                f"{self.attn_implementation} attention",
            ),
            (
                "text",
                f"{'bos before' if self.alignment.adds_bos else 'no bos before'} text, "
                f"{'no chat template' if template == 'none' else f'chat template of {template}'}",
            ),
        ]
        if self.identical:
            rows.append(("identical", "all weights are the same"))
        return [*rows, *(("note", note) for note in self.notes)]

    def __repr__(self) -> str:
        """The pair in a few lines."""
        lines = [f"  {label}: {value}" for label, value in self._rows()]
        return "\n".join(["ModelPair(", *lines, ")"])

    def _repr_html_(self) -> str:
        """The pair as a table for a notebook."""
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(label)}</th>"
            f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
            for label, value in self._rows()
        )
        return f"<table>{rows}</table>"
