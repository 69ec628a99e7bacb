"""Functions run in forked processes and in threads."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

from django.db import connections

PATIENCE_SECONDS = 20


def in_processes(*functions: Callable[[], None]) -> list[int | None]:
    """
    Run each function in a process of its own, concurrently, and return their exit codes: None for one that did not end.
    """
    connections.close_all()  # otherwise a child that ends would close them for this process
    children = [get_context("fork").Process(target=function) for function in functions]
    for child in children:
        child.start()
    for child in children:
        child.join(PATIENCE_SECONDS)
    exit_codes = [child.exitcode for child in children]
    for child in children:
        child.kill()
    return exit_codes


@contextmanager
def beside(*functions: Callable[[], None]) -> Iterator[list[int]]:
    """Run each function in a process of its own during the block, at whose end it is killed; yield their ids."""
    connections.close_all()
    children = [get_context("fork").Process(target=function) for function in functions]
    for child in children:
        child.start()
    try:
        yield [child.pid for child in children]
    finally:
        for child in children:
            child.kill()
            child.join()


@contextmanager
def in_thread(function: Callable[[], object]) -> Iterator[Future]:
    """Run a function in a thread, with a database connection of its own, during the block."""

    def run() -> object:
        try:
            return function()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(run)
