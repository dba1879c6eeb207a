"""Load SAEs from local folders, SAELens releases, and memory."""

import difflib
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from elicit.features.errors import FeatureError
from elicit.features.sae import Published, Sae
from elicit.pair import no_unpickling, reason, resolve_device
from elicit.results import ElicitError, digest_tensors, parse_json, read_file
from elicit.sites import Site, SiteError, site_of_hook

PREFIX = "sae:"
_UNFOLDED = ("expected_average_only_in", "covariance_whitening")


def load_sae(
    source: str | Path,
    *,
    site: Site | None = None,
    device: str = "auto",
    dtype: torch.dtype = torch.float32,
) -> Sae:
    """Load an SAE from a SAELens folder or release, with frozen weights.

    Args:
        source: A folder with `cfg.json` and `sae_weights.safetensors`, or `sae:<release>/<id>` of
            SAELens's directory, fetched from the hub.
        site: Site that it reads, if its hook name is unknown; otherwise the two must agree.
        device: Device of its weights, `auto` as for the models of a pair.
        dtype: Precision of its weights.

    Raises:
        FeatureError: There is no such SAE, it cannot be read or fetched, its hook point is unknown
            or not `site`, or its normalisation was not folded into its weights.
    """
    device = str(resolve_device(device))
    name = str(source)
    if name.startswith(PREFIX):
        return _from_release(name, site, device, dtype)
    folder = Path(source)
    for file in ("cfg.json", "sae_weights.safetensors"):
        if not (folder / file).is_file():
            raise FeatureError(
                f"{folder} has no {file}, so it is not a SAELens folder. Pass one written by "
                "save_inference_model, or sae:<release>/<id>."
            )
    from sae_lens import SAE

    with _as_feature_error(name), _quiet():
        _check_folder(folder)
        module = SAE.load_from_disk(folder, device=device, dtype=_word(dtype))
        sae = from_sae_lens(module, name=name, site=site)
        # Tried once: SAELens believes a configuration until it computes with it.
        with torch.no_grad():
            sae.reconstruct(torch.ones(1, 2, sae.d_in, device=device))
        return sae


def from_sae_lens(
    module: nn.Module, *, name: str, site: Site | None = None, published: Published | None = None
) -> Sae:
    """Wrap a SAELens SAE that is in memory.

    Args:
        module: Inference SAE; it is set to evaluation mode and its weights are frozen.
        name: Name of the SAE.
        site: Site that it reads, if its hook name is unknown; otherwise the two must agree.
        published: Published fidelity; None: from its metadata.

    Raises:
        FeatureError: It is a training SAE, its hook point is unknown or not `site`, or its
            normalisation was not folded into its weights.
    """
    from sae_lens import SAE, TrainingSAE

    if not isinstance(module, SAE) or isinstance(module, TrainingSAE):
        raise FeatureError(
            f"{name} is a {type(module).__name__} and not a SAELens inference SAE, so its "
            "features would be those of training. Save it with save_inference_model and load that."
        )
    cfg: Any = module.cfg
    if cfg.normalize_activations in _UNFOLDED:
        raise FeatureError(
            f"{name} has normalize_activations={cfg.normalize_activations!r}, whose factor is "
            "not folded into the weights, so every feature would be wrong. Load the final SAE "
            "instead of a training checkpoint."
        )
    # Heads are one vector here; SAELens's reshaping would keep the last shape it saw.
    module.turn_off_forward_pass_hook_z_reshaping()
    module.eval().requires_grad_(False)
    metadata = {key: value for key, value in cfg.metadata.items() if _is_plain(value)}
    kwargs = metadata.get("model_from_pretrained_kwargs")
    return Sae(
        name=name,
        site=_site(name, metadata, site),
        architecture=str(cfg.architecture()),
        d_in=int(cfg.d_in),
        d_sae=int(cfg.d_sae),
        directions=_directions(module),
        published=published or _published(metadata, int(cfg.d_sae)),
        metadata=metadata,
        digest=digest_tensors(dict(module.state_dict())),
        centred=isinstance(kwargs, dict) and bool(kwargs.get("center_writing_weights")),
        module=module,
    )


def _from_release(name: str, site: Site | None, device: str, dtype: torch.dtype) -> Sae:
    """An SAE of SAELens's directory."""
    from sae_lens import SAE
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    release, _, sae_id = name.removeprefix(PREFIX).partition("/")
    directory = get_pretrained_saes_directory()
    if release not in directory:
        raise FeatureError(
            f"{name} names the release {release!r}, which is not among the {len(directory)} that "
            f"SAELens lists. {_close(release, directory)}Write sae:<release>/<id>."
        )
    found = directory[release]
    if sae_id not in found.saes_map:
        raise FeatureError(
            f"{name} names the SAE {sae_id!r}, which is not among the {len(found.saes_map)} of "
            f"{release}. {_close(sae_id, found.saes_map)}Write sae:{release}/<id>."
        )
    with _as_feature_error(name), _quiet():
        module = SAE.from_pretrained(release, sae_id, device=device, dtype=_word(dtype))
    # SAELens writes 1 and 0 for unknown values.
    explained = found.expected_var_explained.get(sae_id, 1.0)
    l0 = found.expected_l0.get(sae_id, 0.0)
    published = Published(fvu=None if explained == 1.0 else 1 - explained, l0=l0 or None)
    return from_sae_lens(module, name=name, site=site, published=published)


