"""Batch jobs of an emulated account that really run: what CreateTransformJob names is sent through a server, and its
output put where the job says. Everything else goes to the emulator as it comes.
"""

import contextlib
import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
from werkzeug.wrappers import Request, Response

from testkit.aws.batch_driver import TransformJob, transform
from testkit.aws.door import opened

_CREATE = "SageMaker.CreateTransformJob"
_HOPS = {"connection", "content-length", "transfer-encoding"}


@dataclass(frozen=True)
class TransformFront:
    """SageMaker's API before the emulator at `moto_url`; jobs are run by the batch server (its URL)."""

    s3: Any
    server: str
    moto_url: str

    def answer(self, request: Request) -> Response:
        answer = self._passed_on(request)
        if answer.status_code == 200 and request.headers.get("X-Amz-Target") == _CREATE:
            self._run(json.loads(request.data))
        return answer

    def _run(self, job: dict[str, Any]) -> None:
        """One object for each object that lies under the source, as the platform names them."""
        given, wanted = job["TransformInput"], job["TransformOutput"]
        bucket, prefix = _place(given["DataSource"]["S3DataSource"]["S3Uri"])
        target, folder = _place(wanted["S3OutputPath"])
        for found in self.s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []):
            data = self.s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read()
            out = transform(self.server, data, TransformJob(given["ContentType"], wanted["Accept"]))
            name = found["Key"].rpartition("/")[2]
            self.s3.put_object(Bucket=target, Key=f"{folder.rstrip('/')}/{name}.out", Body=out)

    def _passed_on(self, request: Request) -> Response:
        connection = http.client.HTTPConnection(urlsplit(self.moto_url).netloc, timeout=60)
        try:
            headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOPS}
            connection.request(request.method, request.full_path.rstrip("?"), request.data, headers)
            answer = connection.getresponse()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in _HOPS}
            return Response(answer.read(), answer.status, kept)
        finally:
            connection.close()


@contextlib.contextmanager
def transform_front(server: str, moto_url: str, region: str) -> Iterator[str]:
    """Serve the front for the account at `moto_url`, with a batch server behind it. Yields the front's URL."""
    front = TransformFront(boto3.client("s3", endpoint_url=moto_url, region_name=region), server, moto_url)
    with opened(front.answer) as url:
        yield url


def _place(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
