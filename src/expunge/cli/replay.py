"""``expunge replay``: learn a model again from data, key and code, and compare it bit by bit."""

from __future__ import annotations

from pathlib import Path

import click

from expunge.cli.console import json_option, progress, say, show

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("place", type=click.Path(path_type=Path))
@click.option("--receipt", type=FILE, help="Compare with what this receipt states (default: with the saved model).")
@click.option("--trust", type=FILE, help="Pinned keys and policy to verify the receipt against.")
@click.option("--threads", type=click.IntRange(1), help="Threads for the fit; any number gives the same bits.")
@click.option("--hand-out", type=click.Path(path_type=Path), help="Write what an auditor needs into this new folder.")
@json_option
def replay(
    place: Path, receipt: Path | None, trust: Path | None, threads: int | None, hand_out: Path | None, as_json: bool
) -> None:
    """Learn the model in PLACE again and compare digests: the check of an exact promise that trusts no machine.

    PLACE is a store, or a folder that its owner made with --hand-out and gave to an auditor: the kept records, the
    opened key, the recipe of the learner. With --receipt, the key and the records are first held against the
    commitments that the receipt signed: then the digest on the receipt is that of a model which never saw anybody else.

    What is not independent is said: the code is the provider's, and a learner of grade bits-here promises equal bits
    under the same numerical libraries only. The hand-out holds personal data and secrets: treat it like the store.

    Exit codes: 0 the same digest, 1 refuted, 3 not the records, code or libraries of the receipt.

    \b
    Examples:
      expunge replay STORE
      expunge replay STORE --hand-out FOR-THE-AUDITOR
      expunge replay FOR-THE-AUDITOR --receipt receipt.json --trust trust.json --threads 1
    """
    from expunge.service import replaying

    if hand_out is not None:
        if receipt is not None or threads is not None:
            raise click.UsageError("--hand-out writes and compares nothing: leave --receipt and --threads out")
        opening = replaying.hand_out(place, hand_out)
        say("It holds personal data and the secrets of the model: give it to nobody but the auditor.")
        show(as_json, {"folder": str(hand_out), "digest": opening.model}, [f"{hand_out}  {opening.model}"])
        return
    if receipt is not None and trust is None:
        say("warning: no --trust: the signature of the receipt was not checked, only what it says")
    with progress("learning again") as tick:
        found = replaying.replay_place(
            place,
            None if receipt is None else receipt.read_bytes(),
            None if trust is None else trust.read_bytes(),
            n_threads=threads,
            progress=tick,
        )
    result = {name: value for name, value in vars(found).items() if name != "notes"}
    checked = receipt is not None and trust is not None
    show(as_json, {**result, "notes": list(found.notes), "receipt_verified": checked}, found.lines())
