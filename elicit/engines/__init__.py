"""Engines that write and read in place of the models in this process, and what they can do exactly.

Only what an engine does exactly is handed to it: greedy and sampled texts, activations of the
residual stream, attention and MLPs, under edits that add a vector, clamp or project along a
direction. Weights that changed, patches, masked attention, functions of activations, lanes and
gradients stay with the models themselves.
"""

from elicit.engines.errors import EngineError
from elicit.engines.interp import Backend, InterpEngine, open_interp_engine
from elicit.engines.pushes import KINDS, Push, PushStep, pushes_of
from elicit.engines.serving import engine_of, serving
from elicit.engines.values import Draws, Engine

__all__ = [
    "KINDS",
    "Backend",
    "Draws",
    "Engine",
    "EngineError",
    "InterpEngine",
    "Push",
    "PushStep",
    "engine_of",
    "open_interp_engine",
    "pushes_of",
    "serving",
]
