"""The settings of an app, ``app.conf``: Celery's names where the concept is the same, and our own.

The environment of a deployment (``CARAWAY_TASK_TABLE=...``) wins over code, and code over the
defaults. ``python -m caraway.settings_doc`` prints the documentation of all settings as Markdown.
"""

from __future__ import annotations

from typing import Final

from caraway import setting_kinds as kinds
from caraway.setting_mapping import Setting, SettingsMapping

_WHOLE_MESSAGE_BYTES: Final = 1_048_576
"""The largest SQS message, attributes included (Amazon SQS message quotas)."""

_LARGEST_INLINE_RESULT_BYTES: Final = 262_144
"""Leaves a DynamoDB item of at most 400 KB room for the rest of the record."""


class Settings(SettingsMapping):
    """The settings of one app: :class:`~caraway.setting_mapping.SettingsMapping` of these."""

    __slots__ = ()

    task_queues = Setting(
        kinds.QUEUES, (), "The queues, and who consumes each. Those that routes name need no entry."
    )
    task_routes = Setting(
        kinds.ROUTES,
        None,
        "Which queue a task goes to: by exact name, glob, compiled regular expression or function.",
    )
    task_default_queue = Setting(
        kinds.QUEUE_NAME, "default", "The queue of tasks that no route matches."
    )
    queue_name_prefix = Setting(
        kinds.PREFIX, "", "Put before each queue's name in SQS, to tell environments apart."
    )

    task_table = Setting(
        kinds.TABLE, "caraway-tasks", "The DynamoDB table of task records and results."
    )
    payload_bucket = Setting(
        kinds.optional(kinds.BUCKET),
        None,
        "The S3 bucket for large messages and results; with None they raise.",
    )
    aws_region = Setting(
        kinds.optional(kinds.TEXT),
        None,
        "The AWS region; None: the environment's (AWS_REGION, AWS_PROFILE).",
    )
    aws_endpoint_url = Setting(
        kinds.optional(kinds.URL),
        None,
        "Where AWS is; None: the environment's (AWS_ENDPOINT_URL), else AWS itself.",
    )
    s3_base_path = Setting(
        kinds.BASE_PATH,
        "",
        "Put before every key in payload_bucket as it is: end it with a slash.",
    )
    s3_storage_class = Setting(
        kinds.optional(
            kinds.choice(
                "STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR"
            )
        ),
        None,
        "The storage class of what is put there; None: the bucket's.",
    )
    s3_server_side_encryption = Setting(
        kinds.optional(kinds.choice("AES256", "aws:kms", "aws:kms:dsse")),
        None,
        "How S3 encrypts what is put there; None: as the bucket says.",
    )
    s3_kms_key_id = Setting(
        kinds.optional(kinds.TEXT),
        None,
        "The KMS key for that, by id, ARN or alias; implies aws:kms.",
    )
    message_inline_limit_bytes = Setting(
        kinds.whole_number(1, _WHOLE_MESSAGE_BYTES),
        262_144,
        "A message above this many bytes travels through payload_bucket.",
    )
    result_inline_limit_bytes = Setting(
        kinds.whole_number(0, _LARGEST_INLINE_RESULT_BYTES),
        4_096,
        "A result above this many bytes is kept in payload_bucket; the record points to it.",
    )

    result_backend = Setting(
        kinds.BACKEND,
        "dynamodb",
        "Where results are kept: in the record while they are small; with s3 always in "
        "payload_bucket; with disabled nowhere, as with task_ignore_result.",
    )
    result_expires = Setting(
        kinds.EXPIRY,
        86_400.0,
        "A result is hidden this many seconds after its task ended; None: never.",
    )
    result_extended = Setting(
        kinds.BOOL,
        False,
        "Whether a record keeps args, kwargs and worker, too, for the result to show: arguments up "
        "to 4 KB together, and none of a sensitive task.",
    )
    task_ignore_result = Setting(
        kinds.BOOL, False, "Whether results are dropped, where task and call do not say otherwise."
    )
    task_allow_error_cb_on_chord_header = Setting(
        kinds.BOOL,
        False,
        "Whether an errback of a chord is one of each task of its header, too; else its body's.",
    )
    task_store_errors_even_if_ignored = Setting(
        kinds.BOOL, False, "Whether failures are kept though results are dropped."
    )
    task_track_started = Setting(
        kinds.BOOL,
        True,
        "Whether a running task's state is STARTED. The write that claims it says so: no cost.",
    )

    task_serializer = Setting(
        kinds.SERIALIZER,
        "json",
        "What writes arguments: json, pickle, msgpack, yaml, or one that "
        "caraway.serialization.register has added.",
    )
    result_serializer = Setting(kinds.SERIALIZER, "json", "What writes results.")
    accept_content = Setting(
        kinds.CONTENTS,
        ("json",),
        "The serializers whose arguments a worker reads, beside json. A pickle runs code: name it "
        "only where nobody else can send.",
    )
    result_accept_content = Setting(
        kinds.optional(kinds.CONTENTS),
        None,
        "The serializers whose results are read, beside json; None: those of accept_content.",
    )
    task_compression = Setting(
        kinds.optional(kinds.COMPRESSION), None, "How large messages are compressed."
    )
    result_compression = Setting(
        kinds.optional(kinds.COMPRESSION),
        None,
        "How large results, and the other large texts of a record, are compressed.",
    )
    compression_threshold_bytes = Setting(
        kinds.whole_number(0, _WHOLE_MESSAGE_BYTES),
        4_096,
        "What is smaller is not compressed.",
    )

    task_signing_keys = Setting(
        kinds.optional(kinds.SIGNING_KEYS),
        None,
        "The keys of messages by id: secrets for HMAC-SHA256, or Ed25519 keys as PEM. A message "
        "that any of them has signed is accepted.",
    )
    task_signing_key_id = Setting(
        kinds.optional(kinds.TEXT),
        None,
        "Which of them signs what is sent; None: nothing is signed.",
    )
    task_require_signature = Setting(
        kinds.BOOL,
        False,
        "Whether a message without a signature goes to the dead-letter queue. One whose signature "
        "does not hold always does, where there are keys.",
    )

    task_time_limit = Setting(
        kinds.optional(kinds.seconds()),
        None,
        "Seconds that a task may run before it is ended: FAILURE with TimeLimitExceeded.",
    )
    task_soft_time_limit = Setting(
        kinds.optional(kinds.seconds()),
        None,
        "Seconds after which SoftTimeLimitExceeded is raised in a task, so that it can clean up.",
    )
    task_max_deliveries = Setting(
        kinds.whole_number(1, 1_000),
        5,
        "A task is dead-lettered after this many runs that ended without an ending being recorded.",
    )
    task_always_eager = Setting(
        kinds.BOOL, False, "Whether delay() and apply_async() run the task here and now, for tests."
    )
    task_eager_propagates = Setting(
        kinds.BOOL, False, "Whether an eager task's exception is raised to the caller."
    )

    task_publish_retry = Setting(
        kinds.BOOL, True, "Whether a send is tried again while AWS is unreachable or throttles."
    )
    task_publish_retry_policy = Setting(
        kinds.POLICY,
        {},
        "How: max_retries (3), interval_start, interval_step and interval_max (seconds).",
    )

    timezone = Setting(kinds.ZONE, "UTC", "The IANA time zone in which crontabs are meant.")
    beat_schedule = Setting(
        kinds.SCHEDULE, {}, "What EventBridge sends when: entries as in Celery, by name."
    )
    beat_cron_starting_deadline = Setting(
        kinds.optional(kinds.seconds(least=60)),
        None,
        "The misfire_grace_s of entries with a crontab that give none: an occurrence that begins "
        "so many seconds after its time is MISSED. None: it runs, however late.",
    )
    scheduler_role_arn = Setting(
        kinds.optional(kinds.ROLE),
        None,
        "The role that EventBridge Scheduler assumes to send to the queues. With one, schedules "
        "and messages with an ETA beyond 15 minutes are kept there; None: schedules are "
        "EventBridge rules, and such a message is passed on every 15 minutes.",
    )
    scheduler_group_name = Setting(
        kinds.SCHEDULE_GROUP, "default", "The schedule group of EventBridge Scheduler for both."
    )
    imports = Setting(kinds.MODULES, (), "Modules that a worker imports when it starts.")
    include = Setting(kinds.MODULES, (), "More such modules, imported after those of imports.")

    middleware = Setting(
        kinds.MIDDLEWARE,
        (),
        "What surrounds every send and every run of a task, the outermost first.",
    )

    worker_concurrency = Setting(
        kinds.optional(kinds.whole_number(1, 10_000)),
        None,
        "How many tasks an ECS worker runs at once. None: 10 in threads or on an event loop, 100 "
        "in greenlets, with prefork one for each CPU.",
    )
    worker_pool = Setting(
        kinds.choice("threads", "asyncio", "solo", "prefork", "gevent"),
        "threads",
        "How an ECS worker runs tasks: in threads, on an event loop, one by one, in child "
        "processes, or in greenlets.",
    )
    worker_max_tasks_per_child = Setting(
        kinds.optional(kinds.whole_number(1, 2**31)),
        None,
        "A child process is replaced after so many tasks; None: never.",
    )
    worker_max_memory_per_child = Setting(
        kinds.optional(kinds.whole_number(1, 2**40)),
        None,
        "A child process with more resident memory than this after a task is replaced, in KiB; "
        "None: never.",
    )
    worker_soft_shutdown_timeout = Setting(
        kinds.seconds(zero=True),
        25.0,
        "Seconds an ECS worker gives running tasks after SIGTERM, before it releases them. "
        "Less than the container's stopTimeout (30 by default).",
    )
    worker_heartbeat_interval = Setting(
        kinds.optional(kinds.seconds()),
        30.0,
        "Seconds between two heartbeats with which an ECS worker shows itself to 'caraway status': "
        "one write to the table each. None: it does not.",
    )
    worker_hijack_root_logger = Setting(
        kinds.BOOL, True, "Whether a worker replaces the root logger's handlers with its own."
    )
    worker_redirect_stdouts = Setting(
        kinds.BOOL, True, "Whether what a task prints is logged, with the task's name and id."
    )
    worker_redirect_stdouts_level = Setting(
        kinds.LEVEL, "WARNING", "The level at which that is logged."
    )
    worker_log_format = Setting(
        kinds.TEXT,
        "[%(asctime)s: %(levelname)s/%(threadName)s] %(message)s",
        "A log line of a worker, in the logging module's %-style.",
    )
    worker_task_log_format = Setting(
        kinds.TEXT,
        "[%(asctime)s: %(levelname)s/%(threadName)s] %(task_name)s[%(task_id)s]: %(message)s",
        "A log line written inside a task.",
    )


SETTINGS: Final = Settings.declared
"""Every setting by name, in the order of the documentation."""
