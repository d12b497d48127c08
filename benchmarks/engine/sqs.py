"""SQS in memory: its operations, over :class:`~benchmarks.engine.queues.Queue`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from benchmarks.engine.queues import Queue, chosen, md5_of
from benchmarks.engine.refused import Refused

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence

    Params = Mapping[str, Any]
    Answer = dict[str, Any]

BATCH_LIMIT: Final = 10
BATCH_LIMIT_BYTES: Final = 1_048_576


class Sqs:
    """The service: an operation's name is its method's.

    Parameters
    ----------
    url
        What the address of a queue begins with.
    """

    def __init__(self, url: str) -> None:
        self._url = f"{url}/000000000000/"
        self._queues: dict[str, Queue] = {}
        self.operations: dict[str, Callable[[Params], Answer | asyncio.Future[Answer]]] = {
            "CreateQueue": self._create,
            "DeleteQueue": self._delete_queue,
            "GetQueueUrl": lambda params: {"QueueUrl": self._url + self._named(params).name},
            "ListQueues": self._list,
            "GetQueueAttributes": self._attributes,
            "SetQueueAttributes": self._set_attributes,
            "PurgeQueue": self._purge,
            "SendMessage": self._send,
            "SendMessageBatch": self._send_batch,
            "ReceiveMessage": lambda params: self._queue(params).receive(params),
            "DeleteMessage": self._one(Queue.delete),
            "DeleteMessageBatch": self._batch(Queue.delete),
            "ChangeMessageVisibility": self._one(Queue.change_visibility),
            "ChangeMessageVisibilityBatch": self._batch(Queue.change_visibility),
        }

    # -- queues -------------------------------------------------------------------------------

    def _queue(self, params: Params) -> Queue:
        return self._named({"QueueName": params["QueueUrl"].rpartition("/")[2]})

    def _named(self, params: Params) -> Queue:
        queue = self._queues.get(params["QueueName"])
        if queue is None:
            raise Refused(
                "QueueDoesNotExist",
                "The specified queue does not exist.",
                "AWS.SimpleQueueService.NonExistentQueue",
            )
        return queue

    def _create(self, params: Params) -> Answer:
        name = params["QueueName"]
        if name.endswith(".fifo"):
            raise Refused("UnsupportedOperation", "The benchmarks' stub has no FIFO queues.")
        if name not in self._queues:
            self._queues[name] = Queue(name, params.get("Attributes", {}))
        return {"QueueUrl": self._url + name}

    def _delete_queue(self, params: Params) -> Answer:
        del self._queues[self._queue(params).name]
        return {}

    def _list(self, params: Params) -> Answer:
        prefix = params.get("QueueNamePrefix", "")
        urls = [self._url + name for name in self._queues if name.startswith(prefix)]
        return {"QueueUrls": urls} if urls else {}

    def _attributes(self, params: Params) -> Answer:
        described = self._queue(params).described()
        return {"Attributes": chosen(described, params.get("AttributeNames", ()))}

    def _set_attributes(self, params: Params) -> Answer:
        self._queue(params).attributes.update(params["Attributes"])
        return {}

    def _purge(self, params: Params) -> Answer:
        self._queue(params).purge()
        return {}

    # -- messages -----------------------------------------------------------------------------

    def _send(self, params: Params) -> Answer:
        queue = self._queue(params)
        message = queue.put(params)
        queue.wake()
        return {"MessageId": message.id, "MD5OfMessageBody": md5_of(message.body)}

    def _send_batch(self, params: Params) -> Answer:
        queue, entries = self._queue(params), _entries(params)
        if sum(len(each["MessageBody"].encode()) for each in entries) > BATCH_LIMIT_BYTES:
            raise Refused(
                "BatchRequestTooLong",
                f"Batch requests cannot be longer than {BATCH_LIMIT_BYTES} bytes.",
                "AWS.SimpleQueueService.BatchRequestTooLong",
            )
        sent = [(each["Id"], queue.put(each)) for each in entries]
        queue.wake()
        return {
            "Successful": [
                {"Id": id, "MessageId": message.id, "MD5OfMessageBody": md5_of(message.body)}
                for id, message in sent
            ]
        }

    def _one(self, act: Callable[[Queue, Params], None]) -> Callable[[Params], Answer]:
        def perform(params: Params) -> Answer:
            queue = self._queue(params)
            act(queue, params)
            queue.wake()
            return {}

        return perform

    def _batch(self, act: Callable[[Queue, Params], None]) -> Callable[[Params], Answer]:
        def perform(params: Params) -> Answer:
            queue = self._queue(params)
            failures = {each["Id"]: _failure(act, queue, each) for each in _entries(params)}
            queue.wake()
            return {
                "Successful": [{"Id": id} for id, failed in failures.items() if failed is None],
                "Failed": [
                    {
                        "Id": id,
                        "SenderFault": True,
                        "Code": failed.query_code or failed.code,
                        "Message": failed.message,
                    }
                    for id, failed in failures.items()
                    if failed is not None
                ],
            }

        return perform


def _failure(act: Callable[[Queue, Params], None], queue: Queue, entry: Params) -> Refused | None:
    try:
        act(queue, entry)
    except Refused as refused:
        return refused
    return None


def _entries(params: Params) -> Sequence[Params]:
    entries: Sequence[Params] = params["Entries"]
    if not entries:
        raise Refused(
            "EmptyBatchRequest",
            "There should be at least one entry.",
            "AWS.SimpleQueueService.EmptyBatchRequest",
        )
    if len(entries) > BATCH_LIMIT:
        raise Refused(
            "TooManyEntriesInBatchRequest",
            f"Maximum number of entries per request are {BATCH_LIMIT}.",
            "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
        )
    if len({each["Id"] for each in entries}) != len(entries):
        raise Refused(
            "BatchEntryIdsNotDistinct",
            "Two entries have the same Id.",
            "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
        )
    return entries
