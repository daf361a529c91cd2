"""The unlearners of the menu: the folder of each is its promise."""

from __future__ import annotations

from expunge.catalog.entry import Entry

UNLEARNERS: tuple[Entry, ...] = (
    Entry(
        "unlearner",
        "native",
        "expunge.unlearners.exact.native:Native",
        "The model's own exact deletion: the same bits as retraining, in a fraction of the time.",
        kind="exact",
    ),
    Entry(
        "unlearner",
        "retrain",
        "expunge.unlearners.exact.retrain:Retrain",
        "Learn again from the kept records: always possible, always the last resort.",
        kind="exact",
    ),
    Entry(
        "unlearner",
        "removal",
        "expunge.unlearners.certified.removal:Removal",
        "Certified removal: Newton steps, a proven bound on what is left, and noise that hides it.",
        kind="certified",
    ),
    Entry(
        "unlearner",
        "descent",
        "expunge.unlearners.certified.descent:Descent",
        "Full gradient steps on the kept records, and noise that hides how far they may end from retraining.",
        kind="certified",
    ),
    Entry(
        "unlearner",
        "rewind",
        "expunge.unlearners.certified.rewind:Rewind",
        "Back to weights from before the end of training, and forth without the records.",
        kind="certified",
    ),
    Entry(
        "unlearner",
        "langevin",
        "expunge.unlearners.certified.langevin:Langevin",
        "More epochs of the noisy steps that the model was learnt by, without the records.",
        kind="certified",
    ),
    Entry(
        "unlearner",
        "noisy-finetune",
        "expunge.unlearners.certified.noisy_finetune:NoisyFinetune",
        "Noisy clipped steps that hide any start, then free ones; nothing is assumed of the loss.",
        kind="certified",
    ),
    Entry(
        "unlearner",
        "output-noise",
        "expunge.unlearners.certified.output_noise:OutputNoise",
        "Noise that drowns the weights at once, then free steps: the point of reference.",
        kind="certified",
    ),
    Entry(
        "unlearner",
        "group-privacy",
        "expunge.unlearners.certified.group_privacy:GroupPrivacy",
        "Nothing, while the noise of training hides all that was forgotten.",
        kind="certified",
    ),
)
