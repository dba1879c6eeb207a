"""Representations of each layer: probes, codelengths, similarity, transfer and stitching."""

from elicit.representations.agreement import ShiftAgreement, problem_states, shift_agreement
from elicit.representations.controls import SURFACES, control_targets, shuffled_targets, surface
from elicit.representations.errors import RepresentationError
from elicit.representations.geometry import rotation
from elicit.representations.labels import Labelled, numbered, read_labelled
from elicit.representations.logistic import Design
from elicit.representations.mdl import OnlineCode, online_code
from elicit.representations.paired_activations import PairedTokens
from elicit.representations.places import sites_of
from elicit.representations.probe_result import ProbeReport
from elicit.representations.probes import Probe, ProbeOptions, choose_l2, fit_probe, fit_tasks
from elicit.representations.probing import probe
from elicit.representations.similarity import Similarity, similarity
from elicit.representations.stitching import Stitching, stitch
from elicit.representations.transfer import ProbeTransfer, transfer
from elicit.surroundings import guard_room

__all__ = [
    "PairedTokens",
    "sites_of",
    "numbered",
    "fit_tasks",
    "choose_l2",
    "Design",
    "rotation",
    "surface",
    "shuffled_targets",
    "control_targets",
    "SURFACES",
    "Labelled",
    "OnlineCode",
    "Probe",
    "ProbeOptions",
    "ProbeReport",
    "ProbeTransfer",
    "RepresentationError",
    "ShiftAgreement",
    "Similarity",
    "Stitching",
    "fit_probe",
    "online_code",
    "probe",
    "problem_states",
    "read_labelled",
    "shift_agreement",
    "similarity",
    "stitch",
    "transfer",
]

guard_room(__name__)
