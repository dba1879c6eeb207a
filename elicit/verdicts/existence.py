"""Does the behaviour already exist in the base: a ladder of evidence, each rung controlled."""

from collections.abc import Mapping, Sequence

import numpy as np

from elicit.pair import ModelPair
from elicit.representations.places import sites_of
from elicit.rollouts import Generation, check_prompts
from elicit.runs import Execution
from elicit.sites import Site
from elicit.stats import Inference
from elicit.tasks import PLAIN, POSITIVE, Behaviour, Split, Task
from elicit.verdicts import rungs
from elicit.verdicts.checks import check_options
from elicit.verdicts.deciding import Evidence, Options, judge, refused
from elicit.verdicts.decoding import decoded, read_anew
from elicit.verdicts.ladder import Ladder, ladder_of
from elicit.verdicts.reading import best_decoded, fit_probes, label_prompts, read_states
from elicit.verdicts.steering import Steering, Turned
from elicit.verdicts.texts import Texts, Writing, column
from elicit.verdicts.transferring import p_site_of, transferred, turn_between

SAME = "base and post have the same weights"
READ_RANDOM = 1000
"""Random directions that are read; reading costs next to nothing."""
STRENGTHS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
"""Close to each other, for what turns a model and what breaks it may lie close too."""


def climb(
    pair: ModelPair,
    behaviour: Behaviour,
    task: Task,
    *,
    sites: Sequence[Site | str] | None = None,
    strengths: Sequence[float] = STRENGTHS,
    choose_share: float = 0.5,
    n_random: int = 20,
    n_controls: int = 5,
    n_redrawn: int = 3,
    n_folds: int = 5,
    margin: float = 0.1,
    least_share: float = 0.5,
    least_effect: float = 0.2,
    inference: Inference = Inference(),
    generation: Generation = Generation(max_new_tokens=128),
    execution: Execution = Execution(),
) -> Ladder:
    """The highest rung of evidence that a behaviour of post is in the base already.

    Sites, strengths, probes and directions come from one part of the problems, every number of a
    rung from the other. Each rung is compared with the strongest of its controls. The gap of the
    last rung begins at the base asked in the best way that does not use the direction; the prompt
    that calls for the behaviour, which the direction is made from, is told beside, and so is the
    p-value of every site, adjusted for all that were looked at: no verdict rests on it.

    Args:
        pair: The two models.
        behaviour: What is looked for.
        task: Problems, at least 16.
        sites: Sites of the residual stream, or short names; the ends of all layers if None.
        strengths: In units of the difference of the means, above 0, each once.
        choose_share: Share of the problems that is fitted and chosen on.
        n_random: Random directions that steer; 19 or more at level 0.95.
        n_controls: Draws of the control task and of shuffled labels, at least 1.
        n_redrawn: Draws of all weights of the base, whose states are probed as the base's are;
            there must be room for its weights once more. 0 leaves that control out.
        n_folds: Folds by which probes are chosen.
        margin: Loss of accuracy, or of coherence, that still counts as none.
        least_share: Share of the gap that sufficiency must exceed.
        least_effect: Smallest effect that matters: what would miss it is under-powered.
        inference: Coverage and resamples of the intervals, and the seed.
        generation: How texts are generated, one a problem.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        VerdictError: An option is out of range, there are too few problems, or the prompts leave
            nothing to compare.
        DirectionError: Both kinds of prompts leave the same mean state at a site.
        SiteError: A model does not have a site.
        RepresentationError: The prompts cannot be told apart by a probe's fit, or a state is not
            finite.
        TaskError: A prompt leaves no room for a text, or an answer could never be found.

    Source: evidence ladder: Hewitt & Liang 2019 for E0's control task; Ward et al. 2025 for E2,
        where a direction of the base moves post and not the base; Fieller 1954 for E4's share;
        Westfall & Young 1993 for the p-values of all sites.
    """
    options = Options(
        inference=inference,
        least_effect=least_effect,
    )
    check_options(
        options,
        strengths=strengths,
        choose_share=choose_share,
        n_random=n_random,
        n_controls=n_controls,
        n_redrawn=n_redrawn,
        margin=margin,
        least_share=least_share,
    )
    named = sites_of(pair, ["resid_post"] if sites is None else sites)
    split = Split.of(task, choose_share, seed=inference.seed)
    parts = (split.choose, split.test)
    labelled, choosing = label_prompts(pair, behaviour, parts, templated=generation.templated)
    writing = Writing(
        pair=pair,
        shown=behaviour.shown,
        generation=generation,
        seed=inference.seed,
        execution=execution,
    )
    asked = behaviour.asked(parts[1])
    for way in (parts[0], *asked.values()):
        check_prompts(pair.side("base"), way, templated=generation.templated)
    states = read_states(pair, labelled, choosing, sites=named, execution=execution)
    probes = fit_probes(states, choosing, n_folds=n_folds, seed=inference.seed)
    site = best_decoded(probes[0])
    anew = read_anew(
        pair, states, n_draws=n_redrawn, n_folds=n_folds, seed=inference.seed, execution=execution
    )
    told = decoded(states, probes, anew, n_controls=n_controls, n_folds=n_folds, options=options)
    right, controls = told.at(site)
    found = [
        rungs.decodable(
            right,
            controls,
            options,
            anew=None if anew is None else anew.right,
            auroc=told.told(site, options),
        )
    ]
    nowhere = np.full(len(named), np.nan)
    p_site = [told.p_site(options), nowhere, nowhere, nowhere, nowhere]
    # Where the states are the very same a probe of one is a probe of the other.
    differing = states.differing
    shared = best_decoded(probes[0], differing)
    if pair.identical or not differing.any():
        why = SAME if pair.identical else "base and post have the same states at every site"
        found.append(refused(f"cannot fail: {why}, so a probe of one is a probe of the other"))
    else:
        turn = turn_between(pair, states, shared, execution=execution)
        moved = transferred(
            states,
            probes,
            ~choosing,
            n_random=READ_RANDOM,
            seed=inference.seed,
            turns={shared: turn},
        )
        found.append(rungs.same_code(moved[shared], options, margin=margin))
        p_site[1] = p_site_of(moved, len(named), options)
    steering = Steering(
        writing=writing,
        states=states,
        parts=parts,
        strengths=tuple(map(float, strengths)),
        n_random=n_random,
        seed=inference.seed,
    )
    base = steering.turn(pair.base, wanted=True)
    post = None
    if pair.identical:
        found.append(refused(f"cannot differ from E3: {SAME}"))
    else:
        post = steering.turn(pair.post, wanted=None)
        found.append(_moved(post, options))
        p_site[2] = post.swept.p_site("wanted", options)
    texts = {name: writing.plain(pair.base, way) for name, way in asked.items() if name != PLAIN}
    texts[PLAIN] = base.plain
    found.append(_shown(base, texts, options, margin=margin))
    after = (writing.plain(pair.post, parts[1]) if post is None else post.plain).correct
    found.append(_enough(base, texts, column(after)[0], options, least_share=least_share))
    p_site[3:] = [base.swept.p_site(name, options) for name in ("wanted", "correct")]
    judged = judge(found, options)
    return ladder_of(
        judged,
        behaviour=behaviour.name,
        places=(
            str(named[site]),
            str(named[shared]),
            "" if post is None else post.place,
            base.place,
            base.place,
        ),
        sites=tuple(map(str, named)),
        strengths=steering.strengths,
        sweeps=[one.swept.wanted.mean(axis=-1) for one in (base, post) if one is not None],
        told=told,
        p_site=np.stack(
            [
                p if one.status != "not run" else nowhere
                for p, one in zip(p_site, judged, strict=True)
            ]
        ),
        n=(len(parts[0]), len(parts[1])),
        options=options,
        provenance=pair.provenance(
            inference.seed,
            {
                "question": "verdicts.existence.climb",
                "behaviour": behaviour.name,
                "sites": list(map(str, named)),
                "strengths": list(steering.strengths),
                "choose_share": choose_share,
                "n_random": n_random,
                "n_controls": n_controls,
                "n_redrawn": n_redrawn,
                "n_folds": n_folds,
                "margin": margin,
                "least_share": least_share,
                "least_effect": least_effect,
                "level": inference.level,
                "n_resamples": inference.n_resamples,
                "extractor": generation.extractor_name,
                "temperature": generation.temperature,
                "max_new_tokens": generation.max_new_tokens,
                "templated": generation.templated,
            },
            task_digests={
                task.name: task.digest,
                "prompts": labelled.digest,
                **{way.name: way.digest for way in asked.values()},
            },
        ),
    )


