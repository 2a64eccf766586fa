"""``python -m server.probe``: asks a server for its health by gRPC and exits with 0 if it serves, with 1 if it does not.

For a container's HEALTHCHECK and for scripts; Kubernetes and Envoy ask by themselves. Needs no model and no torch.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from server.config import DEFAULT_ADDRESS, ENVIRONMENT_PREFIX

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # one listens there and calls here


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 for SERVING, 1 for anything else."""
    parser = argparse.ArgumentParser(prog="python -m server.probe", description=__doc__)
    default = os.environ.get(f"{ENVIRONMENT_PREFIX}ADDRESS", DEFAULT_ADDRESS)
    parser.add_argument("--address", default=default, help="HOST:PORT of the server [%(default)s]")
    parser.add_argument("--service", default="", help='such as "liveness" or "models/NAME"; "" is readiness')
    parser.add_argument("--timeout", type=float, default=3.0, help="seconds [%(default)s]")
    parser.add_argument("--ca-file", type=Path, help="speak TLS and trust these certificates, PEM")
    options = parser.parse_args(arguments)
    host, _, port = options.address.rpartition(":")
    status, reason = ask(
        f"{_EVERYWHERE.get(host, host)}:{port}", options.service, options.timeout, options.ca_file
    )
    print(f"{status}{reason and f': {reason}'}", file=sys.stderr)  # noqa: T201  # a program
    return 0 if status == "SERVING" else 1


def ask(address: str, service: str, timeout_s: float, ca_file: Path | None = None) -> tuple[str, str]:
    """The health of a service, or the name of the gRPC status that came in its place, and why."""
    if ca_file is None:
        channel = grpc.insecure_channel(address)
    else:
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(ca_file.read_bytes()))
    with channel:
        try:
            reply = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=service), timeout=timeout_s
            )
        except grpc.RpcError as error:
            return error.code().name, str(error.details())
    return health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status), ""


if __name__ == "__main__":
    sys.exit(main())
