"""A plain copy of a model that another library trains, and what it means for the model itself."""

import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from elicit.elicitation.training._course import Course
from elicit.elicitation.training._parametrised import (
    Parametrised,
    layer_matrices,
    live_parameters,
    merged,
    training,
)
from elicit.elicitation.training._ways import RANK, parametrised
from elicit.elicitation.training.errors import TrainingError
from elicit.elicitation.training.plans import Trainable
from elicit.pair import Side, device_of, hugging_face_model, parameter_groups
from elicit.weights import replaced

EXTRA = "Run: python -m pip install 'elicit-interp[train]'"
"""How the libraries are installed."""


def trl_module() -> Any:
    """The library, loaded when it is first used.

    Raises:
        TrainingError: It is not installed.
    """
    try:
        import trl  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise TrainingError(
            "backend='trl' needs the packages trl, datasets and accelerate, and "
            f"{error.name or 'one'} is not installed, so nothing could be trained by it. {EXTRA}, "
            "or use backend='own'."
        ) from error
    return trl


class Twin(Parametrised):
    """A plain model with the weights of a side, and their way back into it.

    Args:
        side: The model, unchanged.
        trainable: `all` or `lora`.

    Raises:
        TrainingError: Another way of training is asked for, or the model is changed or has fused
            matrices, which the plain model has in one piece.
    """

    def __init__(self, side: Side, trainable: Trainable) -> None:
        """Copy the weights; nothing is shared."""
        if trainable not in ("all", "lora"):
            raise TrainingError(
                f"trainable is {trainable!r}, and trl trains 'all' weights or 'lora' alone. Pass "
                "one of these, or backend='own'."
            )
        groups = parameter_groups(side.bridge)
        fused = next((name for name, group in groups.items() if group.fused), None)
        if fused is not None:
            raise TrainingError(
                f"{fused} is read in pieces here and in one by a plain model, so what trl trains "
                "could not be put back exactly. Use backend='own' for this architecture."
            )
        self._side, self._trainable = side, trainable
        wrapped: Any = hugging_face_model(side.bridge)
        kind: Any = type(wrapped)
        dtype = next(wrapped.parameters()).dtype
        self.model: Any = kind._from_config(
            wrapped.config, dtype=dtype, attn_implementation=wrapped.config._attn_implementation
        )
        self._names = list(groups)
        own = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, group in groups.items():
                own[name].copy_(group.canonical)
        self.model.to(device_of(wrapped))
        self.leaves = ()

    @property
    def n_trained(self) -> int:
        """See `Parametrised`."""
        if self._trainable == "all":
            return sum(p.numel() for p in live_parameters(self._side.bridge).values())
        return sum(RANK * sum(p.shape) for p in layer_matrices(self._side.bridge).values())

    @property
    def adapter(self) -> Any:
        """What peft is to put on the model; None where all weights are trained."""
        if self._trainable == "all":
            return None
        from peft import LoraConfig

        targets = [name.removesuffix(".weight") for name in layer_matrices(self._side.bridge)]
        return LoraConfig(r=RANK, lora_alpha=RANK, target_modules=targets, lora_dropout=0.0)

    def taken_up(self, trainer: Any, *, seed: int, warm_up: int = 1) -> None:
        """Follow what a trainer trains, which begins and warms up as in the own loop.

        Args:
            trainer: Has not trained yet.
            seed: Of the rows that a change of low rank reads.
            warm_up: Updates until the learning rate is whole; the first has its share already.
        """
        self.model = trainer.model
        if self._trainable == "lora":
            drawn = parametrised(
                self._side.bridge, "lora", norms=torch.zeros(0), seed=seed
            ).values()
            with torch.no_grad():
                for stem, module in self._adapted():
                    module.lora_A["default"].weight.copy_(drawn[f"{stem}.down"])
        trainer.create_optimizer()
        trainer.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
            trainer.optimizer, lambda number: min(1.0, (number + 1) / warm_up)
        )

    def _adapted(self) -> Iterator[tuple[str, Any]]:
        for name, module in self.model.named_modules():
            if hasattr(module, "lora_A") and "default" in module.lora_A:
                yield f"{name.removeprefix('base_model.model.')}.weight", module

    def installed(self) -> ExitStack:
        """See `Parametrised`."""
        return training(self._side.bridge, list(live_parameters(self._side.bridge).values()))

    def refresh(self) -> None:
        """See `Parametrised`; what the model itself reads inside `reading`."""

    @torch.no_grad()
    def values(self) -> dict[str, Tensor]:
        """See `Parametrised`."""
        if self._trainable == "all":
            own = dict(self.model.named_parameters())
            return {name: own[name].detach().cpu().clone() for name in self._names}
        found: dict[str, Tensor] = {}
        for stem, module in self._adapted():
            up = module.lora_B["default"].weight * module.scaling["default"]
            found[f"{stem}.up"] = up.detach().cpu().clone()
            found[f"{stem}.down"] = module.lora_A["default"].weight.detach().cpu().clone()
        return found

    @contextmanager
    def reading(self) -> Iterator[None]:
        """A block in which the side's own model reads what the twin has learned so far."""
        with replaced(merged(self._side.bridge, self.values())):
            yield


