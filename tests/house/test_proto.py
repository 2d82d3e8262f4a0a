"""What is generated from the proto is what is committed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from catena.link import service
from catena.wire.v1 import catena_pb2 as pb
from tests.house.imports import SOURCE

ROOT = SOURCE.parent


def _check(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(root / "proto" / "generate.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Return a checkout that holds the proto and what was generated from it."""
    shutil.copytree(ROOT / "proto", tmp_path / "proto")
    generated = Path("src", "catena", "wire", "v1")
    shutil.copytree(ROOT / generated, tmp_path / generated)
    return tmp_path


def test_the_committed_modules_are_those_of_the_proto() -> None:
    """Compiling the proto again yields the committed files."""
    done = _check(ROOT)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_changed_proto_is_noticed(copied: Path) -> None:
    """A field more in the proto, and the check names what to make anew."""
    proto = copied / "proto" / "catena" / "v1" / "catena.proto"
    text = proto.read_text("utf-8")
    assert "message Goodbye {" in text
    proto.write_text(text.replace("message Goodbye {", "message Goodbye { uint32 why = 7;"))
    done = _check(copied)
    assert done.returncode == 1
    assert "catena_pb2.py differs from its proto" in done.stdout


def test_a_changed_module_is_noticed(copied: Path) -> None:
    """A generated file that was edited or lost is noticed as well."""
    target = copied / "src" / "catena" / "wire" / "v1"
    (target / "catena_pb2.pyi").write_text("# by hand\n")
    (target / "catena_pb2.py").unlink()
    done = _check(copied)
    assert done.returncode == 1
    assert done.stdout.count("differs from its proto") == 2


def test_the_services_names_are_the_protos() -> None:
    """The method that client and server agree on is read from the descriptor."""
    assert service.SERVICE == "catena.v1.Worker"
    assert service.METHOD == "/catena.v1.Worker/Link"
    assert (service.ASK, service.STOP) == ("/catena.v1.Worker/Ask", "/catena.v1.Worker/Stop")
    method = pb.DESCRIPTOR.services_by_name["Worker"].methods_by_name["Link"]
    assert method.client_streaming
    assert method.server_streaming


def test_the_wire_has_the_fields_that_later_releases_need() -> None:
    """V5: whole or delta, entry kinds, policy, ledgers, carrier, deadlines and credit are there."""
    fields = {
        message: {field.name for field in pb.DESCRIPTOR.message_types_by_name[message].fields}
        for message in ("Frame", "Manifest", "Ledgers", "Entry", "Task", "Hello")
    }
    assert fields["Frame"] >= {"manifest", "carrier"}
    assert fields["Manifest"] >= {"chain_id", "delta", "ledgers", "carrier", "base", "name"}
    assert fields["Ledgers"] >= {"spent", "live"}
    assert fields["Entry"] >= {"kind", "policy", "default"}
    assert fields["Task"] >= {"proxy", "proxy_id", "timeout_ns", "dispatch_timeout_ns", "credit"}
    assert fields["Hello"] >= {"major", "minor", "software", "capabilities"}
