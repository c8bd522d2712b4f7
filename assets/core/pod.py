"""The pod that trains on Kubernetes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assets.core.trainer import TrainerResource

# Between the request to end and the kill the last state has to reach the disk.
GRACE_SECONDS = 600


def pod_spec(trainer: TrainerResource) -> dict[str, Any]:
    """The specification that `PipesK8sClient` completes with the command and the variables of Pipes.

    One container with a GPU per process, the shared volume, and shared memory for NCCL; without root, privileges or
    the service account's token. Secrets are named, not held.
    """
    limits: dict[str, str] = {"memory": trainer.memory} if trainer.memory else {}
    requests: dict[str, str] = {"cpu": str(trainer.processes * trainer.threads)}
    if trainer.device == "cuda":
        limits["nvidia.com/gpu"] = str(trainer.processes)
    container: dict[str, Any] = {
        "name": "training",
        "resources": {"limits": limits, "requests": requests},
        "volumeMounts": [
            {"name": "shared", "mountPath": trainer.shared_folder},
            {"name": "memory", "mountPath": "/dev/shm"},
            # The root file system is read-only, and compilers and caches want a place to write.
            {"name": "scratch", "mountPath": "/tmp"},
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "env": [{"name": "HOME", "value": "/tmp"}],
    }
    if trainer.secret:
        container["envFrom"] = [{"secretRef": {"name": trainer.secret}}]
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": trainer.user_id,
            "fsGroup": trainer.user_id,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "shared", "persistentVolumeClaim": {"claimName": trainer.volume_claim}},
            {"name": "memory", "emptyDir": {"medium": "Memory"}},
            {"name": "scratch", "emptyDir": {}},
        ],
    }
