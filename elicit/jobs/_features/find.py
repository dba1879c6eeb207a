"""Steps of a features run, on selection or held-out problems."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from elicit.features import (
    ContrastScores,
    FeatureError,
    Injection,
    ReasonScores,
    Resampling,
    Sae,
    TextRows,
    contrast_scores,
    cot_minus_direct,
    feature_table,
    fidelity,
    held_out,
    latent_scaling,
    reason_scores,
    resampling_stability,
    token_injection,
    transfer,
)
from elicit.jobs._features.inputs import FeatureWork
from elicit.jobs._features.texts import Text, Texts, rows
from elicit.jobs._frame import Outcome
from elicit.results import Result
from elicit.rollouts import Generation


@dataclass(eq=False, kw_only=True)
class Search:
    """A search for features, with its results so far."""

    work: FeatureWork
    texts: Texts
    sae: Sae
    results: dict[str, Result] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Failed fidelity gates, by model."""

    def __post_init__(self) -> None:
        """Shorthands for every step."""
        self.spec, self.pair, self.inputs = self.work.spec, self.work.pair, self.work.inputs
        self.execution, self.split = self.work.execution, self.work.inputs.source.split

    def run(self) -> None:
        """Run all steps: fidelity, candidates, tests that reject them, transfer."""
        self._gates()
        self._publish()
        if self.failed and not self.spec.allow_unfaithful:
            return
        candidates = self._candidates()
        self._publish()
        if candidates:
            self._test(candidates)
            self._publish()
        else:
            self.notes.append(
                "No score suggested a candidate: no feature is clearly more active before "
                "reasoning than before a direct answer, and none stands out near reasoning words."
            )
        self._transfer()

    def _publish(self) -> None:
        """Show what is known so far."""
        self.work.publish(Outcome(results=dict(self.results), summary={}, notes=self.notes))

    def _gates(self) -> None:
        held = self.texts.part(test=True)
        needed = ("base", "post") if self.spec.train_on == "both" else (self.inputs.model,)
        for model in ("base", "post"):
            gate = fidelity(
                self.pair,
                self.sae,
                _labelled(held),
                model=model,
                outliers=self.spec.outliers,
                inference=self.spec.inference,
                execution=self.execution,
            )
            self.results[f"fidelity-{model}"] = gate
            failures = gate.failures(
                max_fvu=self.spec.max_fvu, least_recovered=self.spec.least_recovered
            )
            if failures and model in needed:
                self.failed[model] = " ".join(failures.values())

    def _candidates(self) -> dict[int, str]:
        """Candidate features on the selection problems, with the scores that suggest them."""
        model, top = self.inputs.model, self.spec.top
        suggested: dict[str, Sequence[int]] = {}
        ends = cot_minus_direct(
            self.pair,
            self.sae,
            self.inputs.prompts(self.split.choose),
            model=model,
            execution=self.execution,
        )
        self.results["contrast-prompts"] = ends
        suggested["prompt’s end"] = _significant(ends, ends.top(top, by="difference"))
        reasoning, plain = (
            self.texts.part(test=False, reasons=reasons) for reasons in (True, False)
        )
        both = (*reasoning, *plain)
        written = [[(i, p) for p in range(t.begin, len(t.ids))] for i, t in enumerate(both)]
        contrast = contrast_scores(
            self.pair,
            self.sae,
            rows(both),
            positive=[at for i in range(len(reasoning)) for at in written[i]],
            negative=[at for i in range(len(reasoning), len(both)) for at in written[i]],
            model=model,
            execution=self.execution,
        )
        contrast = replace(contrast, what="texts with reasoning against direct answers")
        self.results["contrast-texts"] = contrast
        suggested["texts"] = _significant(contrast, contrast.top(top))
        scores = self._reason_scores(rows(reasoning))
        if scores is not None:
            self.results["reason"] = scores
            suggested["ReasonScore"] = [i for i in scores.top(top) if scores.score[i] > 0]
        found_by: dict[int, list[str]] = {}
        for score, features in suggested.items():
            for rank, feature in enumerate(features, start=1):
                found_by.setdefault(int(feature), []).append(f"{score} {rank}")
        for feature in self.spec.features:
            found_by.setdefault(feature, []).append("requested")
        return {feature: ", ".join(scores) for feature, scores in found_by.items()}

    def _reason_scores(self, texts: list[list[int]]) -> ReasonScores | None:
        """ReasonScores over the word groups in the texts; None, with a note, if too few."""
        groups, why = self.inputs.groups, self.inputs.without_groups
        if groups is not None:
            names, groups = groups.group, groups.present_in(self.pair, texts)
            present = () if groups is None else groups.group
            missing = [name for name in names if name not in present]
            if groups is None:
                why = f"the texts contain too few of the words {', '.join(names)}"
            elif missing:
                self.notes.append(
                    f"ReasonScore is over {', '.join(present)}: no selection text contains "
                    f"{', '.join(missing)}."
                )
        if groups is not None:
            try:
                return reason_scores(
                    self.pair,
                    self.sae,
                    texts,
                    groups,
                    model=self.inputs.model,
                    execution=self.execution,
                )
            except FeatureError as error:
                why = str(error).rstrip(".")
        self.notes.append(f"There is no ReasonScore: {why}.")
        return None

    def _test(self, candidates: dict[int, str]) -> None:
        """Test candidates: held-out evaluation, token injection, resampling."""
        pair, sae, model, features = self.pair, self.sae, self.inputs.model, list(candidates)
        self.results["held-out"] = held_out(
            pair,
            sae,
            candidates,
            self.inputs.prompts(self.split.test),
            model=model,
            inference=self.spec.inference,
            execution=self.execution,
        )
        reasoning, plain = (
            self.texts.part(test=True, reasons=reasons) for reasons in (True, False)
        )
        sampled = self.texts.part(test=True, reasons=True, source=model) or reasoning
        self.results["table"] = feature_table(
            pair,
            sae,
            features,
            rows((*sampled, *plain)),
            model=model,
            n_examples=4,
            execution=self.execution,
        )
        before = rows(self.texts.part(test=False, reasons=True))
        active = feature_table(
            pair, sae, features, before, model=model, n_examples=1, execution=self.execution
        ).density
        live = [f for f, share in zip(features, active.tolist(), strict=True) if share > 0]
        if len(live) < len(features):
            silent = ", ".join(str(f) for f in features if f not in live)
            self.notes.append(
                f"Feature {silent} is active in no selection text with reasoning, so it has no top "
                "tokens to inject."
            )
        if live:
            self.results["injection"] = token_injection(
                pair,
                sae,
                live,
                reasoning=before,
                plain=rows(plain),
                model=model,
                injection=Injection(seed=self.spec.seed),
                execution=self.execution,
            )
        self.results["resampling"] = resampling_stability(
            pair,
            sae,
            features,
            replace(_labelled(sampled), begins=[max(text.begin - 1, 1) for text in sampled]),
            model=model,
            resampling=Resampling(
                n_positions=self.spec.n_positions,
                shown=self.inputs.source.behaviour.shown if self.inputs.source.marked else None,
                generation=Generation(
                    n_samples=self.spec.n_samples,
                    max_new_tokens=self.spec.window,
                    temperature=self.spec.temperature,
                ),
            ),
            inference=self.spec.inference,
            execution=self.execution.scoped("resampling"),
        )

    def _transfer(self) -> None:
        held, model = _labelled(self.texts.part(test=True)), self.inputs.model
        try:
            self.results["transfer"] = transfer(
                self.pair,
                self.sae,
                held,
                model=model,
                fit=rows(self.texts.part(test=False)),
                inference=self.spec.inference,
                execution=self.execution,
            )
        except FeatureError as error:
            self.notes.append(f"Transfer was not measured: {error}")
        try:
            self.results["scaling"] = latent_scaling(
                self.pair, self.sae, held.rows, model=model, execution=self.execution
            )
        except FeatureError as error:
            self.notes.append(f"Latent scaling was not measured: {error}")


def _labelled(texts: Sequence[Text]) -> TextRows:
    """Texts as rows with their problems."""
    return TextRows(rows=rows(texts), problem=[text.problem for text in texts])


def _significant(scores: ContrastScores, top: Sequence[int]) -> list[int]:
    """Features significantly more active on the first set."""
    return [i for i in top if scores.p_holm[i] <= 0.01 and scores.difference[i] > 0]
