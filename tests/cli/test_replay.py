"""``expunge replay``: an auditor with data, key and code gets the same bits, or learns which is not as stated."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from pathlib import Path

import pytest
from service.world import PERSON, clinic, plant_tally

from expunge.cli.main import run
from expunge.core.archive import pack_dataset, unpack_dataset
from expunge.core.errors import ProofInvalid, Unverifiable
from expunge.fulfilment.replay import check_given
from expunge.service import replaying
from expunge.service.pages import certificate
from expunge.service.store import Store


@pytest.fixture
def call(capsys):
    plant_tally()

    def asked(*arguments):
        code = run([*map(str, arguments), "--json"])
        out = capsys.readouterr()
        return code, json.loads((out.out if code == 0 else out.err.splitlines()[-1]) or "{}"), out.err

    return asked


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Return a maker of stores: learner → (fresh store, store that forgot, what forgetting said); each made once."""
    made = {}

    def quietly(*arguments):
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            assert run([*map(str, arguments), "--json"]) == 0
        return json.loads(out.getvalue())

    def take(learner):
        if learner not in made:
            plant_tally()
            folder = tmp_path_factory.mktemp(learner)
            clinic().to_csv(folder / "people.csv", index=False)
            words = ["train", folder / "people.csv", folder / "fresh", "--target", "ill", "--subject", "email"]
            params = ["--param", "n_trees=8", "--param", "trees_per_owner=4"] if learner == "forest" else []
            quietly(*words, "--id", "visit", "--learner", learner, "--holdout", 0.25, *params)
            shutil.copytree(folder / "fresh", folder / "store")
            facts = quietly("forget", folder / "store", "--subject", PERSON, "--shadows", 0)
            made[learner] = folder, facts
        return made[learner]

    return take


@pytest.fixture(params=["tally", "forest", "ridge"])
def learner(request):
    return request.param


@pytest.fixture
def forgotten(shelf, learner, tmp_path):
    folder, facts = shelf(learner)
    store = shutil.copytree(folder / "store", tmp_path / "store")
    return store, store / "receipts" / Path(facts["receipt"]).name, facts


@pytest.fixture
def store(forgotten):
    return forgotten[0]


def test_a_fresh_store_replays(shelf, learner, call):
    code, found, _ = call("replay", shelf(learner)[0] / "fresh")
    assert code == 0
    assert not found["key_opened"]
    assert "nobody has vouched" in " ".join(found["notes"])


def test_an_auditor_replays_what_a_receipt_states(forgotten, call, tmp_path):
    store, receipt, facts = forgotten
    for threads in (1, 2):
        code, found, err = call(
            "replay", store, "--receipt", receipt, "--trust", store / "trust.json", "--threads", threads
        )
        assert code == 0, err
        assert (found["digest"], found["n_threads"]) == (facts["after"], threads)
        assert found["key_opened"]
        assert found["records_bound"]
        assert found["receipt_verified"]
    code, told, err = call("replay", store, "--hand-out", tmp_path / "auditor")
    assert (code, told["digest"]) == (0, facts["after"])
    assert "personal data" in err
    assert all(p.stat().st_mode & 0o077 == 0 for p in (tmp_path / "auditor").iterdir())
    code, found, _ = call("replay", tmp_path / "auditor", "--receipt", receipt, "--trust", store / "trust.json")
    assert (code, found["digest"]) == (0, facts["after"])
    assert "the code" in " ".join(found["notes"]).lower()
    assert call("replay", tmp_path / "auditor")[0] == 0


def test_grades_say_what_is_not_independent(forgotten, call):
    store, receipt, _ = forgotten
    _, found, err = call("replay", store, "--receipt", receipt)
    assert "signature of the receipt was not checked" in err
    assert not found["receipt_verified"]
    libraries = [note for note in found["notes"] if "libraries" in note]
    assert bool(libraries) == (found["grade"] == "bits-here")


@pytest.fixture
def handed(forgotten, tmp_path, call):
    store, receipt, _ = forgotten
    assert call("replay", store, "--hand-out", tmp_path / "auditor")[0] == 0
    return tmp_path / "auditor", receipt, store / "trust.json"


