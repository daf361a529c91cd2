"""Failpoints: named places where a test stops the process, to show that no stop leaves a store half-changed.

Without ``EXPUNGE_FAILPOINT`` in the environment a failpoint does nothing. ``EXPUNGE_FAILPOINT=NAME`` kills the
process there (SIGKILL, no clean-up runs); ``NAME:interrupt`` is Ctrl-C there; ``NAME:full`` is a full disk there.
"""

from __future__ import annotations

import errno
import os
import signal

VARIABLE = "EXPUNGE_FAILPOINT"

FAILPOINTS = (
    "forget.asked",
    "forget.case-written",
    "forget.judge-saved",
    "forget.choose-saved",
    "forget.staging",
    "forget.staged",
    "forget.unlearn-saved",
    "forget.measure-saved",
    "forget.attest-saved",
    "forget.logging",
    "forget.logged",
    "forget.swapped",
    "forget.report-written",
    "forget.receipt-written",
    "forget.sealing",
    "forget.sealed",
    "forget.retired",
    "forget.purged",
    "forget.shredding",
    "forget.shredded",
    "forget.closed",
)
"""Every step boundary and every durable effect of ``forget``, in the order in which they are passed."""


def failpoint(name: str) -> None:
    """Stop here if the environment asks for it.

    Raises:
        KeyboardInterrupt: asked for by ``NAME:interrupt``.
        OSError: "no space left", asked for by ``NAME:full``.
    """
    wanted, _, how = os.environ.get(VARIABLE, "").partition(":")
    if wanted != name:
        return
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.kill(os.getpid(), signal.SIGKILL)
