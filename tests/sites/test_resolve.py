"""Sites from short names."""

import pytest

from elicit.sites import Shape, Site, SiteError, resolve_site, resolve_sites, z

SHAPE = Shape(n_layers=3, n_heads=4, n_kv_heads=2, d_model=32, d_head=8)


def test_names_and_sites_resolve_in_order_and_each_once():
    sites = resolve_sites(["z.1.heads", z(1, 2), "mlp_out"], SHAPE)
    assert sites == (*(z(1, head) for head in range(4)), *SHAPE.every("mlp_out"))


def test_one_name_of_one_site_resolves_to_it():
    assert resolve_site("k.2.1", SHAPE) == resolve_site(Site("k", 2, 1), SHAPE) == Site("k", 2, 1)


@pytest.mark.parametrize("sites", [[], "resid_pre", ["z.0.4"], [Site("q", 3)], ["z.9.heads"]])
def test_what_the_model_does_not_have_is_refused(sites):
    with pytest.raises(SiteError):
        resolve_sites(sites, SHAPE)


def test_a_name_of_several_sites_is_refused_where_one_is_needed():
    with pytest.raises(SiteError, match="3 sites"):
        resolve_site("resid_post", SHAPE)