@pytest.mark.parametrize("learner", ["tally"], indirect=True)
def test_records_that_are_not_the_committed_ones_are_refused(handed, call):
    folder, receipt, trust = handed
    path = folder / replaying.RECORDS
    data = unpack_dataset(path.read_bytes())
    path.write_bytes(pack_dataset(data.without([data.ids[0].item()])))
    code, found, _ = call("replay", folder, "--receipt", receipt, "--trust", trust)
    assert (code, found["error"]["code"]) == (1, "proof-invalid")
    data.columns["age"].values[3] += 1
    data.__dict__.pop("record_digests", None)
    path.write_bytes(pack_dataset(data))
    code, found, _ = call("replay", folder, "--receipt", receipt, "--trust", trust)
    assert (code, found["error"]["code"]) == (1, "proof-invalid")
    assert call("replay", folder)[0] in (0, 1)


@pytest.mark.parametrize("learner", ["tally"], indirect=True)
@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("secret", "AAAA" * 10 + "AAA=", "proof-invalid"),
        ("seed", "another", "claim-refuted"),
        ("params", {"smoothing": 2.0}, "unverifiable"),
        ("manifest", "AAAA" * 10 + "AAA=", "proof-invalid"),
        ("surprise", 1, "malformed-evidence"),
    ],
)
def test_an_opening_that_is_not_the_stated_one_is_refused(handed, call, name, value, code):
    folder, receipt, trust = handed
    path = folder / replaying.OPENING
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    exit_code, found, _ = call("replay", folder, "--receipt", receipt, "--trust", trust)
    assert found["error"]["code"] == code
    assert exit_code == {"unverifiable": 3}.get(code, 1)


@pytest.mark.parametrize("learner", ["tally"], indirect=True)
def test_a_store_that_has_gone_on_says_so(forgotten, call):
    store, first, _ = forgotten
    with Store.open(store) as opened:
        somebody = opened.deployment().data.subjects[0].item()
    assert call("forget", store, "--subject", somebody, "--shadows", 0)[0] == 0
    code, found, _ = call("replay", store, "--receipt", first, "--trust", store / "trust.json")
    assert (code, found["error"]["code"]) == (3, "unverifiable")
    assert "last request" in found["error"]["hint"]


@pytest.mark.parametrize("learner", ["tally"], indirect=True)
def test_a_digest_that_differs_is_refuted_or_not_known(handed, monkeypatch):
    """All is as stated but the digest; with other code, or other libraries under bits-here, nothing is known."""
    folder, receipt, _ = handed
    given, _ = replaying._of_hand_out(folder)
    said = certificate(receipt.read_bytes())
    lied = said.scope.model_copy(update={"models": (said.scope.models[0].model_copy(update={"after": "0" * 64}),)})
    wrong = said.model_copy(update={"scope": lied})
    with pytest.raises(Exception, match="the statement says 0000"):
        replaying.replay_statement(given, wrong)
    here = wrong.model_copy(update={"guarantee": said.guarantee.model_copy(update={"grade": "bits-here"})})
    elsewhere = here.model_copy(update={"method": said.method.model_copy(update={"environment_digest": "1" * 64})})
    with pytest.raises(Unverifiable, match="numerical libraries"):
        replaying.replay_statement(given, elsewhere)
    other = wrong.model_copy(update={"method": said.method.model_copy(update={"code_digest": "2" * 64})})
    with pytest.raises(Unverifiable, match="so does the code"):
        replaying.replay_statement(given, other)
    same = said.model_copy(update={"method": said.method.model_copy(update={"code_digest": "2" * 64})})
    assert "gives equal bits all the same" in " ".join(replaying.replay_statement(given, same).notes)
    certified = said.model_copy(update={"guarantee": said.guarantee.model_copy(update={"kind": "empirical"})})
    with pytest.raises(Unverifiable, match="promises empirical"):
        check_given(given, certified)
    unkeyed = said.method.model_copy(update={"seeds": {}})
    with pytest.raises(ProofInvalid):
        check_given(given, said.model_copy(update={"method": unkeyed}))


@pytest.mark.parametrize("learner", ["tally"], indirect=True)
def test_wrong_places_are_said(store, call, tmp_path):
    assert call("replay", tmp_path / "nothing")[1]["error"]["code"] == "store-missing"
    assert call("replay", store, "--hand-out", store / "inside")[1]["error"]["code"] == "store-exists"
    code, found, _ = call("replay", store, "--hand-out", tmp_path / "x", "--threads", 1)
    assert (code, found["error"]["code"]) == (2, "usage")
