"""Who may call: names held against lists, and lists that change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from catena.errors import CredentialsError
from catena.events import CredentialsFailed
from catena.security.authorise import Authorisation, Identity, NameList
from catena.testing import recording

SPIFFE = "spiffe://jobs/alice"


def named(*dns: str, uris: tuple[str, ...] = ()) -> Identity:
    """Return an identity of DNS names."""
    return Identity(dns, uris)


@pytest.mark.parametrize(
    ("name", "may"),
    [
        ("alice.jobs.catena", True),
        ("a.b.jobs.catena", True),
        ("jobs.catena", True),
        ("alice.others.catena", False),
        ("alice.otherjobs.catena", False),
        ("otherjobs.catena", False),
        ("jobs.catena.example.org", False),
        ("catena", False),
    ],
)
def test_without_a_list_the_pools_own_names_may_call(name: str, may: bool) -> None:
    """Trust: names under that of the pool, and nobody else."""
    refusal = Authorisation("jobs").find_caller_refusal(named(name))

    assert (refusal == "") is may
    assert may or "jobs.catena and the names under it" in refusal


def test_a_certificate_without_names_may_not_call() -> None:
    """Neither by the rule of the pool nor by a list."""
    for callers in (None, ["*.jobs.catena"]):
        assert Authorisation("jobs", callers).find_caller_refusal(Identity())
    assert str(Identity()) == "a caller without a name"


@pytest.mark.parametrize(
    ("entry", "who", "may"),
    [
        ("alice.jobs.catena", named("alice.jobs.catena"), True),
        ("Alice.Jobs.Catena", named("alice.jobs.catena"), True),
        ("alice.jobs.catena", named("bob.jobs.catena"), False),
        ("*.jobs.catena", named("bob.jobs.catena"), True),
        ("*.jobs.catena", named("a.bob.jobs.catena"), False),
        ("*.jobs.catena", named("jobs.catena"), False),
        ("*.jobs.catena", named("bob.xjobs.catena"), False),
        (SPIFFE, named(uris=(SPIFFE,)), True),
        (SPIFFE, named(uris=(f"{SPIFFE}/more",)), False),
        (SPIFFE, named("spiffe://jobs/alice"), False),
        ("bob.example.org", named("alice.jobs.catena", "bob.example.org"), True),
    ],
)
def test_a_list_says_who_may_call(entry: str, who: Identity, may: bool) -> None:
    """Trust: DNS names without regard to case, a star for one label, SPIFFE ids as they are."""
    assert (Authorisation("jobs", [entry]).find_caller_refusal(who) == "") is may


def test_a_list_replaces_the_rule_of_the_pool() -> None:
    """Whoever gives a list has named all of them; an empty one names nobody."""
    alice = named("alice.jobs.catena")

    assert Authorisation("jobs", ["bob.jobs.catena"]).find_caller_refusal(alice)
    assert "are nobody" in Authorisation("jobs", []).find_caller_refusal(alice)


def test_a_long_list_is_shown_in_part() -> None:
    """What a refused caller hears is one line."""
    many = [f"c{n}.jobs.catena" for n in range(30)]

    refusal = Authorisation("jobs", many).find_caller_refusal(named("x.org"))
    assert refusal.endswith("c7.jobs.catena and 22 others")


def test_operators_are_a_list_of_their_own() -> None:
    """Who may call may not stop: nobody may, where no list says so."""
    alice, bob = named("alice.jobs.catena"), named("bob.jobs.catena")
    who = Authorisation("jobs", operators=["bob.jobs.catena"])

    assert who.find_operator_refusal(bob) == ""
    assert "bob.jobs.catena" in who.find_operator_refusal(alice)
    assert "are nobody" in Authorisation("jobs", operators=()).find_operator_refusal(alice)
    assert who.find_caller_refusal(bob) == ""
    # Without a list it is a name; that of another pool, or one below it, is none.
    who = Authorisation("jobs")
    assert who.find_operator_refusal(named("operator.jobs.catena")) == ""
    for other in ("alice.jobs.catena", "operator.bank.catena", "a.operator.jobs.catena"):
        assert "are operator.jobs.catena" in who.find_operator_refusal(named(other))


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "*",
        "a.*.catena",
        "**.jobs.catena",
        "a b",
        ".jobs",
        "alice@jobs",
        "a_b.jobs.catena",
        "spiffe://*",
    ],
)
def test_what_is_no_name_is_refused(entry: str) -> None:
    """A mistake in a list fails when it is given, with an example of each kind."""
    with pytest.raises(ValueError, match=r"is no name of a caller: .* alice\.jobs\.catena"):
        Authorisation("jobs", [entry])


def test_a_list_is_no_text_and_a_pool_is_a_label() -> None:
    """A path has to be a Path, so that a name is not taken for one, nor a list for letters."""
    with pytest.raises(TypeError, match="as a Path"):
        Authorisation("jobs", "callers.txt")
    for pool in ("", "a.b", "Jobs", "jobs/x", "*", "a_b", "a" * 64):
        with pytest.raises(ValueError, match="the name of a pool is made of 1 to 63"):
            Authorisation(pool)


def test_identities_are_read_of_what_grpc_tells() -> None:
    """DNS names in lower case, URIs; a wildcard in a certificate is nobody's name."""
    facts = {
        "peer_dns": [b"Alice.Jobs.catena", b"*.jobs.catena", b"\xff"],
        "peer_uri": [SPIFFE.encode()],
        "x509_common_name": [b"root.jobs.catena"],
    }

    found = Identity.read(facts)
    assert found == Identity(("alice.jobs.catena",), (SPIFFE,))
    assert str(found) == f"alice.jobs.catena, {SPIFFE}"
    assert Identity.read({}) == Identity()


