"""The first component is the line on which pairs lie."""

import torch

from elicit.directions import diff_mean, paired_pca
from elicit.directions.pca import first_component
from elicit.sites import resid_post
from tests.pairs import header_pairs


def test_on_a_planted_line_it_is_that_line_with_the_mean_length():
    generator = torch.Generator().manual_seed(0)
    line = torch.nn.functional.normalize(torch.randn(16, generator=generator).double(), dim=0)
    along = 5 + torch.randn(200, generator=generator).double()
    noise = 0.01 * torch.randn(200, 16, generator=generator).double()
    found = first_component(along[:, None] * line + noise)
    torch.testing.assert_close(found, along.mean() * line, atol=0.01, rtol=0)
    torch.testing.assert_close(first_component(-along[:, None] * line), -along.mean() * line)


def test_equal_differences_give_the_difference_of_means():
    difference = torch.arange(1.0, 9.0).double().expand(5, 8)
    torch.testing.assert_close(first_component(difference), difference[0])


def test_where_one_direction_holds_nearly_all_it_is_the_difference_of_means(organism, asked):
    pair = organism("when-l3")
    pairs, site = (
        header_pairs(asked),
        resid_post(4),
    )
    means = diff_mean(pair.side("base"), pairs, sites=[site])
    component = paired_pca(pair.side("base"), pairs, sites=[site])
    assert component.at(site).cosine(means.at(site)) > 0.999
    assert component.explained[0] >= means.explained[0] > 0.9
