"""A door that knows faces: one person withdraws; what fine-tuning leaves behind, and what is left after a real deletion.

Who has this problem: a company whose access control was trained on the faces of its staff, and somebody who leaves.
What they see: a model that was "fine-tuned without" the person still gives the person away to an attack that trains
models of its own; a model learnt again without the person does not. The deletion is done on request and comes with a
receipt.
What is not claimed: an empirical method promises nothing but what is measured here, by these attacks.

Run it: python examples/faces.py orl_faces.npz   (under a minute on two cores; needs torch)
The file holds the AT&T (ORL) faces: ``images`` (400, 112, 92) and ``subject`` (400,); free for research.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from expunge import Dataset, Deployment, ForgetRequest, Key, Network, Policy, catalog, fulfil, verify
from expunge.audit.battery import ulira
from expunge.audit.scene import scene
from expunge.audit.worlds import Numbers, pools_of
from expunge.core.policy import AuditPolicy
from expunge.trust.keys import SigningKey
from expunge.trust.log import FileLog
from expunge.trust.trustroot import trust_root

PERSON = 8
NETWORK = Network((64,), epochs=60, batch=32, optimiser="sgd", rate=0.02, form="plain")


def faces(path: Path) -> Dataset:
    """Every fourth pixel of each picture; a person owns ten of them, and is the class to be told."""
    arrays = np.load(path, allow_pickle=False)
    people = arrays["subject"]
    pixels = arrays["images"][:, ::4, ::4].reshape(len(people), -1)
    data = Dataset.from_vectors(np.ascontiguousarray(pixels), people.astype(str), subjects=people.astype(str))
    return replace(data, classes=tuple(sorted(set(people.astype(str).tolist()))))


def main() -> None:
    data, key = faces(Path(sys.argv[1])), Key.generate(seed=0)
    door = Deployment(NETWORK, data, key, NETWORK.fit(data, key))
    print(f"{len(data)} pictures of {len(data.classes)} people; person {PERSON} withdraws")

    # Which methods forget? Sixteen doors are trained on halves of the pictures, and each forgets the person.
    drawn = scene(data, NETWORK, Key.public(1), forget=data.owned_by(str(PERSON)), n_population=60)
    methods = {name: catalog.build("unlearner", name) for name in ("finetune", "scrub")}
    print("\nCan an attacker tell that the person's pictures were learnt? (U-LiRA, 0.5 = guessing)")
    for name, pools in pools_of(drawn, methods, Numbers(16, 16)).items():
        found = {e.name: e for e in ulira.measure(pools, AuditPolicy(legacy=False))}
        if name == "finetune":
            print(f"  {'before':22} {found['membership.ulira_auc@before'].text()}")
            print(f"  {'learnt again':22} {found['membership.ulira_auc@reference'].text()}")
        print(f"  {'after ' + name:22} {found['membership.ulira_auc@after'].text()}")

    # The request itself, with a receipt: nothing weaker than exact is accepted, so the door is learnt again.
    folder = Path(tempfile.mkdtemp(prefix="door-"))
    issuer = SigningKey.generate("door.example/issuer")
    log = FileLog(folder / "log", SigningKey.generate("door.example/log"))
    done = fulfil(ForgetRequest(subject=str(PERSON)), door, policy=Policy(n_shadows=0), issuer=issuer, log=log)
    print(f"\nplan: {done.plan.why}")
    fresh = NETWORK.fit(done.deployment.data, key)
    print(f"forgotten model {done.deployment.model.digest()[:32]}…\nnever saw them  {fresh.digest()[:32]}…")
    print(f"\n{verify(done.receipt, trust_root(log.vkey, issuer.vkey).canonical()).text()}")


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
        sys.exit(__doc__)
    main()
