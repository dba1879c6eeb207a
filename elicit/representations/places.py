"""Default sites of questions about representations."""

from collections.abc import Sequence

from elicit.edits import shape_of
from elicit.pair import ModelPair
from elicit.sites import Shape, Site, resid_pre, resolve_sites


def sites_of(pair: ModelPair, sites: Sequence[Site | str] | None) -> tuple[Site, ...]:
    """Requested sites, each once; None: the embedding and the output of every layer.

    Raises:
        SiteError: A model does not have a site, or `sites` is empty.
    """
    shape: Shape = shape_of(pair.base)
    if sites is None:
        return (resid_pre(0), *shape.every("resid_post"))
    return resolve_sites(sites, shape)
