"""The error table: codes and exit codes are told apart, and the tree in the docstring is the tree of the classes."""

from __future__ import annotations

import http
import pickle
import re
from collections import defaultdict

import pytest

from expunge.core import errors
from expunge.core.errors import ExpungeError, all_errors

SHARED = {
    1: {
        "ExpungeError",
        "EvidenceError",
        "MalformedEvidence",
        "SignatureInvalid",
        "ProofInvalid",
        "LogRewritten",
        "ClaimRefuted",
    },
    2: {"BadInput", "TrustRootInvalid", "KeyUnsafe"},
}
"""Exit codes that several errors share, on purpose: 1 = not proof, 2 = asked wrongly (as every command says it)."""


def drawn_tree() -> dict[str, set[str]]:
    """Return parent → children as the module's docstring draws them."""
    children: dict[str, set[str]] = defaultdict(set)
    parent = root = ""
    for line in (errors.__doc__ or "").splitlines():
        branch = re.match(r"    (│   |    )?[├└]── (.*)", line)
        if re.fullmatch(r"    [A-Z]\w+", line):
            root = line.strip()
        elif branch and branch[1]:
            children[parent] |= set(branch[2].split())
        elif branch:
            parent = branch[2].split()[0]
            children[root].add(parent)
    return {name: found for name, found in children.items() if found}


def real_tree() -> dict[str, set[str]]:
    """Return parent → children as the classes are."""
    children: dict[str, set[str]] = defaultdict(set)
    for kind in all_errors():
        if kind is not ExpungeError:
            children[kind.__bases__[0].__name__].add(kind.__name__)
    return dict(children)


def test_the_drawn_tree_is_the_real_tree() -> None:
    assert drawn_tree() == real_tree()


def test_codes_are_the_names_and_unique() -> None:
    codes = [kind.code for kind in all_errors()]
    assert len(codes) == len(set(codes))
    for kind in all_errors():
        assert "code" in vars(kind), f"{kind.__name__} borrows its parent's code"
        words = re.findall("[A-Z][a-z]+", kind.__name__)
        assert kind.code == "-".join(words).lower() or kind is ExpungeError


def test_exit_codes_are_told_apart() -> None:
    users: dict[int, set[str]] = defaultdict(set)
    for kind in all_errors():
        users[kind.exit_code].add(kind.__name__)
    assert {code: names for code, names in users.items() if len(names) > 1} == SHARED


def test_exit_codes_are_none_of_the_shells() -> None:
    for kind in all_errors():
        assert 1 <= kind.exit_code <= 125 or (kind is errors.Interrupted and kind.exit_code == 130)


@pytest.mark.parametrize("kind", all_errors(), ids=lambda k: k.code)
def test_an_error_says_what_why_and_what_now(kind: type[ExpungeError]) -> None:
    assert (kind.__doc__ or "").strip().endswith(".")
    assert "\n" not in (kind.__doc__ or "").strip()
    assert kind.hint.endswith((".", ")"))
    assert http.HTTPStatus(kind.http_status) >= 400
    error = kind("what happened", ids=["a"], n=1)
    assert error.as_dict()["code"] == kind.code
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.as_dict()) == (kind, error.as_dict())
    assert kind().message == (kind.__doc__ or "").strip()


def test_errors_are_raised_by_their_own_names() -> None:
    assert all(kind.__module__ == errors.__name__ for kind in all_errors())
