"""What each layer knows, and whether both models know it alike."""

from elicit.representations.errors import RepresentationError
from elicit.representations.labels import Labelled, read_labelled
from elicit.representations.mdl import OnlineCode, online_code
from elicit.representations.probe_result import ProbeReport
from elicit.representations.probes import Probe, ProbeOptions, fit_probe
from elicit.representations.probing import probe
from elicit.representations.similarity import Similarity, similarity
from elicit.representations.stitching import Stitching, stitch
from elicit.representations.transfer import ProbeTransfer, transfer

__all__ = [
    "Labelled",
    "OnlineCode",
    "Probe",
    "ProbeOptions",
    "ProbeReport",
    "ProbeTransfer",
    "RepresentationError",
    "Similarity",
    "Stitching",
    "fit_probe",
    "online_code",
    "probe",
    "read_labelled",
    "similarity",
    "stitch",
    "transfer",
]
