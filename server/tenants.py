"""Tenants and their tokens: who a bearer token stands for, from a TOML file that is read again when it changes.

Tokens are at rest as SHA-256 of 256 random bits. A slow password hash would add nothing: it makes guessable secrets
dear to guess, and these cannot be guessed. Not for quotas and turns: a ``Caller`` says what they are, others keep them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from asr.errors import OptionError, UnauthenticatedError
from asr.options import read_options, read_toml
from server.caller import Caller, Quotas
from server.reload import Reloaded

TOKEN_PREFIX = "lexi_"  # so that scanners for leaked secrets can know one
TOKEN_BYTES = 32
ALL = "*"
_REMEDY = "send metadata authorization: Bearer TOKEN"
_UNSET = datetime.min


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenOptions:
    """One token of a tenant.

    Attributes:
        sha256: of the token's characters, hexadecimal.
        expires: with an offset; from then on the token is refused.
    """

    sha256: str = field(default="", repr=False)
    expires: datetime = _UNSET

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise OptionError(
                "a token's sha256 is not 64 hexadecimal digits in lower case; make token and hash with lexitune token",
                field="tokens.sha256",
            )
        if self.expires.tzinfo is None:
            raise OptionError(
                "a token has no expires with an offset; give one such as 2027-01-31T00:00:00Z",
                field="tokens.expires",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantOptions:
    """One tenant.

    Attributes:
        tokens: any of them is the tenant's; two at a time let one replace the other.
        models: names of the models that it may use, "*" for all.
        admin: whether it may use the admin listener, and then all models, names and roots.
        quotas: what it may use at most.
        publishes: names under which its adaptations may publish versions and move aliases, "*" for all.
        roots: names of ``jobs.roots`` whose files its jobs may read, "*" for all.
        keep_candidates: its consent to that finals of low confidence are kept with their audio, to be corrected.
    """

    tokens: tuple[TokenOptions, ...] = ()
    models: tuple[str, ...] = ()
    admin: bool = False
    quotas: Quotas = field(default_factory=Quotas)
    publishes: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    keep_candidates: bool = False

    def __post_init__(self) -> None:
        if not self.models and not self.admin:
            raise OptionError(
                f'a tenant has no models; give names of models, or models = ["{ALL}"] for all',
                field="models",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantsFile:
    """The file: tenants by name."""

    tenants: dict[str, TenantOptions] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Grant:
    digest: bytes = field(repr=False)
    expires: datetime
    caller: Caller


class Tenants:
    """The tenants of a server.

    Args:
        path: of the file.
        now: the time, with an offset.

    Raises:
        OptionError: the file cannot be used. Later, a file that cannot be used leaves the tenants as they are.
    """

    def __init__(self, path: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._grants = Reloaded(f"tenants file {path}", [path], lambda: _read_grants(path))

    def authenticate(self, authorizations: Sequence[str]) -> Caller:
        """Whose call it is.

        Every stored hash is compared, each in constant time, so that the answer's time says nothing about them.

        Args:
            authorizations: the values of the call's ``authorization`` metadata.

        Raises:
            UnauthenticatedError: none or several, not a bearer token, not known, or expired.
        """
        if (
            len(distinct := set(authorizations)) != 1
        ):  # the stock Riva client sends the same one twice over TLS
            raise UnauthenticatedError(
                f"{len(distinct) or 'no'} authorization given; {_REMEDY}", reason="TOKEN_MISSING"
            )
        scheme, _, token = authorizations[0].partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise UnauthenticatedError(
                f"the authorization is no bearer token; {_REMEDY}", reason="TOKEN_MISSING"
            )
        digest = bytes.fromhex(hash_token(token.strip()))
        found: _Grant | None = None
        for grant in self._grants.current():
            if hmac.compare_digest(grant.digest, digest):
                found = grant
        if found is None:
            raise UnauthenticatedError(
                "the token is not known; ask who runs the server for one", reason="TOKEN_UNKNOWN"
            )
        if found.expires <= self._now():
            raise UnauthenticatedError(
                f"the token expired at {found.expires.isoformat()}; ask who runs the server for a new one",
                reason="TOKEN_EXPIRED",
            )
        return found.caller


def make_token() -> str:
    """A new token; keep its hash and give the token away."""
    return TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def hash_token(token: str) -> str:
    """What is kept of a token: SHA-256, hexadecimal."""
    return hashlib.sha256(token.encode()).hexdigest()


def _read_grants(path: Path) -> tuple[_Grant, ...]:
    try:
        tenants = read_options(TenantsFile, read_toml(path)).tenants
    except OptionError as error:
        # A value of a token's table may be a token, in the wrong place: it is not repeated.
        is_secret = "tokens" in error.field and ".tokens" in str(error)
        reason = (
            f"{error.field} has a wrong key or type; a token has sha256 and expires" if is_secret else error
        )
        raise OptionError(f"the tenants file {path}: {reason}", field=error.field) from None
    if not tenants:
        raise OptionError(f"the tenants file {path} names no tenant; add [tenants.NAME]", field="tenants")
    grants = tuple(
        _Grant(digest=bytes.fromhex(token.sha256), expires=token.expires, caller=_caller(name, tenant))
        for name, tenant in tenants.items()
        for token in tenant.tokens
    )
    if len({grant.digest for grant in grants}) < len(grants):
        raise OptionError(
            f"the tenants file {path} has one token twice; give each tenant its own", field="tenants"
        )
    return grants


def _caller(name: str, tenant: TenantOptions) -> Caller:
    def allowed(names: tuple[str, ...]) -> frozenset[str] | None:
        return None if tenant.admin or ALL in names else frozenset(names)

    return Caller(
        name=name,
        models=allowed(tenant.models),
        is_admin=tenant.admin,
        quotas=tenant.quotas,
        publishes=allowed(tenant.publishes),
        roots=allowed(tenant.roots),
        keeps_candidates=tenant.keep_candidates,
    )
