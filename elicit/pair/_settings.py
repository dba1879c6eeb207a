"""How models are loaded, and a model before its weights are read."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch

from elicit.pair._templates import DATE
from elicit.pair.errors import PairError
from elicit.pair.handles import Bridge, Config, HuggingFaceModel, Tokenizer


@dataclass(frozen=True, kw_only=True)
class Loading:
    """How checkpoints are opened; the same for both models but for revision and device."""

    device_map: str | dict[str, str | int] | None = None
    """Placement over several devices, as Hugging Face takes it; replaces `device`."""
    post_device: str | torch.device | None = None
    """Device of post where it is another than base's; None puts both on one."""
    share_weights: bool = False
    """Whether weights that are equal in both models are in memory once; post is then read tensor by
    tensor beside base."""
    offload: bool = False
    """Whether weights stay in host memory and each is put on `device` for its call."""
    cuda_graphs: bool = False
    """Whether the step of a token is recorded once a batch of texts and replayed, for which every
    model is on a CUDA device of its own or the other's."""
    trust_remote_code: bool = False
    """Whether code that comes with a checkpoint may run."""
    attn_implementation: str = "eager"
    """`eager` (attention patterns can be read) or `sdpa`."""
    unused_tensors: Literal["refuse", "ignore"] = "refuse"
    """Tensors in the files that the model does not read: refused, or left out with a note."""
    renamed_tokens: Mapping[str, str] = field(default_factory=dict)
    """Special tokens that post calls otherwise than base: base's string to post's."""
    adds_bos: bool | None = None
    """Whether text begins with bos for both models; None: as both tokenizers agree."""
    separator: str | None = None
    """What stands between a plain prompt and its continuation; None: a space where the prompt's
    script has one."""
    template_date: str = DATE
    """Day that a chat template writes where it asks for today's, YYYY-MM-DD."""
    revision_base: str | None = None
    """Branch, tag or commit of the base on the hub."""
    revision_post: str | None = None
    """The same for post."""

    def __post_init__(self) -> None:
        """Refuse two ways of placing one model.

        Raises:
            PairError: A device map is given beside host memory or beside a device of post, or one
                of the first two beside steps that are recorded.
        """
        if self.cuda_graphs and (self.offload or self.device_map is not None):
            moved = "offload is set" if self.offload else f"device_map is {self.device_map!r}"
            raise PairError(
                f"cuda_graphs is set and {moved}, and a recorded step reads weights where they "
                "were on one device when it was recorded. Leave one of the two out."
            )
        if self.device_map is None:
            return
        if self.offload:
            raise PairError(
                f"device_map is {self.device_map!r} and offload is set too, so it is not clear "
                "where weights are kept. Give a device map, or keep all weights in host memory and "
                "name the one device that computes."
            )
        if self.post_device is not None:
            raise PairError(
                f"device_map is {self.device_map!r} and post_device {str(self.post_device)!r}, so "
                "it is not clear where post computes. Give a device map, which places both models, "
                "or one device for each."
            )

    def check_recorded(self, *devices: str | torch.device) -> None:
        """Refuse steps that no device could record.

        Args:
            devices: Of both models.

        Raises:
            PairError: One is no CUDA device.
        """
        if not self.cuda_graphs:
            return
        other = [one for one in devices if torch.device(resolve_device(one)).type != "cuda"]
        if other:
            raise PairError(
                f"cuda_graphs is set and a model is on {str(other[0])!r}, where no step can be "
                "recorded, so it would do nothing. Leave it out, or pass device='cuda'."
            )

    def apart(self, device: str | torch.device) -> bool:
        """Whether the two models compute on two devices.

        Args:
            device: Base's.

        Raises:
            PairError: They do, and weights are to be in memory once.
        """
        if self.post_device is None or _numbered(device) == _numbered(self.post_device):
            return False
        if self.share_weights and not self.offload:
            raise PairError(
                f"share_weights is set, with base on {str(device)!r} and post on "
                f"{str(self.post_device)!r}, and one tensor is on one device. Put both on one "
                "device, leave share_weights out, or set offload=True, which keeps what is shared "
                "in host memory."
            )
        return True


def resolve_device(device: str | torch.device) -> str | torch.device:
    """The device that a name stands for: `auto` is a CUDA device where there is one, else the CPU.

    Apple's MPS is chosen only where `TRANSFORMERLENS_ALLOW_MPS=1` is set, as in TransformerLens:
    some releases of PyTorch compute wrong values there without an error.

    Args:
        device: Name of a device, or `auto`.
    """
    if device != "auto":
        return device
    if torch.cuda.is_available():
        return "cuda"
    allowed = os.environ.get("TRANSFORMERLENS_ALLOW_MPS") == "1"
    return "mps" if allowed and torch.backends.mps.is_available() else "cpu"


def _numbered(device: str | torch.device) -> torch.device:
    """A device with its number, so that `cuda` and `cuda:0` are one."""
    found = torch.device(resolve_device(device))
    return found if found.type == "cpu" else torch.device(found.type, found.index or 0)


@dataclass(frozen=True, eq=False)
class Settings:
    """How both models are loaded, alike."""

    device: str | torch.device
    dtype: torch.dtype
    loading: Loading = field(default_factory=Loading)

    @property
    def home(self) -> str | torch.device:
        """Where weights are between two calls."""
        return "cpu" if self.loading.offload else self.device

    @property
    def of_post(self) -> "Settings":
        """The same with the device of post.

        Raises:
            PairError: Weights are to be in memory once and the models on two devices, or steps are
                to be recorded where that cannot be.
        """
        there = self.loading.post_device
        self.loading.check_recorded(self.device, self.device if there is None else there)
        if there is None or not self.loading.apart(self.device):
            return self
        return replace(self, device=resolve_device(there))


@dataclass(frozen=True, eq=False)
class Source:
    """A model before its weights are read: enough to refuse it early."""

    name: str
    """As the user gave it."""
    config: Config
    """Its full configuration."""
    tokenizer: Tokenizer | None
    """Its own tokenizer; None if it brings none."""
    open: Callable[[], tuple[HuggingFaceModel | Bridge, tuple[str, ...]]]
    """Reads the weights: a plain model, or the bridge that the user holds; and notes on them."""
    beside: Callable[[HuggingFaceModel], tuple[HuggingFaceModel, tuple[str, ...]]] | None = None
    """Reads the weights beside a loaded base; None where the whole model must be opened."""
    notes: tuple[str, ...] = ()
    """What was unusual about it, a sentence each."""
    adapter: bool = False
    """Whether it is an adapter on the base."""
