"""Which queue a task goes to, and what a queue may be."""

from __future__ import annotations

import re
from typing import Any

import pytest

from caraway.core.routing import Queue, Router
from caraway.exceptions import ImproperlyConfigured, QueueNotFound, UnknownOption


def route(routes: Any, name: str, *, queue: Any = None, **options: Any) -> str:
    router = Router(["default", "known"], routes)
    return router.route(name, (1,), {"a": 2}, {"queue": queue, **options}).name


# -- queues ----------------------------------------------------------------------------------


def test_a_queue_is_standard_consumed_by_lambda_and_keeps_for_the_longest_time() -> None:
    queue = Queue("reports")
    assert (queue.consumer, queue.fifo, queue.max_receive_count) == ("lambda", False, 1000)
    assert queue.retention_s == 14 * 86_400


def test_a_fifo_queue_is_declared_by_its_name_or_by_its_option() -> None:
    assert Queue("orders.fifo") == Queue("orders", fifo=True)


@pytest.mark.parametrize(
    ("queue", "name", "dead"),
    [
        (Queue("a"), "dev-a", "dev-a-dlq"),
        (Queue("a.fifo"), "dev-a.fifo", "dev-a-dlq.fifo"),
        (Queue("a", dead_letter_queue="dead"), "dev-a", "dev-dead"),
        (Queue("a.fifo", dead_letter_queue="dead.fifo"), "dev-a.fifo", "dev-dead.fifo"),
    ],
)
def test_a_queues_names_in_sqs_carry_the_prefix(queue: Queue, name: str, dead: str) -> None:
    assert (queue.sqs_name("dev-"), queue.dead_letter_sqs_name("dev-")) == (name, dead)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"name": "a b"}, "letters, digits"),
        ({"name": ""}, "letters, digits"),
        ({"name": "x" * 76}, "at most 75"),
        ({"name": "a", "consumer": "esc"}, "did you mean 'ecs'"),
        ({"name": "a", "visibility_timeout_s": 0}, "1 to 43200"),
        ({"name": "a", "visibility_timeout_s": 43_201}, "1 to 43200"),
        ({"name": "a", "max_receive_count": 0}, "1 to 1000"),
        ({"name": "a", "retention_s": 59}, "60 to 1209600"),
    ],
)
def test_a_queue_that_sqs_does_not_have_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=says):
        Queue(**options)


# -- routes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "routes",
    [
        {"shop.send": "mail"},
        {"shop.*": "mail"},
        {"shop.*": {"queue": "mail"}},
        {re.compile(r"shop\.(send|fetch)"): "mail"},
        [{"other": "x"}, {"shop.*": "mail"}],
        [("shop.*", {"queue": "mail"})],
        ([("shop.*", "mail")],),
        ("shop.*", "mail"),
        ("shop.*", Queue("mail")),
        {"shop.*": Queue("mail")},
        {"shop.*": {"queue": Queue("mail")}},
    ],
)
def test_a_route_takes_any_of_celerys_shapes(routes: Any) -> None:
    assert route(routes, "shop.send") == "mail"
    assert route(routes, "stock.count") == "default"


def test_an_exact_name_wins_over_patterns_and_then_the_first_pattern_wins() -> None:
    routes = {"shop.*": "first", "shop.s*": "second", "shop.send": "exact"}
    assert route(routes, "shop.send") == "exact"
    assert route(routes, "shop.stop") == "first"


def test_a_dot_in_a_pattern_is_a_dot() -> None:
    assert route({"shop.*": "mail"}, "shopping") == "default"


def test_the_calls_own_queue_wins_over_every_route() -> None:
    assert route({"shop.*": "mail"}, "shop.send", queue="known") == "known"
    assert route({"shop.*": "mail"}, "shop.send", queue=Queue("known")) == "known"


def test_a_router_function_sees_the_call_and_may_pass() -> None:
    asked: list[Any] = []

    def router(name: str, args: Any, kwargs: Any, options: Any, task: Any = None) -> Any:
        asked.append((name, args, kwargs, options))
        return {"queue": "known"} if name == "a" else None

    assert route(router, "a", expires=5) == "known"
    assert asked == [("a", (1,), {"a": 2}, {"queue": None, "expires": 5})]
    assert route([router, {"b": "known"}], "b") == "known"
    assert route({"c*": lambda *_args, **_options: "known"}, "c1") == "known"
    assert route(router, "c") == "default"


@pytest.mark.parametrize("routes", [5, {"a": None}, {"a": 5}, {"a": {"queue": "q", "priority": 3}}])
def test_a_route_of_another_shape_is_refused(routes: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="task_routes"):
        Router([], routes)


# -- which queues exist ----------------------------------------------------------------------


def test_a_queue_exists_by_being_named() -> None:
    router = Router([Queue("a")], {"x": "b", "y": {"queue": "c.fifo"}}, default="d")
    assert set(router.queues) == {"a", "b", "c", "d"}
    assert router.queue("c").fifo
    assert router.queue("c.fifo") is router.queue("c")


def test_a_queue_that_is_declared_in_a_route_keeps_its_options() -> None:
    declared = Queue("large", consumer="ecs")
    router = Router(["large"], {"x": "large", "y": declared})
    assert router.route("x") == router.route("y") == declared


def test_a_queue_that_nothing_names_raises_with_the_nearest() -> None:
    with pytest.raises(QueueNotFound, match="did you mean 'known'"):
        route({}, "a", queue="konwn")
    with pytest.raises(QueueNotFound, match="task_queues or task_routes"):
        route(lambda *_args, **_options: "nowhere", "a")


def test_two_different_queues_of_one_name_are_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="two different queues named 'a'"):
        Router([Queue("a"), Queue("a", consumer="ecs")])
    with pytest.raises(ImproperlyConfigured, match="two different queues named 'a'"):
        Router([Queue("a")], {"x": "a.fifo"})
    assert Router([Queue("a"), Queue("a")]).queue("a") == Queue("a")


def test_an_option_that_no_queue_has_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownOption, match="did you mean 'visibility_timeout_s'"):
        Queue("a", visibility_timeout=3)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": 3}, "queue 3: name=3: expected text"),
        ({"visibility_timeout_s": "60"}, "visibility_timeout_s='60': expected a whole number"),
        ({"visibility_timeout_s": 1.5}, "visibility_timeout_s=1.5: expected a whole number"),
        ({"max_receive_count": True}, "max_receive_count=True: expected a whole number"),
        ({"fifo": "yes"}, "fifo='yes': expected True or False"),
        ({"dead_letter_queue": 3}, "dead_letter_queue=3: expected a queue's name"),
    ],
)
def test_a_value_of_a_wrong_kind_is_refused_where_it_is_declared(
    options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ImproperlyConfigured, match=re.escape(said)):
        Queue(**{"name": "a", **options})
