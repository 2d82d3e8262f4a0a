"""The forms in which a source is named: each leads to its medium, and mistakes list them all."""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from catena.discovery import source_of
from catena.discovery.forms import FORMS
from catena.facts import install_command


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("dir:{tmp}", "the folder {tmp}"),
        ("dir:{tmp}/not/there/yet", "the folder {tmp}/not/there/yet"),
        ("dir+shared:{tmp}", "the folder {tmp}"),
        ("dns://workers.ns:7800", "the DNS name workers.ns"),
        ("dns+srv://_catena._tcp.workers.ns", "the DNS name _catena._tcp.workers.ns"),
        ("lan:", "the local network"),
        ("lan:render", "the local network (pool render)"),
    ],
)
def test_a_text_names_a_medium(text: str, title: str, tmp_path: Path) -> None:
    """Nothing is opened or asked before the source is read."""
    source = source_of(text.format(tmp=tmp_path))

    assert repr(source) == f"<source of {title.format(tmp=tmp_path)}: nothing yet>"


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("", "'' has none of the forms"),
        ("host:80", "'host:80' has none of the forms"),
        ("/shared/workers", "'/shared/workers' has none of the forms"),
        ("http://a\x1b:80", r"'http://a\\x1b:80' has none of the forms"),
        ("dir:", r"the folder \. is not an absolute path"),
        ("dir:shared/workers", "the folder shared/workers is not an absolute path"),
        ("dir:/a\0b", "embedded null (byte|character)"),
        ("dns:workers.ns:7800", "a DNS name stands after two slashes"),
        ("dns://workers.ns", "'workers.ns' is not host:port"),
        ("dns://workers.ns:7800/x", "is not host:port"),
        ("dns://10.0.0.1:7800", "10.0.0.1 is an address and needs no name server"),
        ("dns://[::1]:7800", "'::1' is not a DNS name"),
        ("dns+srv://", "'' is not a DNS name"),
        ("dns+srv://a b", "'a b' is not a DNS name"),
        ("lan:a/b", "the id 'a/b' is not made of"),
        (["host"], "the target 'host' is neither"),
    ],
)
def test_a_mistake_is_named_and_the_forms_are_listed(where: Any, text: str) -> None:
    """Whoever mistypes a form sees all of them."""
    with pytest.raises(ValueError, match=f"no members can be found there: .*{text}") as raised:
        source_of(where)

    assert str(raised.value).endswith(FORMS)


def test_a_folder_that_others_may_change_is_refused_at_once(tmp_path: Path) -> None:
    """A weak folder is a mistake of whoever names it; with dir+shared it is meant."""
    tmp_path.chmod(stat.S_IRWXU | stat.S_IRWXG)
    with pytest.raises(PermissionError, match=r"may be changed by other users.*dir\+shared:"):
        source_of(f"dir:{tmp_path}")

    assert source_of(f"dir+shared:{tmp_path}")


@pytest.mark.parametrize(
    ("text", "library", "modules", "extra"),
    [
        ("dir:/tmp", "watchfiles", ["folder"], "discovery"),
        ("dns://a:1", "dns", ["dns_names", "dns_questions"], "discovery"),
        ("lan:", "zeroconf", ["lan"], "lan"),
    ],
)
def test_a_missing_extra_gives_the_install_command(
    text: str, library: str, modules: list[str], extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What needs an extra is imported when it is asked for; a list of targets needs none."""
    for name in modules:
        monkeypatch.delitem(sys.modules, f"catena.discovery.{name}", raising=False)
    for name in [one for one in sys.modules if one.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)

    with pytest.raises(ModuleNotFoundError) as raised:
        source_of(text)

    assert str(raised.value).endswith(f" is not installed: {install_command(extra)}")
    assert source_of(["host:80"])
