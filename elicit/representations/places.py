"""Which sites are read where none are named."""

from collections.abc import Sequence

from elicit.edits import shape_of
from elicit.pair import ModelPair
from elicit.representations.errors import RepresentationError
from elicit.sites import Shape, Site, expand, resid_pre


def sites_of(pair: ModelPair, sites: Sequence[Site | str] | None) -> tuple[Site, ...]:
    """Sites that are asked for, each once; the embedding and the end of every layer if None.

    Args:
        pair: The two models.
        sites: Sites, or short names of several.

    Raises:
        SiteError: A model does not have a site.
        RepresentationError: No site is named.
    """
    shape: Shape = shape_of(pair.base)
    if sites is None:
        return (resid_pre(0), *shape.every("resid_post"))
    named = [expand(site, shape) if isinstance(site, str) else (site,) for site in sites]
    found = tuple(dict.fromkeys(site for group in named for site in group))
    shape.check(found)
    if not found:
        raise RepresentationError(
            "no site is named, so nothing would be read. Pass at least one, or None for the "
            "embedding and the end of every layer."
        )
    return found
