"""How a client knows its server and is known by it: TLS, an authority, a certificate of its own, a bearer token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from asr.errors import OptionError
from asr.network import is_loopback

Metadata = tuple[tuple[str, str], ...]
ChannelOptions = Sequence[tuple[str, int]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """What a connection is made with. A file named here asks for TLS.

    Attributes:
        tls: encrypt, and trust the authorities that the system trusts.
        ca: PEM file of the authorities to trust instead.
        certificate: PEM file with the client's certificate, where the server asks for one.
        private_key: PEM file of its key.
        token: sent with every call; never printed.
        allow_plaintext_token: whether the token may cross a network without TLS.
    """

    tls: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    token: str = field(default="", repr=False)
    allow_plaintext_token: bool = False

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.private_key is None):
            given, missing = ("certificate", "private key")[:: 1 if self.certificate else -1]
            raise OptionError(
                f"a client's {given} is given without its {missing}; give both", field="certificate"
            )
        if not (self.token.isascii() and self.token.isprintable()):
            raise OptionError(
                "the token holds characters that none has; give one line as lexitune token printed it",
                field="token",
            )

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.tls or self.ca is not None or self.certificate is not None

    @property
    def metadata(self) -> Metadata:
        """Of every call."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    def channel_credentials(self, address: str) -> grpc.ChannelCredentials | None:
        """gRPC's credentials for a server; None for a connection without TLS.

        Raises:
            OptionError: a file cannot be read, or the token would cross a network in plain text.
        """
        if self.uses_tls:
            return grpc.ssl_channel_credentials(
                root_certificates=_read(self.ca, "ca"),
                private_key=_read(self.private_key, "private_key"),
                certificate_chain=_read(self.certificate, "certificate"),
            )
        if self.token and not (self.allow_plaintext_token or is_loopback(address)):
            raise OptionError(
                f"the token would reach {address} in plain text; connect with TLS (--tls or --ca)",
                field="token",
            )
        return None

    def open_channel(self, address: str, options: ChannelOptions = ()) -> grpc.Channel:
        """A connection to a server; errors as of :meth:`channel_credentials`."""
        secure = self.channel_credentials(address)
        if secure is None:
            return grpc.insecure_channel(address, options)
        return grpc.secure_channel(address, secure, options)

    def open_aio_channel(self, address: str, options: ChannelOptions = ()) -> grpc.aio.Channel:
        """The same for asyncio; in an event loop."""
        secure = self.channel_credentials(address)
        if secure is None:
            return grpc.aio.insecure_channel(address, options)
        return grpc.aio.secure_channel(address, secure, options)


def _read(path: Path | None, field_name: str) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise OptionError(
            f"{path} cannot be read: {error.strerror}; give a PEM file", field=field_name
        ) from error
