"""The manifests for Kubernetes, read, and the little of Kubernetes that a test plays."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.examples.commands import EXAMPLES

__all__ = ["FOLDER", "NAMESPACE", "expand", "find", "mount_secret", "pod_of", "resources"]

FOLDER = EXAMPLES / "kubernetes"
NAMESPACE = "shop"
CERT_MANAGER = "cert-manager.io/v1"


def resources() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each resource with the name of its file."""
    for path in sorted(FOLDER.glob("*.yaml")):
        for one in yaml.safe_load_all(path.read_text("utf-8")):
            yield path.name, one


def find(kind: str, name: str) -> dict[str, Any]:
    """Return the one resource of a kind and name."""
    (found,) = (
        one for _, one in resources() if (one["kind"], one["metadata"]["name"]) == (kind, name)
    )
    return found


def pod_of(resource: dict[str, Any]) -> dict[str, Any]:
    """Return what the pods of a Deployment or a Job are made of."""
    spec: dict[str, Any] = resource["spec"]["template"]["spec"]
    return spec


def expand(words: list[str], environment: Mapping[str, str]) -> list[str]:
    """Return a command line as a container gets it, with ``$(NAME)`` replaced."""
    return [re.sub(r"\$\((\w+)\)", lambda found: environment[found[1]], one) for one in words]


def mount_secret(volume: dict[str, Any], secret: Mapping[str, bytes], place: Path) -> Path:
    """Mount a Secret as the kubelet does, or exchange what it holds, all files at one moment.

    The files are links into a folder that is itself reached by a link, and that one is replaced.
    """
    place.mkdir(exist_ok=True)
    version = place / f"..{len([*place.glob('..20*')]) + 2001}"
    version.mkdir()
    for item in volume["secret"]["items"]:
        file = version / item["path"]
        file.write_bytes(secret[item["key"]])
        file.chmod(volume["secret"]["defaultMode"])
        link = place / item["path"]
        if not link.is_symlink():
            link.symlink_to(Path("..data", item["path"]))
    fresh = place / "..data_tmp"
    fresh.symlink_to(version.name)
    fresh.rename(place / "..data")
    return place


def run_python(words: list[str]) -> list[str]:
    """Return a command line that starts this environment's ``catena`` in place of the image's."""
    return [sys.executable, "-m", *words]
