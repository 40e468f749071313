"""Interrupts wait for a safe point, and do what they would have done."""

import signal
import threading
from concurrent.futures import FIRST_COMPLETED, Future, wait

import pytest

from assigncore.interrupts import held_interrupts


def test_an_interrupt_comes_when_it_is_let_through_and_not_before():
    passed = []

    def run():
        with held_interrupts() as let_through:
            let_through()
            signal.raise_signal(signal.SIGINT)
            passed.append("held")
            let_through()
            passed.append("let through")

    with pytest.raises(KeyboardInterrupt):
        run()
    assert passed == ["held"]


def test_one_that_is_never_let_through_comes_at_the_end():
    passed = []

    def run():
        with held_interrupts():
            signal.raise_signal(signal.SIGINT)
            passed.append("held")
        passed.append("after")

    with pytest.raises(KeyboardInterrupt):
        run()
    assert passed == ["held"]


def test_a_second_one_does_not_disturb_the_ending():
    with held_interrupts() as let_through:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            let_through()
        signal.raise_signal(signal.SIGINT)
        let_through()


def test_a_handler_of_the_callers_own_is_called_and_is_there_again_afterwards():
    called = []
    before = signal.signal(signal.SIGTERM, lambda number, _: called.append(number))
    try:
        own = signal.getsignal(signal.SIGTERM)
        with held_interrupts() as let_through:
            signal.raise_signal(signal.SIGTERM)
            assert called == []
            let_through()
            assert called == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_default_that_ends_the_process_is_left_as_it_is():
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    with held_interrupts():
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_another_thread_holds_nothing():
    handlers = []

    def run():
        with held_interrupts() as let_through:
            let_through()
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    before = signal.getsignal(signal.SIGINT)
    thread.start()
    thread.join()
    assert handlers == [before]


def test_no_lock_of_a_future_stays_taken():
    futures, taken = [Future() for _ in range(1000)], []

    def wait_for_all():
        with held_interrupts() as let_through:
            while True:
                wait(futures, 0, return_when=FIRST_COMPLETED)
                let_through()

    def count_taken():
        taken.append(sum(not future._condition.acquire(blocking=False) for future in futures))

    before = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        for _ in range(20):
            signal.setitimer(signal.ITIMER_REAL, 1e-3)
            with pytest.raises(KeyboardInterrupt):
                wait_for_all()
    finally:
        signal.signal(signal.SIGALRM, before)
    # A lock is not taken for the thread that has it.
    other = threading.Thread(target=count_taken)
    other.start()
    other.join()
    assert taken == [0]
