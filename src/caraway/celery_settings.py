"""Celery's settings that have no meaning here, each with what takes its place.

Data, and the one rule by which Celery renamed its settings in version 4. Celery's other settings
(``task_routes``, ``timezone``, ...) keep name and meaning: see :mod:`caraway.settings`.
The names are those of Celery 5.0 to 5.7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container

_REPLACED: dict[str, str] = {
    # What takes their place: the names of Celery's settings.
    "SQS is the broker; AWS_ENDPOINT_URL (or aws_endpoint_url) says where it is": """
        broker_url broker_read_url broker_write_url broker_host broker_port broker_vhost
        broker_transport
    """,
    "aws_endpoint_url (or AWS_ENDPOINT_URL) takes its place": "dynamodb_endpoint_url",
    "the environment's AWS credentials take its place; IAM says what they may do": """
        broker_user broker_password broker_login_method broker_use_ssl
    """,
    "use queue_name_prefix and aws_region; each Queue has its own visibility_timeout_s": """
        broker_transport_options
    """,
    "the AWS SDK retries requests to SQS, as AWS_MAX_ATTEMPTS and AWS_RETRY_MODE say": """
        broker_channel_error_retry broker_connection_max_retries broker_connection_retry
        broker_connection_retry_on_startup broker_connection_timeout
        broker_failover_strategy broker_heartbeat broker_heartbeat_checkrate
        broker_pool_acquire_timeout broker_pool_limit
        worker_cancel_long_running_tasks_on_connection_loss
    """,
    "SQS delays a message, and EventBridge Scheduler a longer time; no worker holds anything": """
        broker_native_delayed_delivery_queue_type worker_eta_task_limit
    """,
    "a message is deleted after its task's ending is recorded: see task_max_deliveries": """
        task_acks_late task_acks_on_failure task_acks_on_failure_or_timeout
        task_acks_on_timeout task_reject_on_worker_lost task_retry_on_worker_lost
        worker_lost_wait
    """,
    "a task's record is claimed before it runs, so a repeated delivery is found": """
        worker_deduplicate_successful_tasks worker_state_db
    """,
    "a worker fetches what will begin within 0.2 s: see worker_concurrency": """
        worker_prefetch_multiplier worker_disable_prefetch
        worker_enable_prefetch_count_reduction
    """,
    "SQS has no exchanges and no routing keys; task_routes names a task's queue": """
        control_exchange event_exchange result_exchange result_exchange_type
        task_create_missing_queue_exchange_type task_default_exchange
        task_default_exchange_type task_default_routing_key worker_direct
    """,
    "the template deploys queues; one that nothing declares raises at the call": """
        task_create_missing_queues task_create_missing_queue_type
    """,
    "SQS keeps every message on disk; a Queue is standard or FIFO (fifo=True)": """
        task_default_delivery_mode task_default_queue_type worker_detect_quorum_queues
    """,
    "SQS has no priorities: give urgent tasks a queue of their own": """
        task_default_priority task_inherit_parent_priority task_queue_max_priority
    """,
    "limit workers with worker_concurrency, Lambda with its MaximumConcurrency": """
        task_default_rate_limit worker_disable_rate_limits
    """,
    "the task records are the monitor: there are no events to serialize": "event_serializer",
    "messages carry a version of their own": "task_protocol",
    "give the option to the task itself: @app.task(time_limit=...)": "task_annotations",
    "an eager task's result is what apply() returns": "task_store_eager_result",
    "a failed task's exception is rebuilt with the worker's traceback as text": """
        task_remote_tracebacks
    """,
    "log lines shorten long arguments": "task_repr_maxlevels",
    "times are UTC in messages and records; timezone is for schedules": "enable_utc",
    "result_expires hides results and failures alike": "result_failure_expires",
    "records outlive every message, and large results live in S3 as long": "result_persistent",
    "results are not cached in the producer: keep the AsyncResult": "result_cache_max",
    "a chord's members are counted as they end, and nothing waits for them": """
        result_chord_join_timeout result_chord_retry_interval
    """,
    "what counts the members of a chord lives as long as their messages": "result_chord_expires",
    "results are kept in the DynamoDB table task_table, large ones in payload_bucket": """
        result_backend_always_retry result_backend_base_sleep_between_retries_ms
        result_backend_max_retries result_backend_max_sleep_between_retries_ms
        result_backend_thread_safe result_backend_transport_options override_backends
        arangodb_backend_settings azureblockblob_base_path
        azureblockblob_connection_timeout azureblockblob_container_name
        azureblockblob_read_timeout azureblockblob_retry_increment_base
        azureblockblob_retry_initial_backoff_sec azureblockblob_retry_max_attempts
        cache_backend cache_backend_options cassandra_auth_kwargs cassandra_auth_provider
        cassandra_bundle_path cassandra_entry_ttl cassandra_keyspace cassandra_options
        cassandra_port cassandra_read_consistency cassandra_secure_bundle_path
        cassandra_servers cassandra_table cassandra_write_consistency
        cosmosdbsql_collection_name cosmosdbsql_consistency_level
        cosmosdbsql_database_name cosmosdbsql_max_retry_attempts
        cosmosdbsql_max_retry_wait_time couchbase_backend_settings
        database_create_tables_at_setup database_engine_callback database_engine_options
        database_short_lived_sessions database_table_names database_table_schemas
        database_url elasticsearch_max_retries elasticsearch_retry_on_timeout
        elasticsearch_save_meta_as_text elasticsearch_timeout firestore_project
        gcs_base_path gcs_bucket gcs_project gcs_threadpool_maxsize gcs_ttl
        mongodb_backend_settings redis_backend_credential_provider
        redis_backend_health_check_interval redis_backend_use_ssl redis_client_name
        redis_db redis_host redis_max_connections redis_password redis_port
        redis_retry_on_timeout redis_socket_connect_timeout redis_socket_keepalive
        redis_socket_timeout redis_username
    """,
    "payload_bucket takes its place, for results and for large messages": "s3_bucket",
    "aws_endpoint_url (or AWS_ENDPOINT_URL) and aws_region take its place": """
        s3_endpoint_url s3_region
    """,
    "the environment's AWS credentials take its place; IAM says what they may write": """
        s3_access_key_id s3_secret_access_key
    """,
    "EventBridge keeps the time: caraway beat sync writes beat_schedule into it": """
        beat_enable_remote_control beat_executable beat_gid beat_logfile
        beat_max_loop_interval beat_pidfile beat_remote_control_max_tick_age
        beat_schedule_filename beat_scheduler beat_sync_every beat_uid beat_umask
    """,
    "a worker runs in the foreground, as a container does, and logs to standard error": """
        worker_executable worker_gid worker_logfile worker_pidfile worker_uid worker_umask
    """,
    "the task records are the monitor: no events are sent": """
        event_queue_durable event_queue_exclusive event_queue_expires event_queue_prefix
        event_queue_ttl events_executable events_gid events_logfile events_pidfile
        events_uid events_umask task_send_sent_event worker_send_task_events
    """,
    "workers are not controlled remotely: SQS has no broadcast": """
        control_queue_durable control_queue_exclusive control_queue_expires
        control_queue_ttl worker_enable_remote_control
    """,
    "keys of messages are the settings task_signing_keys and task_signing_key_id": """
        security_cert_store security_certificate security_digest security_key
        security_key_password
    """,
    "child processes are forked, one for each task at a time; see worker_pool": """
        worker_pool_putlocks worker_pool_restarts worker_pool_start_method
        worker_proc_alive_timeout
    """,
    "caraway worker --autoscale starts child processes as they are needed": "worker_autoscaler",
    "a worker has no parts to replace": """
        worker_agent worker_consumer worker_timer worker_timer_precision
    """,
    "a stopping worker waits for running tasks only: see worker_soft_shutdown_timeout": """
        worker_enable_soft_shutdown_on_idle
    """,
    "dates are the logging module's; see worker_log_format and worker_task_log_format": """
        worker_log_color worker_log_datefmt worker_task_log_datefmt
    """,
}

REPLACEMENTS: dict[str, str] = {
    name: replacement for replacement, names in _REPLACED.items() for name in names.split()
}
"""Celery's name of a setting: what takes its place here, as the end of a sentence."""

