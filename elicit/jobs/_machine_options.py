"""Where the weights of both models are kept, as options of a run."""

from typing import Annotated

from elicit.jobs._option import MACHINE, Option

PostDevice = Annotated[
    str | None,
    Option("Device of post, such as cuda:1 beside --device cuda:0.", MACHINE, "NAME",
           default="that of base"),
]  # fmt: skip
"""Excludes a device map."""
DeviceMap = Annotated[
    str | None, Option("Placement over several devices, such as auto.", MACHINE, "MAP")
]
"""As Hugging Face takes it; replaces the device."""
Offload = Annotated[
    bool, Option("Keep weights in host memory; each is on the device for its call alone.", MACHINE)
]
"""Excludes a device map."""
ShareWeights = Annotated[
    bool, Option("Hold weights that are equal in both models in memory once.", MACHINE)
]
"""Combines with an offload; over several devices each model is placed whole first."""
Graphs = Annotated[
    bool, Option("Write texts with steps that are recorded as CUDA graphs.", MACHINE)
]
"""Excludes an offload and a device map; texts are the same but for rounding."""
