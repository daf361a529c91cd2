"""A door that knows faces: one person withdraws; what quick methods leave behind, and what a real deletion leaves.

Who has this problem: a company whose access control was trained on the faces of its staff, and somebody who leaves.
What they see: after fine-tuning the door still knows the person; after a method made for forgetting it may stay shut,
but three of the pictures and twenty steps bring the others back. A door learnt again without the person has nothing to
bring back. So the request is served exactly, and comes with a receipt.
What is not claimed: an empirical method promises nothing but what is measured here, by these probes.

Run it: python examples/faces.py orl_faces.npz   (under a minute on two cores; needs torch)
The file holds the AT&T (ORL) faces: ``images`` (400, 112, 92) and ``subject`` (400,); free for research.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from expunge import Dataset, Deployment, ForgetRequest, Key, Network, Policy, build, fulfil, verify
from expunge.audit.relearning import Relearning
from expunge.core.deployment import Case
from expunge.trust.keys import SigningKey
from expunge.trust.log import FileLog
from expunge.trust.trustroot import trust_root

PERSON = "8"
NETWORK = Network((64,), epochs=60, batch=32, optimiser="sgd", rate=0.02, form="plain")


def faces(path: Path) -> Dataset:
    """Every fourth pixel of each picture; a person owns ten of them, and is the class to be told."""
    arrays = np.load(path, allow_pickle=False)
    people = arrays["subject"].astype(str)
    pixels = np.ascontiguousarray(arrays["images"][:, ::4, ::4]).reshape(len(people), -1)
    return replace(Dataset.from_vectors(pixels, people, subjects=people), classes=tuple(sorted(set(people.tolist()))))


def opens(door: Deployment, pictures: Dataset) -> str:
    """How many of a person's pictures open the door as that person."""
    told = door.model.logits(pictures).argmax(axis=1)
    return f"{int((told == door.data.classes.index(PERSON)).sum())} of {len(pictures)}"


def main() -> None:
    every, key = faces(Path(sys.argv[1])), Key.generate(seed=0)
    data, aside = (every.take(rows) for rows in (np.arange(len(every)) % 10 < 8, np.arange(len(every)) % 10 >= 8))
    door = Deployment(NETWORK, data, key, NETWORK.fit(data, key), aside)
    request, pictures = ForgetRequest(subject=PERSON), data.only(data.owned_by(PERSON))
    again = build("unlearner", "retrain").unlearn(door, request).after
    print(f"{len(data)} pictures of {len(data.classes)} people to learn from; person {PERSON} withdraws")

    print(f"\n{'':14} opens for the person   after 20 steps on 3 of the pictures, share of the others known")
    probe = Relearning(shown=(3,), most_passes=1)
    for name, after in (("before", door), *((n, _by(n, door, request)) for n in ("finetune", "delete", "retrain"))):
        found = {e.name: e for e in probe.measure(Case(door, after, pictures, aside, again))}
        print(f"{name:14} {opens(after, pictures):22} {found['relearning.recovery_k3@after'].text()}")

    # The request itself, with a receipt. Nothing weaker than exact is accepted, so the door is learnt again.
    folder = Path(tempfile.mkdtemp(prefix="door-"))
    issuer = SigningKey.generate("door.example/issuer")
    log = FileLog(folder / "log", SigningKey.generate("door.example/log"))
    done = fulfil(request, door, policy=Policy(n_shadows=0), issuer=issuer, log=log)
    print(f"\nplan: {done.plan.why}")
    fresh = NETWORK.fit(done.deployment.data, key)
    print(f"forgotten model {done.deployment.model.digest()[:32]}…\nnever saw them  {fresh.digest()[:32]}…\n")
    for line in verify(done.receipt, trust_root(log.vkey, issuer.vkey).canonical()).lines():
        print("  " + line)


def _by(name: str, door: Deployment, request: ForgetRequest) -> Deployment:
    return build("unlearner", name).unlearn(door, request).after


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
        sys.exit(__doc__)
    main()
