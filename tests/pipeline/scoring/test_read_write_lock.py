"""The lock: readers hold it together, a writer alone, and a writer that waits comes before new readers."""

from __future__ import annotations

import threading

from pipeline.scoring.read_write_lock import ReadWriteLock


def test_a_writer_waits_for_readers_and_new_readers_wait_for_it() -> None:
    lock, events = ReadWriteLock(), list[str]()
    waits, entered = threading.Event(), threading.Event()

    def write() -> None:
        waits.set()
        with lock.write():
            events.append("write")

    def read() -> None:
        with lock.read():
            events.append("read")
            entered.set()

    with lock.read():
        with lock.read():  # a second reader beside the first
            writer = threading.Thread(target=write)
            writer.start()
            waits.wait(10)
            while not lock._waiting:
                pass
            reader = threading.Thread(target=read)
            reader.start()
            assert not entered.wait(0.2)
        assert events == []
    for thread in (writer, reader):
        thread.join(10)
    assert events == ["write", "read"]


def test_after_an_error_the_lock_is_free() -> None:
    lock = ReadWriteLock()
    for hold in (lock.read, lock.write):
        try:
            with hold():
                raise ValueError
        except ValueError:
            pass
    with lock.write():
        pass
    with lock.read():
        pass
