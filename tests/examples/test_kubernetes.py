"""The manifests for Kubernetes: each is valid alone, and they fit each other and Catena."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import kubernetes_validate
import pytest

from catena.discovery.dns_names import DnsMedium
from catena.discovery.forms import source_of
from catena.security.files import CA, CERTIFICATE, KEY
from catena.security.names import dns_name
from tests.examples.commands import EXAMPLES, parse_worker, seconds_to_end
from tests.examples.manifests import (
    CERT_MANAGER,
    FOLDER,
    NAMESPACE,
    expand,
    find,
    pod_of,
    resources,
)

OLDEST = "1.27"
"""The first Kubernetes whose probes ask over gRPC without a switch."""

BUILT_IN = [(file, one) for file, one in resources() if one["apiVersion"] != CERT_MANAGER]
POD_NAME = "workers-6f7d9c5b48-x2x9k"

WORKERS, CALLER = find("Deployment", "workers"), find("Job", "caller")
SERVICE, POLICY = find("Service", "workers"), find("NetworkPolicy", "workers")
POD = pod_of(WORKERS)
(CONTAINER,) = POD["containers"]
(CALLING,) = pod_of(CALLER)["containers"]


def options() -> dict[str, Any]:
    """Return the options with which a pod starts its worker."""
    words = [*CONTAINER["command"], *CONTAINER["args"]]
    return parse_worker(expand(words, {"POD_NAME": POD_NAME}))


def ports() -> dict[str, int]:
    """Return the ports of a worker's container by their names."""
    return {one["name"]: one["containerPort"] for one in CONTAINER["ports"]}


def environment() -> dict[str, str]:
    """Return what is set for the program that calls."""
    return {one["name"]: one["value"] for one in CALLING["env"]}


def labels_of(resource: dict[str, Any]) -> dict[str, str]:
    """Return the labels of a resource's pods."""
    found: dict[str, str] = resource["spec"]["template"]["metadata"]["labels"]
    return found


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize(
    "resource",
    [one for _, one in BUILT_IN],
    ids=[f"{file}:{one['kind']}" for file, one in BUILT_IN],
)
def test_built_in_kinds_follow_their_schemas(resource: dict[str, Any], version: str) -> None:
    """Each is what Kubernetes takes, with no field that it does not know."""
    assert kubernetes_validate.validate(resource, version, strict=True)


def test_a_field_that_is_wrong_is_found() -> None:
    """Bad input: an unknown field, and a probe that the schema does not know."""
    wrong = {**SERVICE, "spec": {**SERVICE["spec"], "clusterIPs": "None"}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, OLDEST, strict=True)
    wrong = {**SERVICE, "spec": {**SERVICE["spec"], "headless": True}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, OLDEST, strict=True)


def test_all_is_in_one_namespace() -> None:
    """A name finds nothing in another one."""
    found = {one["metadata"].get("namespace", one["metadata"]["name"]) for _, one in resources()}

    assert found == {NAMESPACE}


def test_the_worker_starts_with_what_the_product_takes() -> None:
    """Its command line parses; a pod's name is an id, and its ports are those of the container."""
    found = options()

    assert found["id"] == POD_NAME
    assert (found["listen"], found["health"]) == (
        f"0.0.0.0:{ports()['catena']}",
        f"0.0.0.0:{ports()['health']}",
    )
    # Kubernetes appends a hash and five letters; an id has 63 at most.
    assert len(WORKERS["metadata"]["name"]) + len("-6f7d9c5b48-x2x9k") <= 63


def test_a_pod_has_the_time_that_its_calls_have() -> None:
    """P12: the drain, and the clean-up after it, end before Kubernetes ends the pod."""
    assert POD["terminationGracePeriodSeconds"] > seconds_to_end(options())


def test_the_service_gives_the_records_that_the_caller_looks_for() -> None:
    """P8: a headless Service, whose named port is the first label of what is asked for."""
    (port,) = SERVICE["spec"]["ports"]
    protocol = port.get("protocol", "TCP").lower()
    name = SERVICE["metadata"]["name"]

    assert SERVICE["spec"]["clusterIP"] == "None"
    assert (port["targetPort"], port["port"]) == ("catena", ports()["catena"])
    where = environment()["WORKERS"]
    assert where == (f"dns+srv://_{port['name']}._{protocol}.{name}.{NAMESPACE}.svc.cluster.local")
    assert isinstance(source_of(where)._medium, DnsMedium)


def test_labels_choose_the_workers() -> None:
    """Service, budget and policy mean the same pods, and callers are others."""
    mine = labels_of(WORKERS)
    budget = find("PodDisruptionBudget", "workers")
    chosen = [
        SERVICE["spec"]["selector"],
        WORKERS["spec"]["selector"]["matchLabels"],
        budget["spec"]["selector"]["matchLabels"],
        POLICY["spec"]["podSelector"]["matchLabels"],
    ]

    assert all(mine.items() >= one.items() for one in chosen)
    assert not labels_of(CALLER).items() >= mine.items()


