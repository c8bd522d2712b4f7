"""The trainer resource: what it refuses, what counts in the fingerprint, and what it asks of Ray and Kubernetes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.clusterclip.assets import score_checkpoint, train_plan
from assets.core.sources import code_closure
from assets.core.trainer import TrainerResource

KUBERNETES: dict[str, Any] = {
    "launcher": "kubernetes", "image": "registry.example/athanor:1", "volume_claim": "lake", "shared_folder": "/shared",
}  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"launcher": "ray"}, "needs ray_address"),
        ({"launcher": "kubernetes"}, "needs image, volume_claim, shared_folder"),
        ({"launcher": "subprocess", "nodes": 2}, "use ray for 2 nodes"),
        ({"processes": 2}, "use the launcher subprocess"),
        ({"backend": "deepspeed"}, "use the launcher subprocess"),
        ({"launcher": "subprocess", "offload_optimizer": True}, "needs the backend deepspeed"),
    ],
)
def test_settings_without_effect_are_refused(settings: dict[str, Any], message: str) -> None:
    """A setting that would be passed over, or is missing, is told when the code location loads."""
    with pytest.raises(ValueError, match=message):
        TrainerResource(**settings)


def test_the_laptop_is_what_it_was() -> None:
    """In process the identity is that of before there were launchers: nothing is trained again for them."""
    assert TrainerResource(threads=2).identity() == {
        "backend": "torch", "device": "cpu", "dtype": "float32", "threads": 2,
    }  # fmt: skip


def test_what_changes_the_weights_counts() -> None:
    """Processes, stage and offloading do; the launcher, the image and secrets do not."""
    base: dict[str, Any] = {"launcher": "subprocess", "backend": "deepspeed"}
    plain = TrainerResource(**base).identity()
    for change in ({"processes": 2}, {"zero_stage": 2}, {"offload_optimizer": True}, {"backend": "torch"}):
        assert TrainerResource(**(base | change)).identity() != plain
    remote = {"launcher": "ray", "ray_address": "http://head:8265", "ray_token": "secret"}
    assert TrainerResource(**(base | remote)).identity() == plain
    assert TrainerResource(**(base | KUBERNETES)).identity() == plain


def test_the_loop_counts_in_a_checkpoint_and_not_in_a_score() -> None:
    """A changed loop trains again; a new field of the resource, another launcher or objective does not.

    Scores, which only read the trainer's threads, are free of all of them.
    """
    trained = code_closure(train_plan)
    assert {"models.training.loop", "models.training.backend", "assets.core.training"} <= trained.keys()
    silent = {"assets.core.trainer", "assets.core.launching", "assets.core.sources"}
    assert not ({"models.training.dpo", "models.training.run"} | silent) & trained.keys()
    assert "models.training.loop" not in code_closure(score_checkpoint)


def test_a_shared_folder_must_hold_the_states(tmp_path: Path) -> None:
    """Other machines would look for the model in a folder that only this one has."""
    from tests.assets.core.tiny_training import materialize

    trainer = TrainerResource(launcher="ray", ray_address="http://nowhere:1", shared_folder=str(tmp_path / "shared"))
    with dg.DagsterInstance.ephemeral() as instance:
        result = materialize(trainer, str(tmp_path / "home"), instance, raise_on_error=False)
    failure = next(event for event in result.all_events if event.is_step_failure).step_failure_data
    assert failure.user_failure_data is not None
    assert "are not in the shared folder" in (failure.user_failure_data.description or "")


def test_the_pod_fits_the_schema_of_kubernetes() -> None:
    """As PipesK8sClient completes it: every field is one that Kubernetes knows (strict), of the right type."""
    validate = pytest.importorskip("kubernetes_validate", reason="needs the extra dev: kubernetes-validate")
    pytest.importorskip("dagster_k8s", reason="needs the extra cluster: dagster-k8s")
    import kubernetes
    from dagster_k8s.pipes import build_pod_body

    from assets.core.pod import pod_spec

    trainer = TrainerResource(**KUBERNETES, device="cuda", processes=8, threads=4, secret="athanor", memory="64Gi")
    body = build_pod_body(
        pod_name="training", image=trainer.image, command=["python", "-m", "orchestration.training_process"],
        env_vars={"DAGSTER_PIPES_CONTEXT": "x"}, base_pod_meta=None, base_pod_spec=pod_spec(trainer),
    )  # fmt: skip
    pod = kubernetes.client.ApiClient().sanitize_for_serialization(body) | {"apiVersion": "v1", "kind": "Pod"}
    validate.validate(pod, validate.latest_version(), strict=True)
    (container,) = pod["spec"]["containers"]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "8", "memory": "64Gi"}
    assert container["resources"]["requests"] == {"cpu": "32"}
    assert {"name": "shared", "mountPath": "/shared"} in container["volumeMounts"]
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert container["envFrom"] == [{"secretRef": {"name": "athanor"}}]
    assert {variable["name"] for variable in container["env"]} == {"HOME", "DAGSTER_PIPES_CONTEXT"}


def test_no_secret_value_is_in_the_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the specification holds can be read by everyone who may read pods."""
    from assets.core.pod import pod_spec

    monkeypatch.setenv("ATHANOR_RAY_TOKEN", "hunter2")
    monkeypatch.setenv("ATHANOR_POSTGRES_URL", "postgresql://user:hunter2@db/athanor")
    trainer = TrainerResource(**KUBERNETES, secret="athanor", ray_token=dg.EnvVar("ATHANOR_RAY_TOKEN"))
    assert "hunter2" not in str(pod_spec(trainer))
    assert "nvidia.com/gpu" not in str(pod_spec(trainer))
