"""Work that several processes share: parts of a day that is cleared, of codes that are produced.

They are started anew and not forked, since a database environment must not be carried across a
fork. They take what others leave of the processors (`ledger.priority`), so that terminals are
served first, and end with whoever asked for the work.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

from ledger.companion import die_with_parent
from ledger.priority import step_back

Result = TypeVar("Result")


def spread(
    work: Callable[..., Result],
    tasks: list[tuple[Any, ...]],
    *,
    workers: int,
) -> Iterator[Result]:
    """Run `work` on each task's arguments, beside each other; results in the order of the tasks.

    A result is handed on as soon as those before it are there, and is not kept: a day of ten
    million entries has fifty of several megabytes. A single task runs in this process.

    Args:
        work: a function of a module, so that a new process can find it.
        tasks: the arguments, which can be pickled.
        workers: how many processes at most.
    """
    if len(tasks) <= 1 or workers <= 1:
        for task in tasks:
            yield work(*task)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        min(workers, len(tasks)), mp_context=context, initializer=yield_to_others
    ) as pool:
        futures = deque(pool.submit(work, *task) for task in tasks)
        while futures:
            yield futures.popleft().result()


def yield_to_others() -> None:
    """Let whoever answers terminals go first, and end with the process that asked for the work.

    A worker whose parent was killed would wait for its next task for ever.
    """
    step_back()
    die_with_parent()
