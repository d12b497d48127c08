"""From an SDK's exception to one of Caraway's that says what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from caraway.exceptions import (
    AccessDenied,
    CredentialsMissing,
    EndpointUnreachable,
    OperationalError,
    RegionMissing,
    RequestFailed,
    ResourceMissing,
    Throttled,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.requests.base import Request

R = TypeVar("R")

_MISSING: Final = frozenset(
    {
        "AWS.SimpleQueueService.NonExistentQueue",
        "QueueDoesNotExist",
        "ResourceNotFoundException",
        "NoSuchBucket",
        "NoSuchKey",
        "404",
    }
)
_DENIED: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "KMS.AccessDeniedException",
        "403",
    }
)
_CREDENTIALS: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "IncompleteSignature",
        "MissingAuthenticationToken",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_RENEWED: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
    }
)
"""Of these, what other credentials mend; a wrong clock or a wrong secret stays."""
_THROTTLED: Final = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
        "KMS.ThrottlingException",
        "OverLimit",
    }
)
_PASSING: Final = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "ServiceUnavailable",
        # What stands between, such as a proxy or a load balancer, knows numbers only.
        "500",
        "502",
        "503",
        "504",
    }
)


def error_of_code(
    request: Request[Any], code: str, message: str, response: Mapping[str, Any]
) -> Exception:
    """Return the exception for an error code, as the request or as every request means it."""
    own = request.refusal(code, response)
    if own is not None:
        return own
    message = _line(message)
    asked = f"{request.service}:{request.operation}"
    subject = request.subject()
    where = f" on {subject}" if subject else ""
    if code in _MISSING:
        return ResourceMissing(
            f"{subject or asked} does not exist in this account and region ({message}): deploy the "
            "stack, or check queue_name_prefix, task_table and payload_bucket (caraway doctor)"
        )
    if code in _DENIED:
        return AccessDenied(
            f"not allowed: {_permission(request)}{where} ({message}): grant that action in the "
            "role, and see what its policies deny"
        )
    if code in _CREDENTIALS:
        return CredentialsMissing(
            f"AWS does not accept the credentials ({code}: {message}): renew them, and see that "
            "this machine's clock is right"
        )
    if code in _THROTTLED:
        return Throttled(f"AWS throttles {asked}{where} ({code}): send fewer requests or try again")
    if code in _PASSING:
        return EndpointUnreachable(f"AWS could not answer {asked}{where} ({code}): try again")
    return RequestFailed(f"{asked}{where} failed: {code}: {message}", code)


def wants_other_credentials(error: Exception) -> bool:
    """Say whether AWS refused a request because its credentials are over; it did nothing."""
    response = getattr(error, "response", None)  # of botocore's ClientError
    return isinstance(response, dict) and response.get("Error", {}).get("Code") in _RENEWED


def answer_of(request: Request[R], response: Mapping[str, Any]) -> R:
    """Return what a response means.

    Raises
    ------
    EndpointUnreachable
        If it is not one of AWS, but the page of a proxy, for example.
    """
    about = response.get("ResponseMetadata", {})
    kind = about.get("HTTPHeaders", {}).get("content-type", "")
    if kind.startswith("text/html") and not about.get("RequestId"):
        raise _not_of_aws(request, "it is a web page")
    return meaning_of(request, response)


def meaning_of(request: Request[R], told: Mapping[str, Any]) -> R:
    """Return what a response of AWS, or the entry of one, means.

    Raises
    ------
    EndpointUnreachable
        If it lacks what AWS's have.
    """
    try:
        return request.answer(told)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise _not_of_aws(request, f"no {error} in it") from error


def _not_of_aws(request: Request[Any], why: str) -> EndpointUnreachable:
    return EndpointUnreachable(
        f"what answered {request.service}:{request.operation} does not speak as AWS ({why}): check "
        "AWS_ENDPOINT_URL, and any proxy in between"
    )


def _permission(request: Request[Any]) -> str:
    """Return what a policy calls a request: ``sqs:SendMessage``."""
    if request.operation == "head_bucket":
        return "s3:ListBucket"
    return f"{request.service}:{request.operation.title().replace('_', '')}"


def translate(error: Exception, request: Request[Any]) -> Exception:
    """Return Caraway's exception for one that an SDK raised, which is then its cause.

    Others come back as they are.
    """
    import botocore.exceptions as sdk
    from botocore.parsers import ResponseParserError

    translated = error
    if isinstance(error, sdk.ClientError):
        details = error.response.get("Error", {})
        code, message = details.get("Code", ""), details.get("Message", "")
        translated = error_of_code(request, code, message, error.response)
    elif isinstance(error, ResponseParserError):
        translated = _not_of_aws(request, _line(str(error))[:200])
    elif isinstance(error, sdk.BotoCoreError | ValueError):
        translated = _without_an_answer(error, request)
    if translated is not error:
        translated.__cause__ = error
    return translated


def _without_an_answer(error: Exception, request: Request[Any]) -> Exception:
    """Return the exception for a request that AWS did not answer."""
    import botocore.exceptions as sdk

    asked, why = f"{request.service}:{request.operation}", _line(str(error))
    match error:
        case sdk.NoRegionError() | sdk.InvalidRegionError():
            return RegionMissing(
                f"no usable AWS region is configured ({why}): set AWS_REGION (such as "
                "eu-central-1) or a region in your AWS profile"
            )
        case (
            sdk.NoCredentialsError()
            | sdk.PartialCredentialsError()
            | sdk.CredentialRetrievalError()
            | sdk.ProfileNotFound()
            | sdk.SSOError()
            | sdk.TokenRetrievalError()
        ):
            return CredentialsMissing(
                f"no usable AWS credentials ({why}): run 'aws configure' or 'aws sso login', set "
                "AWS_PROFILE, or give the machine a role; for a local engine, 'caraway dev' prints "
                "what to export"
            )
        case sdk.HTTPClientError() | sdk.ConnectionError():
            return EndpointUnreachable(
                f"AWS does not answer ({why}): check the network, the region and AWS_ENDPOINT_URL"
            )
        case sdk.ParamValidationError():
            return RequestFailed(f"{asked}: {why}")
        case sdk.BotoCoreError():
            return OperationalError(f"{asked} failed: {why}")
        case ValueError() if why.startswith("Invalid endpoint"):
            return EndpointUnreachable(
                f"{why}: set AWS_ENDPOINT_URL to a whole address, such as http://127.0.0.1:4566"
            )
        case _:
            return error


def _line(text: str) -> str:
    """Return a text of several lines as one."""
    return " ".join(text.split())