def follows(
    twin: Twin, course: Course, measured: Callable[[dict[str, float]], Tensor], every: int
) -> Any:
    """A callback that answers the problems to choose on, and ends training.

    Args:
        twin: What is trained.
        course: Follows the training.
        measured: From what the trainer logged of the last update, all updates so far.
        every: Updates between choices.
    """
    from transformers import TrainerCallback

    class Follows(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            logs = more.get("logs") or {}
            if "loss" not in logs or state.global_step < 1:
                return
            so_far = measured(logs)
            n = len(so_far)
            ends = course.ends(so_far) or n >= course.steps
            if ends or n % every == 0:
                with twin.reading():
                    course.kept(so_far)
                # What was just answered may end it too, and says why.
                ends = course.ends(so_far) or ends
            control.should_training_stop = control.should_training_stop or ends

    return Follows()


@contextmanager
def scratch() -> Iterator[str]:
    """A folder for what the trainer writes, gone after the block."""
    with tempfile.TemporaryDirectory(prefix="elicit-trl-") as folder:
        yield folder


@contextmanager
def quiet() -> Iterator[None]:
    """A block in which trainers and data sets say nothing about themselves on the terminal."""
    import datasets  # pyright: ignore[reportMissingImports]

    with warnings.catch_warnings():
        # What trl and transformers rename among themselves is not the caller's to mend.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        shown = datasets.is_progress_bar_enabled()
        datasets.disable_progress_bars()
        try:
            yield
        finally:
            if shown:
                datasets.enable_progress_bars()


def silent(trainer: type) -> type:
    """A trainer that reports to nobody, over the network or on the terminal.

    Args:
        trainer: One of trl's.
    """
    from transformers import PrinterCallback

    start: Any = trainer.__init__

    def begin(self: Any, *args: Any, **options: Any) -> None:
        start(self, *args, **options)
        self.remove_callback(PrinterCallback)

    return type(
        trainer.__name__, (trainer,), {"__init__": begin, "_send_telemetry": lambda self: None}
    )


def keep_code_lengths(model: nn.Module, lengths: list[list[float]]) -> None:
    """Keep what each target cost before its update, from the forward that trl trains on.

    Args:
        model: What trl's trainer for fine-tuning made of the model.
        lengths: Takes the code length of each row's targets, nats, a list a batch.
    """

    def keep(_model: nn.Module, _args: tuple, outputs: Any) -> None:
        # Zero where there is no target.
        lengths.append((-outputs.log_probs.detach().double().sum(-1)).tolist())

    model.register_forward_hook(keep)
