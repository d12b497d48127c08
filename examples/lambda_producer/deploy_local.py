"""Deploys template.yaml on the local AWS that the environment names, as ``sam deploy`` does on AWS.

The parameters are the outputs of the stack that ``caraway dev`` has made.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import boto3

from caraway.local.deploy import deploy
from caraway.local.package import build_package, project_sources

HERE = Path(__file__).parent
CARAWAY_STACK = "caraway-dev"


def main() -> None:
    """Build the function's package, deploy the stack, and say where its API is."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    if endpoint is None:
        raise SystemExit("export what caraway dev prints, first: this is for the local AWS only")
    session: Any = boto3.Session()
    (caraway,) = session.client("cloudformation").describe_stacks(StackName=CARAWAY_STACK)["Stacks"]
    wanted = {"Prefix", "TaskTable", "PayloadBucket", "ProducerPolicyArn"}
    parameters = {
        each["OutputKey"]: each["OutputValue"]
        for each in caraway["Outputs"]
        if each["OutputKey"] in wanted
    }
    with tempfile.TemporaryDirectory() as folder:
        package = build_package(Path(folder), HERE / "requirements.txt", project_sources(HERE))
        outputs = deploy(
            session.client,
            HERE / "template.yaml",
            "orders-api",
            parameters=parameters,
            code={"Web": package},
        )
    print(f"The API is at {endpoint}/_aws/execute-api/{outputs['ApiId']}/$default")


if __name__ == "__main__":
    main()
