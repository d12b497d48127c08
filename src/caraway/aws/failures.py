"""From an SDK's exception to one of Caraway's that says what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from caraway.exceptions import (
    AccessDenied,
    CarawayError,
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
        "IncompleteSignature",
        "MissingAuthenticationToken",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
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
    {"InternalError", "InternalFailure", "InternalServerError", "ServiceUnavailable", "500", "503"}
)


def error_of_code(
    request: Request[Any], code: str, message: str, response: Mapping[str, Any]
) -> Exception:
    """Return the exception for an error code, as the request or as every request means it."""
    own = request.refusal(code, response)
    if own is not None:
        return own
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
            f"not allowed: {asked}{where} ({message}): grant the action in the role or policy"
        )
    if code in _CREDENTIALS:
        return CredentialsMissing(
            f"AWS does not accept the credentials ({code}: {message}): renew them"
        )
    if code in _THROTTLED:
        return Throttled(f"AWS throttles {asked}{where} ({code}): send fewer requests or try again")
    if code in _PASSING:
        return EndpointUnreachable(f"AWS could not answer {asked}{where} ({code}): try again")
    return RequestFailed(f"{asked}{where} failed: {code}: {message}", code)


def translate(error: Exception, request: Request[Any]) -> Exception:
    """Return Caraway's exception for one that an SDK raised; others come back as they are."""
    import botocore.exceptions as sdk

    match error:
        case CarawayError():
            return error
        case sdk.ClientError():
            details = error.response.get("Error", {})
            code, message = details.get("Code", ""), details.get("Message", "")
            return error_of_code(request, code, message, error.response)
        case sdk.NoRegionError():
            return RegionMissing(
                "no AWS region is configured: set AWS_REGION (such as eu-central-1) or a region in "
                "your AWS profile"
            )
        case sdk.NoCredentialsError() | sdk.PartialCredentialsError() | sdk.ProfileNotFound():
            return CredentialsMissing(
                f"no usable AWS credentials ({error}): run 'aws configure' or 'aws sso login', set "
                "AWS_PROFILE, or give the machine a role; for a local engine, 'caraway dev' prints "
                "what to export"
            )
        case sdk.HTTPClientError() | sdk.ConnectionError():
            return EndpointUnreachable(
                f"AWS does not answer ({error}): check the network, the region and AWS_ENDPOINT_URL"
            )
        case sdk.ParamValidationError():
            return RequestFailed(f"{request.service}:{request.operation}: {error}")
        case sdk.BotoCoreError():
            return OperationalError(f"{request.service}:{request.operation} failed: {error}")
        case _:
            return error