def test_only_the_port_of_calls_is_open() -> None:
    """Callers and workers get to the workers' port; nobody but the node to that of checks."""
    (rule,) = POLICY["spec"]["ingress"]
    admitted = [one["podSelector"]["matchLabels"] for one in rule["from"]]

    assert POLICY["spec"]["policyTypes"] == ["Ingress"]
    assert [one["port"] for one in rule["ports"]] == ["catena"]
    for resource in (WORKERS, CALLER):
        assert any(labels_of(resource).items() >= one.items() for one in admitted)


@pytest.mark.parametrize("name", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_probes_ask_the_plain_port(name: str) -> None:
    """P12: gRPC's standard checks, which Kubernetes makes without TLS."""
    assert CONTAINER[name]["grpc"] == {"port": ports()["health"]}


def test_a_blocked_worker_is_ended_later_than_pools_leave_it() -> None:
    """P12: a pool cuts the link after 30 s; the probe ends the process some time after that."""
    probe = CONTAINER["livenessProbe"]

    assert probe["periodSeconds"] * probe["failureThreshold"] > 30


@pytest.mark.parametrize(
    ("certificate", "resource"),
    [("workers", WORKERS), ("caller", CALLER)],
    ids=["worker", "caller"],
)
def test_certificates_are_mounted_as_they_are_read(
    certificate: str, resource: dict[str, Any]
) -> None:
    """The Secret's three files get the names that Catena reads, in the folder that it is given."""
    pod = pod_of(resource)
    (container,) = pod["containers"]
    (mount,) = (one for one in container["volumeMounts"] if one["name"] == "certs")
    (volume,) = (one for one in pod["volumes"] if one["name"] == "certs")
    folder = options()["certs"] if resource is WORKERS else environment()["CERTS"]
    items = {one["key"]: one["path"] for one in volume["secret"]["items"]}

    assert mount["mountPath"] == folder
    # With a subPath, files are never exchanged.
    assert "subPath" not in mount
    assert items == {"ca.crt": CA, "tls.crt": CERTIFICATE, "tls.key": KEY}
    asked = find("Certificate", certificate)["spec"]
    assert volume["secret"]["secretName"] == asked["secretName"]
    # A group may read what belongs to the superuser, and the pod's user is in that group.
    assert volume["secret"]["defaultMode"] == 0o440
    assert pod["securityContext"]["fsGroup"] > 0


def test_certificates_have_the_names_that_are_demanded() -> None:
    """Trust: workers share the pool's own name, and the caller has one under it."""
    pool = options()["pool"]
    workers, caller = (find("Certificate", one)["spec"] for one in ("workers", "caller"))

    assert environment()["POOL"] == pool
    assert options()["shared_certificate"]
    assert workers["dnsNames"] == [dns_name(pool)]
    assert caller["dnsNames"] == [dns_name(pool, "caller")]
    assert {"server auth", "client auth"} <= {*workers["usages"]}
    assert "server auth" not in caller["usages"]
    assert "client auth" in caller["usages"]


def test_certificates_come_from_one_authority() -> None:
    """Trust: what the workers and the caller show was issued by what the other one trusts."""
    authority = find("Certificate", "authority")["spec"]
    issuer = find("Issuer", "authority")

    assert authority["isCA"] is True
    assert issuer["spec"]["ca"]["secretName"] == authority["secretName"]
    for name in ("workers", "caller"):
        spec = find("Certificate", name)["spec"]
        assert spec["issuerRef"] == {"name": "authority", "kind": "Issuer"}
        assert spec["privateKey"]["encoding"] == "PKCS8"


def test_a_strict_namespace_admits_the_pods() -> None:
    """What the profile `restricted` demands of pods is said by each of them."""
    label = "pod-security.kubernetes.io/enforce"
    assert find("Namespace", NAMESPACE)["metadata"]["labels"][label] == "restricted"
    for pod in (POD, pod_of(CALLER)):
        (container,) = pod["containers"]
        inside = container["securityContext"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert inside["allowPrivilegeEscalation"] is False
        assert inside["capabilities"] == {"drop": ["ALL"]}


def test_the_image_has_what_the_pods_run() -> None:
    """It copies files that are there, with extras that exist, for the user of the pods."""
    text = (FOLDER / "Containerfile").read_text("utf-8")
    root = EXAMPLES.parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    (extras,) = re.findall(r"/src\[([\w,]+)\]", text)
    copied = re.findall(r"docs/examples/kubernetes/\w+\.py", text)

    assert {*extras.split(",")} <= set(project["optional-dependencies"])
    assert {"discovery", "health"} <= {*extras.split(",")}
    assert [one for one in copied if not (root / one).exists()] == []
    assert f"docs/examples/kubernetes/{CALLING['command'][1]}" in copied
    assert [f"docs/examples/kubernetes/{one}.py" in copied for one in options()["modules"]] == [
        True
    ]
    assert f"USER {POD['securityContext']['runAsUser']}\n" in text
    assert CONTAINER["image"] == CALLING["image"]
