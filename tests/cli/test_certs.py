"""``catena certs``: from nothing to pairs that are good, and what it says when something is not."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from catena.cli.main import main
from catena.errors import install_command
from catena.security.authority import read_certificates, write_authority
from tests.house.docs_examples import ROOT, blocks
from tests.security.pairs import NOW, WORKER, make_at, make_folder_for

PAGE = ROOT / "docs" / "how-to" / "certificates.md"
SUBCOMMANDS = ("authority", "worker", "caller", "show")
NEEDS_OPENSSL = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="there is no openssl on the path"
)


class Certs:
    """The command in a folder; each call returns exit code, standard output and errors."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Run ``catena certs`` with these arguments."""
        code = main(["certs", *arguments])
        return code, *self._capsys.readouterr()


@pytest.fixture
def certs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Certs:
    """The command, in an empty folder that paths are relative to."""
    monkeypatch.chdir(tmp_path)
    return Certs(capsys)


def issue(certs: Certs, *arguments: str, out: str = "out") -> x509.Certificate:
    """Issue a pair without complaint, and return its certificate."""
    assert certs(*arguments, "--out", out)[::2] == (0, "")
    return read_certificates(Path(out), "cert.pem")[0]


def names(certificate: x509.Certificate) -> list[str]:
    """The alternative names of a certificate."""
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return [one.value for one in found.value]


def days(certificate: x509.Certificate) -> int:
    """For how many days from now a certificate is valid."""
    return round((certificate.not_valid_after_utc - NOW) / timedelta(days=1))


def make_general(text: str) -> str:
    """An output without what differs each time: names of authorities, times, serial numbers."""
    text = re.sub(r"authority [0-9a-f]{8}\b", "authority NAME", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "TIME", text)
    return re.sub(r"serial {5}[0-9a-f]+", "serial     NUMBER", text)


def test_the_commands_of_the_page_do_what_it_says(certs: Certs) -> None:
    """Everything that the page types works in its order, and prints what the page shows."""
    shown = [
        (command.partition("\n")[0], command.partition("\n")[2])
        for block in blocks(PAGE)
        if block.language == "console"
        for command in block.text.removeprefix("$ ").split("\n$ ")
    ]
    typed = [(line, output) for line, output in shown if line.startswith("catena certs ")]

    assert len(typed) >= 6
    for line, output in typed:
        code, printed, complaint = certs(*shlex.split(line)[2:])
        assert (code, complaint) == (0, "")
        assert make_general(printed).strip() == make_general(output).strip()


@NEEDS_OPENSSL
def test_the_request_of_the_page_is_one_that_an_authority_can_sign(
    certs: Certs, tmp_path: Path
) -> None:
    """What OpenSSL makes as the page says is a good pair once it is signed."""
    (line,) = re.findall(r"\$ (openssl req .*)", PAGE.read_text("utf-8"))
    certs("authority", ".")
    folder = tmp_path / "w1"
    folder.mkdir()
    authority = f"-CA {tmp_path}/authority/ca.pem -CAkey {tmp_path}/authority/ca-key.pem"
    sign = f"openssl x509 -req -in request.pem {authority} -copy_extensions copy -out cert.pem"
    for command in (line, sign):
        subprocess.run(
            shlex.split(command), cwd=folder, check=True, capture_output=True, timeout=30
        )
    (folder / "key.pem").chmod(0o600)
    shutil.copy("authority/ca.pem", folder)

    code, printed, complaint = certs("show", "w1")

    assert (code, complaint) == (0, "")
    assert "w1.shop.catena" in printed
    assert "takes calls, makes calls" in printed


def test_the_page_has_every_subcommand() -> None:
    """Whoever reads the page knows all of them."""
    text = PAGE.read_text("utf-8")
    assert [one for one in SUBCOMMANDS if f"catena certs {one}" not in text] == []


# ---- what is issued


