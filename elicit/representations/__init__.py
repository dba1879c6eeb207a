"""What each layer knows, and whether both models know it alike."""

from elicit.representations.coding import OnlineCode, online_code
from elicit.representations.errors import RepresentationError
from elicit.representations.labelled import Labelled, read_labelled
from elicit.representations.probes import Probe, fit_probe
from elicit.representations.probing import probe
from elicit.representations.report import ProbeReport
from elicit.representations.similarity import Similarity, similarity
from elicit.representations.stitching import Stitching, stitch
from elicit.representations.transfer import ProbeTransfer, transfer

__all__ = [
    "Labelled",
    "OnlineCode",
    "Probe",
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
