"""Ownership and quota: a lawful request is held for a human, never silently refused."""

from __future__ import annotations

import pytest

from expunge.catalog import build
from expunge.core.errors import UnknownRecord, UnknownSubject
from expunge.core.policy import Policy
from expunge.core.request import ForgetRequest
from expunge.core.tiny import tiny_deployment

OWNERSHIP, QUOTA = build("screen", "ownership"), build("screen", "quota")


@pytest.fixture
def deployment():
    return tiny_deployment(5)


def two_subjects(deployment):
    data = deployment.data
    other = next(row for row in range(len(data)) if data.subjects[row] != data.subjects[0])
    return data.ids[[0, other]].tolist()


def test_records_of_several_subjects_need_the_owners_word(deployment):
    ids = two_subjects(deployment)
    held = OWNERSHIP.judge(ForgetRequest(records=ids, verified_how="record-key"), deployment, Policy())
    assert held.verdict == "hold"
    assert "2 subjects" in held.reasons[0]
    assert held.score == 2
    assert not any(str(i) in held.reasons[0] for i in ids)
    assert OWNERSHIP.judge(ForgetRequest(records=ids), deployment, Policy()).verdict == "accept"
    one = ForgetRequest(records=ids[:1], verified_how="record-key")
    assert OWNERSHIP.judge(one, deployment, Policy()).verdict == "accept"


def test_holdout_records_count_as_well(deployment):
    data, held = deployment.data, deployment.holdout
    stranger = next(i for i, s in zip(held.ids.tolist(), held.subjects.tolist(), strict=True) if s != data.subjects[0])
    request = ForgetRequest(records=(data.ids.tolist()[0], stranger), verified_how="capability")
    assert OWNERSHIP.judge(request, deployment, Policy()).verdict == "hold"


def test_subjects_speak_for_themselves(deployment):
    request = ForgetRequest(subject=deployment.data.subjects.tolist()[0], verified_how="capability")
    assert OWNERSHIP.judge(request, deployment, Policy()).verdict == "accept"


@pytest.mark.parametrize("screen", [OWNERSHIP, QUOTA])
def test_what_is_not_there_is_an_error(screen, deployment):
    with pytest.raises(UnknownRecord):
        screen.judge(ForgetRequest(records=("nobody",)), deployment, Policy())
    with pytest.raises(UnknownSubject):
        screen.judge(ForgetRequest(subject="nobody"), deployment, Policy())


@pytest.mark.parametrize("screen", [OWNERSHIP, QUOTA])
def test_an_empty_request_is_accepted(screen, deployment):
    assert screen.judge(ForgetRequest(verified_how="capability"), deployment, Policy()).verdict == "accept"


def test_quota_is_a_share_of_the_training_records(deployment):
    ids, n = deployment.data.ids.tolist(), len(deployment.data)
    request = ForgetRequest(records=ids[:5])
    assert QUOTA.judge(request, deployment, Policy(max_share=5 / n)).verdict == "accept"
    held = QUOTA.judge(request, deployment, Policy(max_share=4.9 / n))
    assert held.verdict == "hold"
    assert held.score == pytest.approx(5 / n)
    assert f"5 of {n}" in held.reasons[0]