def test_names_are_those_that_were_asked_for(certs: Certs) -> None:
    """Of one worker, of all, of callers with their defaults and with SPIFFE ids."""
    uri = "spiffe://example.org/web"
    certs("authority", ".")

    assert names(issue(certs, "worker", ".", "--pool", "a", "--id", "b")) == ["b.a.catena"]
    assert names(issue(certs, "worker", ".", "--pool", "a")) == ["a.catena"]
    assert names(issue(certs, "caller", ".", "--pool", "a")) == ["caller.a.catena"]
    named = issue(certs, "caller", ".", "--pool", "a", "--name", "web", "--spiffe", uri)
    assert names(named) == ["web.a.catena", uri]
    assert names(issue(certs, "caller", ".", "--spiffe", uri)) == [uri]


def test_how_long_they_are_valid(certs: Certs) -> None:
    """Ten years and ninety days, unless something else is asked for."""
    certs("authority", ".")
    assert days(read_certificates(Path("authority"), "ca.pem")[0]) == 3_650
    assert days(issue(certs, "worker", ".", "--pool", "a")) == 90
    assert days(issue(certs, "caller", ".", "--pool", "a", "--days", "2")) == 2

    certs("authority", "short", "--days", "5")
    code, printed, _ = certs("worker", "short", "--pool", "a", "--out", "out")
    assert code == 0
    assert printed.endswith(" UTC, as its authority\n")
    assert days(read_certificates(Path("out"), "cert.pem")[0]) == 5


def test_files_are_for_their_user_alone(certs: Certs, tmp_path: Path) -> None:
    """Folders that the command makes, and keys."""
    certs("authority", "a")
    issue(certs, "worker", "a", "--pool", "p", out="b/c")

    modes = {
        str(path.relative_to(tmp_path)): stat.S_IMODE(path.stat().st_mode)
        for path in tmp_path.rglob("*")
        if path.is_dir() or "key" in path.name
    }
    assert modes == {
        "a": 0o700,
        "a/authority": 0o700,
        "a/authority/ca-key.pem": 0o600,
        "b": 0o700,
        "b/c": 0o700,
        "b/c/key.pem": 0o600,
    }


def test_a_pair_is_renewed_in_its_folder(certs: Certs) -> None:
    """Another certificate and key, and the folder is good again."""
    certs("authority", ".")
    first = issue(certs, "worker", ".", "--pool", "a")
    second = issue(certs, "worker", ".", "--pool", "a")

    assert first.public_key() != second.public_key()
    assert certs("show", "out")[0] == 0
    assert sorted(one.name for one in Path("out").iterdir()) == ["ca.pem", "cert.pem", "key.pem"]


def test_an_authority_is_replaced_only_by_request(certs: Certs) -> None:
    """The first one stays until --replace; what it issued is then no longer accepted."""
    certs("authority", ".")
    issue(certs, "worker", ".", "--pool", "a")
    before = Path("authority/ca.pem").read_bytes()

    code, printed, complaint = certs("authority", ".")
    assert (code, printed) == (1, "")
    assert complaint == (
        "catena certs authority: authority has an authority already; with --replace another one"
        " takes its place\n"
    )
    assert Path("authority/ca.pem").read_bytes() == before

    assert certs("authority", ".", "--replace")[0] == 0
    shutil.copy("authority/ca.pem", "out")
    assert "no authority in out/ca.pem has issued the certificate" in certs("show", "out")[2]


# ---- what is shown


def test_a_pair_as_an_object(certs: Certs) -> None:
    """--json prints the same facts, with times that programs read."""
    certs("authority", ".")
    made = issue(certs, "worker", ".", "--pool", "shop", "--id", "w1")
    code, printed, _ = certs("show", "out", "--json")
    facts = json.loads(printed)

    assert code == 0
    assert facts.pop("authority").startswith("Catena development authority ")
    assert facts.pop("authority_valid_until").endswith("+00:00")
    assert facts == {
        "schema": 1,
        "folder": "out",
        "names": ["w1.shop.catena"],
        "takes_calls": True,
        "makes_calls": True,
        "serial": f"{made.serial_number:x}",
        "valid_from": made.not_valid_before_utc.isoformat(),
        "valid_until": made.not_valid_after_utc.isoformat(),
        "problems": [],
        "warnings": [],
    }


