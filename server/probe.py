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
    parser.add_argument("--certificate", type=Path, help="of this client, where the server asks for one, PEM")
    parser.add_argument("--private-key", type=Path, help="of --certificate, PEM")
    options = parser.parse_args(arguments)
    host, _, port = options.address.rpartition(":")
    files = (options.ca_file, options.private_key, options.certificate)
    status, reason = ask(f"{_EVERYWHERE.get(host, host)}:{port}", options.service, options.timeout, files)
    print(f"{status}{reason and f': {reason}'}", file=sys.stderr)  # noqa: T201  # a program
    return 0 if status == "SERVING" else 1


def ask(address: str, service: str, timeout_s: float, files: Sequence[Path | None] = ()) -> tuple[str, str]:
    """The health of a service, or the name of the gRPC status that came in its place, and why.

    Args:
        address: HOST:PORT.
        service: name of it.
        timeout_s: to wait.
        files: for TLS, as :func:`grpc.ssl_channel_credentials` takes them: authorities, private key, certificate.
    """
    if not any(files):
        channel = grpc.insecure_channel(address)
    else:
        credentials = grpc.ssl_channel_credentials(*(path.read_bytes() if path else None for path in files))
        channel = grpc.secure_channel(address, credentials)
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
