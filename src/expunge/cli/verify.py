"""``expunge verify``: check a receipt offline; loads no learning library."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from expunge.cli.console import json_option, say, show
from expunge.core.errors import MalformedEvidence, TrustRootInvalid

MAX_RECEIPT_BYTES = 1 << 24
LEARNING = ("torch", "sklearn", "pandas", "numba", "scipy", "safetensors", "joblib", "pyarrow")
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("receipt", type=FILE)
@click.option("--trust", type=FILE, help="Pinned keys and policy; get it from elsewhere than the receipt.")
@click.option("--holder", type=FILE, help="Your record's secrets (JSON), to check your own record too.")
@json_option
def verify(receipt: Path, trust: Path | None, holder: Path | None, as_json: bool) -> None:
    """Verify a receipt: signature, place in the log, and that it claims no more than its evidence supports.

    Nothing is fetched and nobody is asked. What is trusted is the trust root (--trust): take it from a channel that
    the provider does not control, and keep it. Without --trust the file trust.json beside the receipt (or one folder
    up) is used; then the provider vouches for itself, and this proves only that the files agree with each other.

    Exit codes: 0 verified, 1 refuted, 2 usage or an unusable trust root, 3 something needed is missing.

    \b
    Examples:
      expunge verify receipt.json --trust trust.json
      expunge verify STORE/receipts/REF.json --json
    """
    from expunge.trust.verify import HolderSecrets, verify

    warnings = []
    if trust is None:
        trust = _nearby(receipt)
        warnings.append(f"the trust root {trust} came with the receipt: the provider vouches for itself")
    secrets = HolderSecrets.from_bytes(holder.read_bytes()) if holder else None
    verified = verify(_read(receipt), trust.read_bytes(), holder=secrets)
    say(*(f"warning: {text}" for text in warnings))
    loaded = sorted(name for name in LEARNING if name in sys.modules)
    result = verified.as_json() | {"verified": True, "trust": str(trust), "learning_libraries_loaded": loaded}
    if warnings:
        result["warnings"] = [*result.get("warnings", []), *warnings]
    lines = [*verified.lines(), f"Learning libraries loaded by this check: {', '.join(loaded) or 'none'}."]
    show(as_json, result, lines)


def _nearby(receipt: Path) -> Path:
    folder = receipt.resolve().parent
    for place in (folder, folder.parent):
        if (place / "trust.json").is_file():
            return place / "trust.json"
    raise TrustRootInvalid("there is no trust.json beside the receipt; give one with --trust")


def _read(path: Path) -> bytes:
    if path.stat().st_size > MAX_RECEIPT_BYTES:
        raise MalformedEvidence("the receipt is too large to be one")
    return path.read_bytes()
