"""Other libraries' classes for annotations: real for a type checker, cheap at run time.

Importing transformer_lens or transformers costs seconds, so at run time a bridge is any module and
a tokenizer or a configuration any object.
"""

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge as Bridge
    from transformers import PreTrainedConfig as Config
    from transformers import PreTrainedModel as HuggingFaceModel
    from transformers import PreTrainedTokenizerBase as Tokenizer
else:
    Bridge = HuggingFaceModel = nn.Module
    Config = Tokenizer = object

__all__ = ["Bridge", "Config", "HuggingFaceModel", "Tokenizer"]
