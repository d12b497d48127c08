"""Requests to S3."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar

from caraway.exceptions import PayloadMissing
from caraway.lean import dataclass
from caraway.requests.base import Request

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class PutObject(Request[None]):
    """Store an object.

    Attributes
    ----------
    storage
        How it is kept: S3's own parameters, such as ``StorageClass``.
    """

    service: ClassVar[str] = "s3"
    operation: ClassVar[str] = "put_object"

    bucket: str
    key: str
    body: bytes
    content_type: str = "application/json"
    storage: Mapping[str, str] = field(default_factory=dict)

    def params(self) -> dict[str, Any]:
        return {
            "Bucket": self.bucket,
            "Key": self.key,
            "Body": self.body,
            "ContentType": self.content_type,
            **self.storage,
        }

    def answer(self, response: Mapping[str, Any]) -> None:
        response["ETag"]  # without it, nothing says that S3 has the object

    def subject(self) -> str:
        return f"bucket {self.bucket!r}"


@dataclass(frozen=True)
class GetObject(Request[bytes]):
    """Read an object whole. Ports read the body's stream before ``answer`` sees it."""

    service: ClassVar[str] = "s3"
    operation: ClassVar[str] = "get_object"

    bucket: str
    key: str

    def params(self) -> dict[str, Any]:
        return {"Bucket": self.bucket, "Key": self.key}

    def answer(self, response: Mapping[str, Any]) -> bytes:
        body: bytes = response["Body"]
        return body

    def refusal(self, code: str, response: Mapping[str, Any]) -> Exception | None:
        if code in {"NoSuchKey", "404"}:
            return PayloadMissing(
                f"s3://{self.bucket}/{self.key} does not exist (any more): "
                "the bucket's lifecycle may be shorter than the queue's retention"
            )
        return None

    def subject(self) -> str:
        return f"bucket {self.bucket!r}"


@dataclass(frozen=True)
class HeadBucket(Request[None]):
    """Ask whether a bucket exists and may be used."""

    service: ClassVar[str] = "s3"
    operation: ClassVar[str] = "head_bucket"

    bucket: str

    def params(self) -> dict[str, Any]:
        return {"Bucket": self.bucket}

    def answer(self, response: Mapping[str, Any]) -> None:
        return None

    def subject(self) -> str:
        return f"bucket {self.bucket!r}"
