"""Work spread over processes: one thread each, results as they come, the same whatever the number of processes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Final, Literal, TypeVar

from expunge.core.errors import Unsupported

Item = TypeVar("Item")
Result = TypeVar("Result")
Backend = Literal["loky", "multiprocessing", "threading", "ray"]
LOCAL: Final[Backend] = "loky"


def spread(
    work: Callable[[Item], Result], items: Sequence[Item], n_jobs: int = 1, backend: Backend = LOCAL
) -> Iterator[Result]:
    """Yield the results, in the order in which they are done.

    Args:
        work: a function that processes can be sent.
        items: what it is called with.
        n_jobs: processes, as joblib counts them; 1 = in this process.
        backend: joblib's; ``ray`` for a cluster.

    Raises:
        Unsupported: the backend is not installed.
    """
    if backend == "ray":
        _register_ray()
    elif n_jobs == 1 or len(items) < 2:
        for item in items:
            with _one_thread():
                result = work(item)
            yield result
        return
    from joblib import Parallel, delayed, parallel_config

    with parallel_config(backend=backend, **({"inner_max_num_threads": 1} if backend == LOCAL else {})):
        # max_nbytes=None: records travel through pipes; joblib's memory-mapped files would outlive a kill
        parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered", pre_dispatch="n_jobs", max_nbytes=None)
        yield from parallel(delayed(_alone)(work, item) for item in items)


def n_processes(n_jobs: int) -> int:
    """Return how many processes a number of jobs means, as joblib counts them."""
    if n_jobs == 1:
        return 1
    from joblib import effective_n_jobs

    return max(1, int(effective_n_jobs(n_jobs)))


def _alone(work: Callable[[Item], Result], item: Item) -> Result:
    with _one_thread():
        return work(item)


class _one_thread:  # noqa: N801 - used like a function
    """One thread for numerical libraries while it lasts: sums in another order would be other sums."""

    def __enter__(self) -> None:
        from threadpoolctl import threadpool_limits

        self._limits = threadpool_limits(1)
        torch = sys.modules.get("torch")  # only where the learner has brought it
        self._threads = torch.get_num_threads() if torch is not None else 0
        if torch is not None:
            torch.set_num_threads(1)

    def __exit__(self, *problem: object) -> None:
        self._limits.restore_original_limits()
        torch = sys.modules.get("torch")
        if torch is not None and self._threads:
            torch.set_num_threads(self._threads)


def _register_ray() -> None:
    try:
        register = import_module("ray.util.joblib").register_ray
    except ImportError as error:
        raise Unsupported("the backend 'ray' needs ray, which is not installed", hint="pip install ray") from error
    register()
