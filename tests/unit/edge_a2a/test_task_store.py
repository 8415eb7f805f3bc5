"""The bounded memory of tasks."""

from a2a.types.a2a_pb2 import Task

from services.edge_a2a.task_store import Owner, TaskStore

ANNA, BERT = Owner("team-1", "anna"), Owner("team-1", "bert")


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def ids_of(store: TaskStore, owner: Owner) -> list[str]:
    return [kept.task.id for kept in store.all_of(owner)]


def test_a_task_is_only_there_for_its_owner() -> None:
    """Same id, other principal or other team: nothing."""
    store = TaskStore(10, 10, 60)
    store.keep(ANNA, Task(id="t"))
    assert store.find(ANNA, "t") is not None
    assert store.find(BERT, "t") is None
    assert store.find(Owner("team-2", "anna"), "t") is None


def test_a_task_is_forgotten_after_its_life() -> None:
    """Keeping it again begins a new life."""
    clock = Clock()
    store = TaskStore(10, 10, 60, clock)
    store.keep(ANNA, Task(id="a"))
    store.keep(ANNA, Task(id="b"))
    clock.now_s = 50
    store.keep(ANNA, Task(id="a"))
    clock.now_s = 100
    assert ids_of(store, ANNA) == ["a"]
    clock.now_s = 200
    assert ids_of(store, ANNA) == []


def test_one_owner_cannot_push_out_another() -> None:
    """The limit of one caller comes first, and the oldest of theirs goes."""
    store = TaskStore(100, 3, 60)
    store.keep(BERT, Task(id="b"))
    for number in range(50):
        store.keep(ANNA, Task(id=f"a{number}"))
    assert ids_of(store, ANNA) == ["a49", "a48", "a47"]
    assert ids_of(store, BERT) == ["b"]


def test_memory_is_bounded_in_all() -> None:
    """However many callers there are."""
    store = TaskStore(5, 5, 60)
    for number in range(50):
        store.keep(Owner("team", str(number)), Task(id="t"))
    kept = [number for number in range(50) if store.find(Owner("team", str(number)), "t")]
    assert kept == [45, 46, 47, 48, 49]
