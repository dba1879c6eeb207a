"""Does the behaviour already exist in the base: a ladder of evidence, each rung controlled."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np
import torch

from elicit.directions import between_states
from elicit.elicitation import Goal, Outcomes, Unsteered, unsteered
from elicit.pair import ModelPair
from elicit.representations import sites_of
from elicit.rollouts import Generation, check_prompts, rollouts
from elicit.runs import Execution
from elicit.sites import Site
from elicit.stats import Inference
from elicit.tasks import PLAIN, POSITIVE, Behaviour, Split, Task
from elicit.verdicts import rungs
from elicit.verdicts.causal import CORRECT, SHOWN, Turned, as_steered, coherent, correct, turn
from elicit.verdicts.design import LadderDesign
from elicit.verdicts.errors import VerdictError
from elicit.verdicts.ladder import Ladder, Tried, ladder_of
from elicit.verdicts.probing import decoded, read_anew
from elicit.verdicts.states import best_decoded, fit_probes, label_prompts, read_states
from elicit.verdicts.tests import Evidence, Options, Pushes, judge, refused
from elicit.verdicts.transferring import p_site_of, transferred, turn_between

SAME = "base and post have the same weights"
READ_RANDOM = 1000
"""Random directions that are read; reading costs next to nothing."""
SHUFFLED = "the direction, entries shuffled"


def assess(
    pair: ModelPair,
    behaviour: Behaviour,
    task: Task,
    *,
    sites: Sequence[Site | str] | None = None,
    design: LadderDesign = LadderDesign(),
    generation: Generation = Generation(max_new_tokens=128),
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Ladder:
    """Evidence that a behaviour of post is in the base already, and whether it suffices.

    No rung entails another. The verdict rests on E3 and E4: the base's own direction makes it show
    the behaviour, and closes the gap in right answers to post. E1 and E2, whether post uses the
    same code, are a question of their own; E0, that it can be read, is trivial where re-initialised
    weights pass it too. Sites, strengths, probes and directions come from one part of the problems,
    every number of a rung from the other. Each rung is compared with the strongest of its controls;
    what steers as a control pushes as far as the direction, and what it does at a strength of its
    own is reported beside.
    The gap of the last rung begins at the base under its best prompt. The p-value of every site,
    adjusted for all that were examined, is reported beside, with no verdict resting on it.

    Args:
        pair: The two models.
        behaviour: What is looked for.
        task: Problems, at least 16.
        sites: Sites of the residual stream, or short names; the ends of all layers if None.
        design: How it is measured, and which effects count.
        generation: How texts are generated, one a problem.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        VerdictError: The design does not fit the level, or there would be several texts a problem.
        DirectionError: Both kinds of prompts leave the same mean state at a site.
        SiteError: A model does not have a site.
        RepresentationError: The prompts cannot be separated by a probe's fit, or a state is not
            finite.
        TaskError: There are too few problems, they leave nothing to compare, a prompt leaves no
            room for a text, or an answer could never be found.

    Source: evidence ladder: Hewitt & Liang 2019 for E0's control task; Ward et al. 2025 for E2,
        where a direction of the base moves post and not the base; Fieller 1954 for E4's share;
        Westfall & Young 1993 for the p-values of all sites.
    """
    design.check(inference)
    if generation.n_samples != 1:
        raise VerdictError(
            f"n_samples is {generation.n_samples}, and every test is over one text a problem. Pass "
            "n_samples=1."
        )
    options = Options(inference=inference, least_effect=design.least_effect)
    named = sites_of(pair, ["resid_post"] if sites is None else sites)
    split = Split.of(task, design.choose_share, seed=inference.seed)
    labelled, choosing = label_prompts(
        pair, behaviour, (split.choose, split.test), templated=generation.templated
    )
    prompts = behaviour.asked(split.test)
    side = pair.side("base")
    for way in (split.choose, *prompts.values()):
        check_prompts(side, way, templated=generation.templated)
    seed, n_folds = inference.seed, design.n_folds
    states = read_states(pair, labelled, choosing, sites=named, execution=execution)
    probes = fit_probes(states, choosing, n_folds=n_folds, seed=seed)
    site = best_decoded(probes[0])
    anew = read_anew(
        pair, states, n_draws=design.n_redrawn, n_folds=n_folds, seed=seed, execution=execution
    )
    told = decoded(
        states, probes, anew, n_controls=design.n_controls, n_folds=n_folds, options=options
    )
    right, controls = told.at(site)
    evidence = [
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
        evidence.append(refused(f"cannot fail: {why}, so a probe of one is a probe of the other"))
    else:
        rotation = turn_between(pair, states, shared, execution=execution)
        moved = transferred(
            states, probes, ~choosing, n_random=READ_RANDOM, seed=seed, turns={shared: rotation}
        )
        evidence.append(rungs.same_code(moved[shared], options, margin=design.margin))
        p_site[1] = p_site_of(moved, len(named), options)
    how = {"generation": generation, "seed": seed, "execution": execution}
    goal = Goal(target=pair.side("post"), markers={behaviour.name: behaviour.shown})
    choose, test = (unsteered(side, part, goal=goal, **how) for part in (split.choose, split.test))
    directions = between_states(
        states.x[0][:, choosing],
        states.positive[choosing],
        sites=states.sites,
        model=pair.base_name,
        model_digest=pair.base_digest,
        position="last token of the prompt",
    )
    tried = {
        "design": design,
        "inference": inference,
        "generation": generation,
        "execution": execution,
    }
    base, post = turn(choose, test, directions, **tried), None
    if pair.identical:
        evidence.append(refused(f"cannot differ from E3: {SAME}"))
    else:
        post = turn(choose.swapped(), test.swapped(), directions, **tried)
        evidence.append(_moved(post, options))
        p_site[2] = post.p_site(SHOWN, options)
    texts = {
        name: test.own if name == PLAIN else test.outcomes(rollouts(side, way, **how))
        for name, way in prompts.items()
    }
    evidence.append(_shown(base, texts, options, margin=design.margin))
    after = test.post[:, CORRECT].numpy()
    evidence.append(_enough(base, texts, after, options, least_share=design.least_share))
    p_site[3:] = [base.p_site(row, options) for row in (SHOWN, CORRECT)]
    judged = judge(evidence, options)
    by_problem = _by_problem(base, test)
    ladder = ladder_of(
        judged,
        behaviour=behaviour.name,
        tried=Tried(
            places=(
                str(named[site]),
                str(named[shared]),
                "" if post is None else post.place,
                base.place,
                base.place,
            ),
            sites=tuple(map(str, named)),
            strengths=design.strengths,
            sweeps=[one.tried().mean(axis=-1) for one in (base, post) if one is not None],
            p_site=np.stack(
                [
                    p if one.status != "not run" else nowhere
                    for p, one in zip(p_site, judged, strict=True)
                ]
            ),
        ),
        decoded=told,
        n=(len(split.choose), len(split.test)),
        options=options,
        provenance=pair.provenance(
            seed,
            {
                "question": "verdicts.assess",
                "behaviour": behaviour.name,
                "sites": list(map(str, named)),
                **asdict(design),
                "strengths": list(design.strengths),
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
                **{way.name: way.digest for way in prompts.values()},
            },
        ),
    )
    return replace(
        ladder,
        problem=tuple(problem.id for problem in split.test),
        measure=tuple(by_problem),
        outcome=torch.from_numpy(np.stack(list(by_problem.values()))),
    )


def _by_problem(base: Turned, test: Unsteered) -> dict[str, np.ndarray]:
    """What is known of every held-out problem."""
    post = test.swapped().own
    arms = {
        "base": test.own,
        "base steered": base.direction,
        "control": base.shuffled,
        "post": post,
    }
    shown = {f"shown: {name}": as_steered(one)[0] for name, one in arms.items()}
    return shown | {f"right: {name}": correct(one)[0] for name, one in arms.items()}


def _moved(post: Turned, options: Options) -> Evidence:
    """E2, from texts of post."""
    raised = post.raised
    return rungs.causal_in_post(
        as_steered(post.direction, raised=raised)[0],
        {
            "post unsteered": as_steered(post.plain, raised=raised)[0],
            SHUFFLED: as_steered(post.shuffled, raised=raised)[0],
        },
        Pushes(
            same=as_steered(post.draws, raised=raised),
            freed=None if post.freed is None else as_steered(post.freed, raised=raised),
        ),
        options,
        what="show the behaviour" if raised else "no longer show the behaviour",
    )


def _shown(
    base: Turned, texts: Mapping[str, Outcomes], options: Options, *, margin: float
) -> Evidence:
    """E3, from texts of the base."""
    return rungs.causal_in_base(
        as_steered(base.direction)[0],
        {
            **{name: as_steered(one)[0] for name, one in texts.items() if name != POSITIVE},
            SHUFFLED: as_steered(base.shuffled)[0],
        },
        Pushes(
            same=as_steered(base.draws),
            freed=None if base.freed is None else as_steered(base.freed),
        ),
        options,
        coherent=coherent(base.direction)[0],
        coherent_plain=coherent(base.plain)[0],
        asked=as_steered(texts[POSITIVE])[0],
        margin=margin,
    )


def _enough(
    base: Turned,
    texts: Mapping[str, Outcomes],
    post: np.ndarray,
    options: Options,
    *,
    least_share: float,
) -> Evidence:
    """E4, from right answers."""
    return rungs.sufficient(
        correct(base.direction)[0],
        {name: correct(one)[0] for name, one in texts.items() if name != POSITIVE},
        post,
        {SHUFFLED: correct(base.shuffled)[0]},
        Pushes(
            same=correct(base.draws),
            freed=None if base.freed_right is None else correct(base.freed_right),
        ),
        options,
        asked=correct(texts[POSITIVE])[0],
        least_share=least_share,
    )
