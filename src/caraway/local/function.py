"""The Lambda worker that holds a project's code: tried out, and given new code."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING

from caraway.exceptions import LocalError
from caraway.local.deploy import upload

if TYPE_CHECKING:
    from pathlib import Path

    from caraway.local.deploy import ClientFactory


def warm_up(client: ClientFactory, function: str) -> None:
    """Let the function import the app now, so that its first task need not wait for that.

    Raises
    ------
    LocalError
        If it cannot: with what its code raised.
    """
    answer = client("lambda").invoke(FunctionName=function, Payload=b'{"Records": []}')
    if "FunctionError" in answer:
        error = json.loads(answer["Payload"].read())
        raise LocalError(
            f"The Lambda function {function} cannot run your code: {error.get('errorMessage')}. "
            "It sees what is beside the app, and what requirements.txt (or --requirements) names"
        )


def replace_code(
    client: ClientFactory, function: str, package: Path, former: Path | None = None
) -> None:
    """Let a function run another package, unless it does so already.

    Parameters
    ----------
    client
        Makes the boto3 client of a service.
    package
        The zip that it is to run.
    former
        The zip that it is given back if it cannot run `package`; then nothing has changed.

    Raises
    ------
    LocalError
        If the function cannot run the code of `package`.
    """
    functions = client("lambda")
    digest = base64.b64encode(hashlib.sha256(package.read_bytes()).digest()).decode()
    configuration = functions.get_function_configuration(FunctionName=function)
    if configuration["CodeSha256"] == digest:
        return
    _update(client, function, package)
    if former is None:
        return
    try:
        warm_up(client, function)
    except LocalError:
        _update(client, function, former)
        raise


def _update(client: ClientFactory, function: str, package: Path) -> None:
    functions = client("lambda")
    bucket, key = upload(client, package)
    functions.update_function_code(FunctionName=function, S3Bucket=bucket, S3Key=key)
    functions.get_waiter("function_updated_v2").wait(FunctionName=function)
