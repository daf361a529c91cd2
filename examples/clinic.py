"""A clinic forgets a patient: train on real hospital encounters, forget one person exactly, prove it to a stranger.

Who has this problem: a hospital whose readmission model was trained on patient records, and a patient who withdraws.
What they get: a model that equals, bit for bit, one that never saw the patient, and a receipt that the patient's
lawyer can check without the hospital's data, model or help.
What is not claimed: nothing about backups, exports, or people with the same history. The receipt lists it.

Run it: python examples/clinic.py        (about half a minute on two cores)
"""

import base64
import json
import tempfile
from pathlib import Path

import numpy as np

from expunge import Dataset, Deployment, Forest, ForgetRequest, Key, Policy, fulfil, verify
from expunge.core.errors import EvidenceError
from expunge.data import diabetes130
from expunge.trust.keys import SigningKey
from expunge.trust.log import FileLog
from expunge.trust.trustroot import trust_root


def train() -> Deployment:
    """The clinic's model: will a patient come back? The patient owns the encounters."""
    frame = diabetes130()
    frame["readmitted"] = np.where(frame["readmitted"] == "NO", "no", "yes")
    data = Dataset.from_frame(frame, target="readmitted", subject="patient_nbr", ids="encounter_id")
    key = Key.generate(seed=0)  # a fresh secret: nobody can choose ids that are expensive to forget
    train_set, holdout = data.split(key, 0.2)
    print(f"{len(train_set):,} encounters to learn from, {len(holdout):,} set aside")
    learner = Forest(n_trees=100)
    return Deployment(learner, train_set, key, learner.fit(train_set, key), holdout)


def main() -> None:
    clinic = train()
    patients, visits = np.unique(clinic.data.subjects, return_counts=True)
    patient = patients[visits >= 8][0].item()
    print(f"\npatient {patient} asks to be forgotten: {visits[patients == patient][0]} encounters")

    # The clinic's signing key and its public, append-only log. The patient's lawyer pins the trust root beforehand.
    folder = Path(tempfile.mkdtemp(prefix="clinic-"))
    issuer = SigningKey.generate("clinic.example/issuer")
    log = FileLog(folder / "log", SigningKey.generate("clinic.example/log"))
    pinned = trust_root(log.vkey, issuer.vkey).canonical()

    done = fulfil(ForgetRequest(subject=patient), clinic, policy=Policy(n_shadows=8), issuer=issuer, log=log)
    print(f"plan: {done.plan.why}")
    for evidence in done.evidence:
        if evidence.name in ("likeness.equal@after", "utility.auc_change@after", "membership.lira_auc@after"):
            print(f"  {evidence.name:28} {evidence.text()}")

    # Somebody who trusts nobody: one refit without the patient must give the same digest.
    fresh = clinic.learner.fit(done.deployment.data, clinic.key)
    print(f"\nforgotten model {done.deployment.model.digest()[:32]}…\nnever saw them  {fresh.digest()[:32]}…")

    # The lawyer: a receipt, a pinned key, nothing else.
    for line in verify(done.receipt, pinned).lines():
        print("  " + line)
    forged = json.loads(done.receipt)
    statement = base64.b64decode(forged["envelope"]["payload"]).replace(b'"outcome":"complete"', b'"outcome":"partial"')
    forged["envelope"]["payload"] = base64.b64encode(statement).decode()
    try:
        verify(json.dumps(forged).encode(), pinned)
    except EvidenceError as error:
        print(f"an altered receipt is refused: {error.code}")


if __name__ == "__main__":
    main()
