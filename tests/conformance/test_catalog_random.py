"""Exactness beyond the four worlds of the suite: random worlds, shares and splits, for every learner that forgets.

A night of it, 5,000 examples for each of five keys: ``EXPUNGE_EXAMPLES=5000 make slow``, of one learner
``EXPUNGE_EXAMPLES=5000 pytest -m slow tests/conformance/test_catalog_random.py -k forest``.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge import catalog
from expunge.core.conformance import check_examples, records_for
from expunge.core.conformance.watch import arrays_of, refit, some_ids, unequal
from expunge.core.errors import Unsupported
from expunge.core.roles import Forgets
from expunge.core.seeds import Key
from expunge.core.tiny import Tally, deploy


@pytest.fixture(scope="module", params=("tally", *catalog.names("learner")))
def learner(request):
    if request.param == "tally":
        return Tally()
    try:
        found = catalog.build("learner", request.param)
    except Unsupported as error:
        pytest.skip(error.message)
    if not isinstance(deploy(found, records_for(found)[0](0)).model, Forgets):
        pytest.skip(f"{request.param} does not forget by itself, exactly")
    return found


@settings(max_examples=100)
@given(seed=st.integers(0, 10**6), share=st.floats(0.01, 0.95), cut=st.floats(0, 1))
def test_forgetting_equals_retraining(learner, seed, share, cut):
    records = records_for(learner)
    deployment = deploy(learner, records[seed % len(records)](seed), seed)
    ids = some_ids(deployment, share, seed)
    at = int(cut * len(ids))
    after = deployment.model.without(ids[:at]).without(ids[at:])
    reference = refit(deployment, ids)
    assert after.digest() == reference.digest()
    assert unequal(arrays_of(after), arrays_of(reference)) == ""


@pytest.mark.slow
@pytest.mark.parametrize("key", range(5))
def test_no_example_of_a_long_night_differs(learner, key):
    n, secret = int(os.environ.get("EXPUNGE_EXAMPLES", "100")), Key(bytes([key + 1]) * 32, str(key))
    worlds = records_for(learner)
    for j, records in enumerate(worlds):
        check_examples(learner, records, -(-n // len(worlds)), first=10**6 * key + 10**5 * j, key=secret)