def test_the_fields_of_the_object_are_on_its_page(certs: Certs) -> None:
    """The reference names each of them."""
    certs("authority", ".")
    issue(certs, "worker", ".", "--pool", "a")
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text("utf-8")
    rows = re.findall(r"^\| (`.*`) \|", page.partition("## catena certs")[2], re.MULTILINE)

    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert set(json.loads(certs("show", "out", "--json")[1])) <= listed


def test_what_is_wrong_gives_one_and_is_in_both_outputs(certs: Certs, tmp_path: Path) -> None:
    """A pair that has ended is shown all the same; a sentence says what is wrong."""
    make_folder_for(WORKER, tmp_path / "out", make_at(days_ago=50, days=90), days_ago=40)
    code, printed, complaint = certs("show", "out")

    assert code == 1
    assert printed.startswith("out: something is wrong\n  names      w1.shop.catena\n")
    pattern = r"catena certs show: the certificate was valid until .* UTC; issue it anew\n"
    assert re.fullmatch(pattern, complaint)

    code, printed, again = certs("show", "out", "--json")
    assert (code, again) == (1, complaint)
    assert [f"catena certs show: {one}\n" for one in json.loads(printed)["problems"]] == [again]


def test_an_end_that_is_near_is_a_warning(certs: Certs, tmp_path: Path) -> None:
    """The pair is good, and something is said on standard error."""
    make_folder_for(WORKER, tmp_path / "out", make_at(days=300), days=3)
    code, printed, complaint = certs("show", "out")

    assert code == 0
    assert printed.startswith("out: good\n")
    assert re.match(r"catena certs show: warning: the certificate ends in [23] days, at", complaint)


def test_a_pair_without_authority_or_names_is_shown(certs: Certs, tmp_path: Path) -> None:
    """What is not there is `none`."""
    folder = make_folder_for(WORKER, tmp_path / "out", make_at())
    (folder / "ca.pem").unlink()
    code, printed, complaint = certs("show", "out")

    assert code == 1
    assert "\n  authority  none\n" in printed
    assert complaint == "catena certs show: out has no ca.pem\n"
    facts = json.loads(certs("show", "out", "--json")[1])
    assert (facts["authority"], facts["authority_valid_until"]) == (None, None)


# ---- what goes wrong


def test_folders_that_are_not_there_are_named(certs: Certs) -> None:
    """Neither an authority nor a pair: a sentence, and exit code 1."""
    found = [certs("worker", "none", "--pool", "a", "--out", "out"), certs("show", "none")]

    assert found == [
        (1, "", "catena certs worker: there is no folder none/authority\n"),
        (1, "", "catena certs show: there is no folder none\n"),
    ]
    assert not Path("out").exists()


def test_an_authority_that_has_ended_issues_nothing(certs: Certs, tmp_path: Path) -> None:
    """The sentence says what to do; the folder of the pair is not touched."""
    write_authority(tmp_path / "authority", make_at(days_ago=20, days=10))
    code, printed, complaint = certs("worker", ".", "--pool", "a", "--out", "out")

    assert (code, printed) == (1, "")
    assert "was valid until" in complaint
    assert complaint.endswith(" UTC; make another one, and issue every pair anew\n")
    assert not Path("out").exists()