_IRREGULAR: dict[str, str] = {
    "CELERY_EAGER_PROPAGATES_EXCEPTIONS": "task_eager_propagates",
    "CELERY_MAX_CACHED_RESULTS": "result_cache_max",
    "CELERY_MESSAGE_COMPRESSION": "task_compression",
    "CELERY_RESULT_DBURI": "database_url",
    "CELERY_RESULT_DB_SHORT_LIVED_SESSIONS": "database_short_lived_sessions",
    "CELERY_RESULT_DB_TABLENAMES": "database_table_names",
    "CELERY_RESULT_ENGINE_OPTIONS": "database_engine_options",
    "CELERY_SEND_EVENTS": "worker_send_task_events",
    "CELERY_SEND_SENT_EVENT": "task_send_sent_event",
    "CELERY_SEND_TASK_SENT_EVENT": "task_send_sent_event",
    "CELERY_TASK_RESULT_EXPIRES": "result_expires",
}

_PREFIXES: tuple[tuple[str, tuple[str, ...]], ...] = (
    # The prefix of an old name, then the prefixes that its new name may have, in order.
    ("CELERYBEAT_", ("beat_",)),
    ("CELERYD_", ("worker_", "task_", "")),
    ("CELERY_", ("", "task_", "worker_")),
    ("BROKER_", ("broker_",)),
)


def current_name(name: str, known: Container[str]) -> str:
    """Today's name of a setting written in Celery's style from before version 4.

    Parameters
    ----------
    name
        Any name, such as ``"CELERYD_CONCURRENCY"``.
    known
        Every name that is a setting today, of Caraway or of Celery.

    Returns
    -------
    str
        Such as ``"worker_concurrency"``; ``name`` itself where the rule finds nothing.
    """
    if name in _IRREGULAR:
        return _IRREGULAR[name]
    for old, new_prefixes in _PREFIXES:
        if name.startswith(old):
            rest = name[len(old) :].lower()
            return next((new + rest for new in new_prefixes if new + rest in known), name)
    return name