def _check_folder(folder: Path) -> None:
    """Refuse a folder whose weights are not those its configuration describes, before any are made.

    A configuration is asked for its sizes first: SAELens would allocate whatever it says.
    """
    from safetensors import safe_open

    cfg: Any = parse_json(read_file(folder / "cfg.json", limit=2**24))
    if not isinstance(cfg, dict) or not isinstance(cfg.get("metadata", {}), dict):
        raise FeatureError(
            f"{folder / 'cfg.json'} is no configuration of an SAE: it is no object, or its "
            "metadata is none. Save the SAE again with save_inference_model."
        )
    with safe_open(folder / "sae_weights.safetensors", framework="pt") as file:
        shapes = {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        empty = [name for name in shapes if not file.get_tensor(name).isfinite().all()]
    expected = [cfg.get("d_sae"), cfg.get("d_out", cfg.get("d_in"))]
    if shapes.get("W_dec", expected) != expected:
        raise FeatureError(
            f"{folder} has the decoder {shapes.get('W_dec')} and its cfg.json says "
            f"{expected}, so its features are not those that were trained. Copy both files again."
        )
    if empty:
        raise FeatureError(
            f"{folder} has values in {empty[0]} that are not finite, so every feature would be "
            "meaningless. Copy its weights again."
        )


def _directions(module: Any) -> Tensor:
    """Decoder directions; topk may be trained with activations times the decoder norm."""
    directions = module.W_dec.detach()
    if getattr(module.cfg, "rescale_acts_by_decoder_norm", False):
        return directions / directions.norm(dim=-1, keepdim=True)
    return directions


def _site(name: str, metadata: Mapping[str, object], site: Site | None) -> Site:
    """Site of the SAE, from its metadata or from the user."""
    hook = metadata.get("hook_name")
    try:
        own = site_of_hook(str(hook)) if hook else None
    except SiteError as error:
        if site is None:
            raise FeatureError(
                f"{name} reads {hook!r}, and {error} Pass site= if you know it."
            ) from error
        return site
    head = metadata.get("hook_head_index")
    if own is not None and isinstance(head, int):
        own = Site(own.kind, own.layer, head)
    if own is None and site is None:
        raise FeatureError(
            f"{name} does not record its hook point, so its input is unknown. Pass site=."
        )
    if own is not None and site is not None and own != site:
        raise FeatureError(
            f"{name} was trained at {own} and site is {site}, so its features would be computed "
            "from other activations. Leave site out, or load the SAE of that site."
        )
    assert own or site
    return own or site  # pyright: ignore[reportReturnType]


def _published(metadata: Mapping[str, object], d_sae: int) -> Published:
    """Fidelity that SAELens training leaves in the metadata."""
    fvu, l0, dead = (metadata.get(key) for key in ("fvu", "l0", "num_dead_features"))
    return Published(
        fvu=float(fvu) if isinstance(fvu, int | float) else None,
        l0=float(l0) if isinstance(l0, int | float) else None,
        dead_fraction=dead / d_sae if isinstance(dead, int | float) else None,
    )


def _is_plain(value: object) -> bool:
    """Whether a value is representable in JSON."""
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _close(name: str, known: Mapping[str, object]) -> str:
    """Suggestion of close names."""
    found = difflib.get_close_matches(name, list(known), n=3, cutoff=0.4)
    return f"Did you mean {' or '.join(found)}? " if found else ""


def _word(dtype: torch.dtype) -> str:
    """Name of a dtype in SAELens."""
    return str(dtype).removeprefix("torch.")


@contextmanager
def _as_feature_error(name: str) -> Iterator[None]:
    """Re-raise loading errors with the name of the SAE."""
    try:
        with no_unpickling():
            yield
    except (ElicitError, MemoryError):
        raise
    except Exception as error:  # hub, files and configurations raise whatever they like
        raise FeatureError(
            f"{name} cannot be loaded ({type(error).__name__}: {reason(error)}), so there is no "
            "SAE. Check that its files are complete, or that the hub is reachable."
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress SAELens's warning about model options, which `Sae.centred` handles."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=r"\s*This SAE has non-empty model_from_pretrained"
        )
        yield
