"""An answer of the registry is kept for a moment, and of many who ask at once one asks."""

import threading
import time

from destseg.review.memory import MOST, Memory


def test_an_answer_is_asked_for_again_when_it_is_old() -> None:
    now, asked = [0.0], []
    memory = Memory(lambda: now[0])

    def ask() -> int:
        asked.append(now[0])
        return len(asked)

    assert memory.age("key") is None
    assert [memory.get("key", 10, ask), memory.get("key", 10, ask)] == [1, 1]
    now[0] = 11.0
    assert memory.age("key") == 11.0
    assert memory.known("key") == 1
    assert memory.get("key", 20, ask) == 1
    assert memory.get("key", 10, ask) == 2
    memory.forget()
    assert memory.known("key") is None
    assert memory.get("key", 10, ask) == 3


def test_of_many_at_once_one_asks() -> None:
    memory, asked = Memory(), []

    def ask() -> str:
        asked.append(1)
        time.sleep(0.05)
        return "answer"

    threads = [threading.Thread(target=memory.get, args=("key", 10, ask)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asked == [1]


def test_the_memory_does_not_grow_for_ever() -> None:
    memory = Memory()
    for number in range(MOST + 1):
        memory.get(number, 10, lambda number=number: number)
    assert memory.known(0) is None
    assert memory.known(MOST) == MOST
