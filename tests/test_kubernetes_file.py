"""The manifest for KubeRay, held against Kubernetes' own schemas and against what we pin."""

from __future__ import annotations

import copy
import importlib.metadata
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from seglib.allocator import ONE_HEAP
from tests.cluster.nodes import WATCHFUL

ROOT = Path(__file__).parents[1]
RAY = importlib.metadata.version("ray")
KUBERNETES = "1.37"


@pytest.fixture
def documents() -> Any:
    text = (ROOT / "docs/cluster/rayjob.yaml").read_text(encoding="utf-8")
    return {one["kind"]: one for one in yaml.safe_load_all(text)}


@pytest.fixture
def cluster(documents: Any) -> Any:
    return documents["RayJob"]["spec"]["rayClusterSpec"]


@pytest.fixture
def pods(cluster: Any) -> Any:
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [group["template"]["spec"] for group in groups]


def _as_pod(spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "any"}, "spec": spec}


def test_kubernetes_knows_every_field_of_the_pods_and_the_storage(documents, pods):
    for spec in pods:
        kubernetes_validate.validate(_as_pod(spec), KUBERNETES, strict=True)
    kubernetes_validate.validate(documents["PersistentVolumeClaim"], KUBERNETES, strict=True)
    broken = copy.deepcopy(pods[1])
    broken["containers"][0]["resource"] = broken["containers"][0].pop("resources")
    with pytest.raises(kubernetes_validate.ValidationError, match="resource"):
        kubernetes_validate.validate(_as_pod(broken), KUBERNETES, strict=True)


def test_image_has_the_pinned_ray(cluster, pods):
    assert cluster["rayVersion"] == RAY
    images = {pod["containers"][0]["image"] for pod in pods}
    assert all(image.endswith(f"-ray{RAY}") for image in images)
    assert len(images) == 1
    recipe = (ROOT / "docs/cluster/Dockerfile").read_text(encoding="utf-8")
    assert f"FROM rayproject/ray:{RAY}-py311\n" in recipe


def test_nobody_gets_in_without_the_secret(cluster):
    assert cluster["authOptions"] == {"mode": "token", "secretName": "segtune-token"}


def test_search_survives_its_head_and_leaves_no_cluster_behind(documents, cluster):
    job = documents["RayJob"]["spec"]
    assert job["backoffLimit"] >= 1
    assert job["shutdownAfterJobFinishes"] is True
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_workers_have_gpus_and_come_and_go(cluster, pods):
    (gpu,) = cluster["workerGroupSpecs"]
    assert cluster["enableInTreeAutoscaling"] is True
    assert 1 <= gpu["minReplicas"] <= gpu["replicas"] < gpu["maxReplicas"]
    assert pods[1]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_all_pods_see_the_storage_and_keep_the_rest_to_themselves(documents, pods):
    claim = documents["PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    job = documents["RayJob"]["spec"]["entrypoint"]
    for pod in pods:
        (container,) = pod["containers"]
        mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
        volumes = {one["name"]: one for one in pod["volumes"]}
        assert mounts.keys() == volumes.keys()
        shared = volumes["shared"]["persistentVolumeClaim"]["claimName"]
        assert shared == claim["metadata"]["name"]
        assert f"--storage-path {mounts['shared']}/" in job
        values = {one["name"]: one["value"] for one in container["env"]}
        assert values["SEGTUNE_NODE_CACHE"].startswith(mounts["cache"])
        assert "emptyDir" in volumes["cache"]
        assert values["RAY_USAGE_STATS_ENABLED"] == "0"
        assert (ONE_HEAP | WATCHFUL).items() <= values.items()


def test_no_pod_runs_as_root_or_may_become_it(pods):
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        limits = pod["containers"][0]["securityContext"]
        assert limits["allowPrivilegeEscalation"] is False
        assert limits["capabilities"] == {"drop": ["ALL"]}