def _moved(post: Turned, options: Options) -> Evidence:
    """E2, from texts of post."""
    return rungs.causal_in_post(
        post.direction.as_wanted(post.wanted)[0],
        {
            "post left alone": post.plain.as_wanted(post.wanted)[0],
            "the direction in shuffled places": post.shuffled.as_wanted(post.wanted)[0],
        },
        post.draws.as_wanted(post.wanted),
        options,
        what="show the behaviour" if post.wanted else "no longer show the behaviour",
    )


def _shown(
    base: Turned, texts: Mapping[str, Texts], options: Options, *, margin: float
) -> Evidence:
    """E3, from texts of the base."""
    return rungs.causal_in_base(
        base.direction.as_wanted()[0],
        {
            **{name: one.as_wanted()[0] for name, one in _unsteered(texts).items()},
            "the direction in shuffled places": base.shuffled.as_wanted()[0],
        },
        base.draws.as_wanted(),
        options,
        coherent=column(base.direction.coherent)[0],
        coherent_plain=column(base.plain.coherent)[0],
        asked=texts[POSITIVE].as_wanted()[0],
        margin=margin,
    )


def _enough(
    base: Turned,
    texts: Mapping[str, Texts],
    post: np.ndarray,
    options: Options,
    *,
    least_share: float,
) -> Evidence:
    """E4, from right answers."""
    return rungs.sufficient(
        column(base.direction.correct)[0],
        {name: column(one.correct)[0] for name, one in _unsteered(texts).items()},
        post,
        {"the direction in shuffled places": column(base.shuffled.correct)[0]},
        column(base.draws.correct),
        options,
        asked=column(texts[POSITIVE].correct)[0],
        least_share=least_share,
    )


def _unsteered(texts: Mapping[str, Texts]) -> dict[str, Texts]:
    """Ways to ask the base that do not call for the behaviour."""
    return {name: one for name, one in texts.items() if name != POSITIVE}