def test_a_key_that_others_may_read_is_refused(certs: Certs) -> None:
    """The authority's: nothing is issued. That of a pair: it is not good."""
    certs("authority", ".")
    issue(certs, "worker", ".", "--pool", "a")
    Path("out/key.pem").chmod(0o644)
    Path("authority/ca-key.pem").chmod(0o644)

    shown = certs("show", "out")
    issued = certs("worker", ".", "--pool", "a", "--out", "out")
    assert (shown[0], issued[:2]) == (1, (1, ""))
    assert "may read or change out/key.pem; run `chmod 600 out/key.pem`" in shown[2]
    assert "may read or change authority/ca-key.pem; run `chmod" in issued[2]


def test_a_path_that_cannot_be_written_is_one_line(certs: Certs, tmp_path: Path) -> None:
    """A file where a folder should be made."""
    (tmp_path / "file").touch()
    code, printed, complaint = certs("authority", "file")

    assert (code, printed) == (1, "")
    assert complaint == "catena certs authority: file/authority: not a directory\n"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ([], "Usage: catena certs "),
        (["nonsense"], "No such command"),
        (["authority"], "Missing argument 'DIR'"),
        (["authority", ".", "--days", "0"], "0 is not in the range"),
        (["worker", ".", "--out", "out"], "Missing option '--pool'"),
        (["worker", ".", "--pool", "a"], "Missing option '--out'"),
        (["worker", ".", "--pool", "A", "--out", "out"], "'--pool': a pool's name is made of"),
        (["worker", ".", "--pool", "", "--out", "out"], "'--pool': a pool's name is made of"),
        (
            ["worker", ".", "--pool", "a", "--id", "b.c", "--out", "out"],
            "'--id': a worker's id is made of 1 to 63",
        ),
        (
            ["caller", ".", "--pool", "a", "--name", "b_c", "--out", "out"],
            "'--name': a caller's name is made of",
        ),
        (["caller", ".", "--spiffe", "b", "--out", "out"], "'--spiffe': a SPIFFE id is spiffe://"),
        (["caller", ".", "--out", "out"], "--pool or --spiffe"),
        (["caller", ".", "--name", "b", "--out", "out"], "--name is a name in a pool"),
        (["show"], "Missing argument 'FOLDER'"),
    ],
)
def test_a_wrong_command_line_gives_two(certs: Certs, asked: list[str], said: str) -> None:
    """It says which option is wrong and what would be right; nothing is written."""
    certs("authority", ".")
    code, printed, complaint = certs(*asked)

    assert (code, printed) == (2, "")
    assert said in complaint
    assert not Path("out").exists()


@pytest.mark.parametrize("name", ["", *SUBCOMMANDS])
def test_each_has_a_page_of_help(certs: Certs, name: str) -> None:
    """The help of the group lists the four, and says what the exit codes mean."""
    code, printed, complaint = certs(*filter(None, (name, "--help")))

    assert (code, complaint) == (0, "")
    assert printed.startswith(f"Usage: catena certs {name}".rstrip())
    if not name:
        assert all(f"\n  {one} " in printed for one in SUBCOMMANDS)
        assert all(f"\n    {one}  " in printed for one in (0, 1, 2))


def test_without_the_extra_the_install_command_is_named(tmp_path: Path) -> None:
    """Who lacks cryptography reads how to get it; help and wrong labels need none."""
    program = (
        "import sys; sys.modules['cryptography'] = None;"
        " from catena.cli.main import main;"
        " assert main(['certs', '--help']) == 0;"
        " assert main(['certs', 'worker', '.', '--pool', 'A', '--out', 'b']) == 2;"
        " print(*(main(['certs', *line.split()]) for line in sys.argv[1:]))"
    )
    lines = ["authority .", "worker . --pool a --out b", "caller . --pool a --out b", "show b"]
    done = subprocess.run(
        [sys.executable, "-c", program, *lines],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout.endswith("\n2 2 2 2\n")
    assert done.stderr.splitlines()[-4:] == [
        f"catena certs {name}: cryptography is not installed: {install_command('certs')}"
        for name in SUBCOMMANDS
    ]
    assert list(tmp_path.iterdir()) == []
