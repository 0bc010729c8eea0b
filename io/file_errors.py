"""Headrace's errors for failures of files, local and remote.

`file_error` is for the operating system's errors, `remote_error` for those of object stores and
of network file systems, whose libraries report most failures as one kind of error with a text.
Every message begins with the path or URL and ends with what to do.
"""

from __future__ import annotations

import errno
import re

from ..ops.errors import (
    FailedPreconditionError,
    NotFoundError,
    OpError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnavailableError,
    UnknownError,
)

__all__ = ["access_remedy", "file_error", "remote_error"]

_MISSING = re.compile(r"NO_SUCH_|NoSuch(Key|Bucket)|\b404\b|Not Found|RESOURCE_NOT_FOUND")
_REFUSED = re.compile(
    r"ACCESS_DENIED|Access ?Denied|INVALID_ACCESS_KEY|InvalidAccessKeyId|SIGNATURE_DOES_NOT|"
    r"SignatureDoesNotMatch|EXPIRED_TOKEN|ExpiredToken|UNRECOGNIZED_CLIENT|MISSING_AUTH|"
    r"Forbidden|Unauthorized|PERMISSION_DENIED|UNAUTHENTICATED|\b40[13]\b|[Cc]redentials"
)
_LONGEST_REASON = 400
_JAVA = re.compile(r"libjvm|libhdfs|CLASSPATH|JAVA_HOME")

_S3 = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE), or append "
    "'?anonymous=true' to the URL of a public bucket"
)
_GCS = (
    "set GOOGLE_APPLICATION_CREDENTIALS to a key file, or append '?anonymous=true' to the URL "
    "of a public bucket"
)
_ACCESS = {"s3": _S3, "s3a": _S3, "gs": _GCS, "gcs": _GCS, "hdfs": "set HADOOP_USER_NAME"}
_ENDPOINT = {
    "s3": "AWS_ENDPOINT_URL and AWS_REGION",
    "s3a": "AWS_ENDPOINT_URL and AWS_REGION",
    "gs": "STORAGE_EMULATOR_HOST",
    "gcs": "STORAGE_EMULATOR_HOST",
    "hdfs": "HADOOP_HOME and its core-site.xml",
}


def file_error(error: OSError, path: str) -> OpError:
    """The Headrace error for an operating-system error on `path`."""
    if isinstance(error, OpError):
        return error
    reason = error.strerror or str(error)
    if isinstance(error, FileNotFoundError):
        return NotFoundError(f"{path}; No such file or directory: check the path")
    if isinstance(error, PermissionError):
        return PermissionDeniedError(f"{path}; {reason}")
    if isinstance(error, IsADirectoryError):
        return FailedPreconditionError(
            f"{path}; Is a directory: name its files, e.g. with Dataset.list_files"
        )
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
        return ResourceExhaustedError(f"{path}; {reason}: free some space")
    return UnknownError(f"{path}; {reason}")


def remote_error(error: BaseException, url: str) -> OpError:
    """The Headrace error for a failure of the library that serves `url`.

    `UnavailableError` is what remains: the only kind that another attempt may mend.
    """
    if isinstance(error, OpError):
        return error
    if isinstance(error, FileNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # fsspec's http says "not found" whatever went wrong
    reason = " ".join(str(error).split()) or type(error).__name__
    if len(reason) > _LONGEST_REASON:  # libhdfs lists every folder where it looked for Java
        reason = f"{reason[:_LONGEST_REASON]}..."
    scheme = url.partition("://")[0]
    if isinstance(error, FileNotFoundError) or _MISSING.search(reason):
        return NotFoundError(
            f"{url}; No such file or directory: check the bucket or host and the path"
        )
    if isinstance(error, IsADirectoryError):
        return file_error(error, url)
    if isinstance(error, PermissionError) or _REFUSED.search(reason):
        return PermissionDeniedError(f"{url}; {reason}: {access_remedy(scheme)}")
    if _JAVA.search(reason):
        return UnavailableError(
            f"{url}; {reason}: HDFS needs Java and Hadoop's native library; set JAVA_HOME, "
            "HADOOP_HOME, ARROW_LIBHDFS_DIR and CLASSPATH (`hadoop classpath --glob`), or use "
            "webhdfs://host:9870/path, which needs neither"
        )
    if isinstance(error, (TypeError, ValueError, AttributeError, NotImplementedError)):
        return UnknownError(f"{url}; {type(error).__name__}: {reason}")
    endpoint = _ENDPOINT.get(scheme)
    remedy = f" and the endpoint ({endpoint})" if endpoint else ""
    return UnavailableError(f"{url}; {reason}: check the network{remedy}, or try again later")


def access_remedy(scheme: str) -> str:
    """How to get access to a store, for an error message."""
    return _ACCESS.get(scheme, "check the credentials of this store")
