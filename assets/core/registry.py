"""The model registry: which checkpoint is the champion, and why."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from assets.core.errors import AthanorError, InputError
from assets.core.tracking import DIGEST, FINGERPRINT, FOLDER, Tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

ALIAS = "champion"
MODEL_ID = "athanor.model_id"
SCORE = "athanor.heldout_"
DECISION = "athanor.decision"
MODEL_VERSIONS = "mlflow.modelVersions"  # by this tag MLflow's model page shows the versions


@dataclass(frozen=True)
class Yardstick:
    """What candidates are compared by, and on which data."""

    name: str
    better: Literal["lower", "higher"]
    data: str

    def prefers(self, score: float, other: float) -> bool:
        return score < other if self.better == "lower" else score > other


BITS_PER_BYTE = Yardstick("bits per byte", "lower", "held-out documents")


@dataclass(frozen=True)
class Promotion:
    """What was decided on a candidate. Scores are those of the yardstick; `champion_score` is that of the champion
    before the decision, None when there was none or it was not needed."""

    version: str
    moved: bool
    reason: str
    candidate_score: float
    champion_score: float | None


def register_champion(
    tracking: Tracking,
    *,
    name: str,
    model_id: str,
    candidate_score: float,
    passes_checks: bool,
    score_of: Callable[[Path], float],
    yardstick: Yardstick = BITS_PER_BYTE,
) -> Promotion:
    """Register a LoggedModel as a version of `name`; make it the champion when it passes its checks and is better.

    The same content is registered once. `candidate_score` is the candidate's by the yardstick.
    `score_of(folder)` measures a Hugging Face folder on the same held-out data, now: the champion's old score may be of
    other data. It is called only for a champion of other content. The alias moves in one step.
    """
    _require_finite(candidate_score, f"the candidate {model_id}")
    client = tracking.client()
    model = _logged_model(client, model_id)
    with tracking.lock(f"registry-{name}"):
        version = _version_of(client, name, model)
        champion = _champion(client, name)
        champion_score = None
        if not passes_checks:
            moved, reason = False, "it does not pass its checks"
        elif champion is None:
            moved, reason = True, "there was no champion"
        elif champion.tags.get(DIGEST) == version.tags[DIGEST]:
            moved, reason = False, "it is the champion already"
        else:
            champion_score = score_of(_folder(tracking, client, champion))
            _require_finite(champion_score, f"the champion, version {champion.version}")
            moved = yardstick.prefers(candidate_score, champion_score)
            reason = (
                f"{candidate_score:.4f} {yardstick.name} {'beat' if moved else 'do not beat'} the {champion_score:.4f} "
                f"of version {champion.version} on the same {yardstick.data}"
            )
        client.set_model_version_tag(
            name, version.version, f"{SCORE}{yardstick.name.replace(' ', '_')}", repr(candidate_score)
        )
        client.set_model_version_tag(name, version.version, DECISION, reason)
        if moved:
            client.set_registered_model_alias(name, ALIAS, version.version)
    return Promotion(str(version.version), moved, reason, candidate_score, champion_score)


def champion_folder(tracking: Tracking, name: str) -> Path:
    """The Hugging Face folder of the champion: MLflow's own where that is local (do not change it), else a copy."""
    client = tracking.client()
    champion = _champion(client, name)
    if champion is None:
        raise AthanorError(
            f"{name} has no champion in MLflow",
            "materialize a checkpoint that passes its checks and then its champion asset, or set the alias "
            f"{ALIAS!r} on a version in the MLflow UI",
        )
    return _folder(tracking, client, champion)


def _require_finite(score: float, whose: str) -> None:
    if not math.isfinite(score):
        raise InputError(f"the held-out score of {whose} is {score}", "score it again on documents that have bytes")


def _logged_model(client: MlflowClient, model_id: str) -> LoggedModel:
    from mlflow.exceptions import MlflowException

    try:
        model = client.get_logged_model(model_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise InputError(
            f"MLflow has no model {model_id}",
            "set MLFLOW_TRACKING_URI to the store where it was trained, or remove the checkpoint from the lake and "
            "materialize it again",
        ) from error
    if model.status != "READY" or DIGEST not in model.tags:
        raise InputError(
            f"MLflow's model {model_id} ({model.status}) is no whole checkpoint", "log it with TrainingRun.log_model"
        )
    return model


def _version_of(client: MlflowClient, name: str, model: LoggedModel) -> ModelVersion:
    """The version with the model's content, registered when there is none."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    known = client.search_model_versions(f"name = '{name}' AND tags.`{DIGEST}` = '{model.tags[DIGEST]}'")
    if known:
        return min(known, key=lambda version: int(version.version))
    # MLflow loses the model's id in a version, so it is kept as a tag. The source is the place of the files: it would
    # look up `models:/<id>` in the process-wide store, which need not be this one.
    version = client.create_model_version(
        name,
        source=model.artifact_location,
        run_id=model.source_run_id,
        tags={MODEL_ID: model.model_id} | {tag: model.tags[tag] for tag in (DIGEST, FINGERPRINT) if tag in model.tags},
        model_id=model.model_id,
    )
    linked = [*json.loads(model.tags.get(MODEL_VERSIONS, "[]")), {"name": name, "version": version.version}]
    client.set_logged_model_tags(model.model_id, {MODEL_VERSIONS: json.dumps(linked)})
    return version


def _champion(client: MlflowClient, name: str) -> ModelVersion | None:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, ALIAS)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None


def _folder(tracking: Tracking, client: MlflowClient, version: ModelVersion) -> Path:
    from mlflow.exceptions import MlflowException

    location = client.get_model_version_download_uri(version.name, version.version)
    try:
        return Path(tracking.files(location).download_artifacts(FOLDER))
    except (MlflowException, OSError) as error:
        raise AthanorError(
            f"the files of {version.name} version {version.version} cannot be read from {location}: {error}",
            f"bring them back, or delete the alias {ALIAS!r} in the MLflow UI so that another takes its place",
        ) from error
