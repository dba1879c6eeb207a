"""Names of a model's layers, found without its weights."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from elicit.pair._guards import explained
from elicit.pair._settings import Settings
from elicit.pair._sources import locate
from elicit.pair.errors import PairError


def layer_names(model: str | Path) -> tuple[str, ...]:
    """Module name of each layer inside `base_model`, such as `layers.3`.

    Args:
        model: Hub id, directory, adapter's base, or embedded organism. Only its configuration is
            read.

    Raises:
        PairError: There is no such model, or its layers are not one list of modules.
    """
    found = locate(model, "model", Settings("cpu", torch.float32), revision=None)
    config: Any = found.config
    text = getattr(config, "get_text_config", lambda: config)()
    n_layers = int(text.num_hidden_layers)
    with explained("model", str(model)), torch.device("meta"):
        from transformers import AutoModelForCausalLM

        whole: Any = AutoModelForCausalLM.from_config(config)
    lists = [
        name
        for name, module in whole.base_model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == n_layers
    ]
    if not lists:
        raise PairError(
            f"{model} has no list of {n_layers} layers, so it is not known what each is called. "
            "Name the module by hand."
        )
    return tuple(f"{lists[0]}.{layer}" for layer in range(n_layers))