# ---- lists in files


def rewrite(path: Path, text: str) -> None:
    """Replace a file at once, as an editor does."""
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)  # noqa: PTH105 - what editors do


def test_a_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    """A permit follows at once, either way; comments and empty lines are no names."""
    path = tmp_path / "callers"
    path.write_text("# who calls\n\nalice.jobs.catena  # of the web shop\n*.x.catena\n")
    permit = Authorisation("jobs", path).permit(named("alice.jobs.catena"))
    assert permit.find_refusal() == ""

    rewrite(path, "bob.jobs.catena\n")
    assert permit.find_refusal().endswith("are bob.jobs.catena")
    rewrite(path, "alice.jobs.catena\n")
    assert permit.find_refusal() == ""


def test_a_file_that_is_written_in_place_is_read_again(tmp_path: Path) -> None:
    """The same size within the same moment: what is young is not trusted to be all."""
    path = tmp_path / "callers"
    path.write_text("alice.jobs.catena")
    permit = Authorisation("jobs", path).permit(named("alice.jobs.catena"))
    for _ in range(20):
        path.write_text("alicf.jobs.catena")
        assert permit.find_refusal()
        path.write_text("alice.jobs.catena")
        assert permit.find_refusal() == ""


def test_the_version_grows_with_the_names_only(tmp_path: Path) -> None:
    """A file that says the same in other words changes nothing."""
    path = tmp_path / "callers"
    path.write_text("alice.jobs.catena")
    names = NameList(path)
    rewrite(path, "# a comment\nalice.jobs.catena\n")
    names.refresh()
    assert names.version == 1
    rewrite(path, "bob.jobs.catena")
    names.refresh()
    names.refresh()
    assert names.version == 2


def test_a_file_that_has_not_changed_is_not_read(tmp_path: Path) -> None:
    """Each call looks at the file; only a change opens it."""
    path = tmp_path / "callers"
    path.write_text("alice.jobs.catena")
    os.utime(path, (1, 1))
    names = NameList(path)
    path.chmod(0o600)
    names.refresh()
    names.names = ("kept.jobs.catena",)
    names.refresh()

    assert names.names == ("kept.jobs.catena",)


@pytest.mark.parametrize("spoil", ["gone", "a bad line"])
def test_a_file_that_cannot_be_read_changes_nothing(tmp_path: Path, spoil: str) -> None:
    """What was read before stays, and that is announced, once."""
    path = tmp_path / "callers"
    path.write_text("alice.jobs.catena")
    permit = Authorisation("jobs", path).permit(named("alice.jobs.catena"))
    with recording(CredentialsFailed) as heard:
        if spoil == "gone":
            path.unlink()
        else:
            rewrite(path, "not a name\n")
            os.utime(path, (1, 1))
        assert [permit.find_refusal() for _ in range(3)] == [""] * 3
    (failed,) = heard.of(CredentialsFailed)
    assert failed.kept
    assert failed.error.where == str(path)

    rewrite(path, "bob.jobs.catena")
    assert permit.find_refusal()


def test_a_file_that_is_not_there_at_first_is_an_error(tmp_path: Path) -> None:
    """A worker does not begin to serve with a list that nobody has read."""
    with pytest.raises(CredentialsError, match="callers"):
        Authorisation("jobs", tmp_path / "callers")
