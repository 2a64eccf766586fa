"""What a server is started with: a TOML file, the environment over it and flags over both, as one frozen value.

Not for what a client may ask for: that is ``asr.streaming.messages.StreamConfig``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from asr.errors import OptionError
from asr.models.base import MAX_BEAM_SIZE
from asr.network import is_loopback
from asr.options import (
    SECRET,
    leaf_names,
    merge_tables,
    read_environment,
    read_options,
    read_toml,
    show_options,
)
from asr.streaming.messages import Limits
from server.candidates.options import CandidatesOptions
from server.certificates import TlsOptions
from server.jobs.options import JobsOptions
from server.logs import FORMATS, LEVELS

DEFAULT_ADDRESS = "127.0.0.1:50051"
DEFAULT_MODEL = "bundled:tiny.en"
ENVIRONMENT_PREFIX = "LEXITUNE_SERVER_"
CONFIG_VARIABLE = "LEXITUNE_SERVER_CONFIG"  # the file's path, where no flag gives it


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerConfig:
    """Options of a server.

    Attributes:
        models: references loaded at the start; the first is the default. Bundled ones, directories and hub
            ids can be used only if they are here; registered ones can be named by any client.
        address: HOST:PORT to listen on; port 0 lets the system choose.
        engine: "ctranslate2" or "torch".
        device: "cpu" or "cuda".
        decode_workers: processes that decode; 0 is one for each usable core, or one on a GPU.
        beam_size: of final results; interim ones are greedy.
        max_models: model versions in memory at once; at least as many as ``models``.
        max_model_memory_mb: memory of all model versions in all workers, MiB; idle ones are let go of beyond it. 0 sets
            no limit.
        max_waiting_decodes: decodings that may wait before new ones are refused.
        admin_address: HOST:PORT of the listener with the administrative methods; "" for none.
        tenants: TOML file of tenants and their tokens, read again when it changes; "" lets everybody in.
        allow_plaintext_tokens: whether tokens may come over a network without TLS, e.g. where a proxy ends it.
        reflection: whether listeners describe their services, for development.
        drain_grace_s: time that open streams have after SIGTERM.
        metrics_address: HOST:PORT of /metrics, /healthz and /readyz over HTTP; "" listens on none.
        trace_endpoint: of an OpenTelemetry collector, OTLP over HTTP; "" makes no traces.
        log_level: "debug", "info" (a line for each RPC), "warning" or "error"; never transcripts.
        log_format: "text", or "json" for one object a line.
        riva_models: selectors by the names that clients of Riva write, e.g. {"conformer-en-US": "orders@production"}.
        limits: what one client may use.
        tls: certificates of all listeners.
        jobs: where batch and adaptation jobs are kept, and their limits; the same for ``lexitune worker``.
        candidates: finals of low confidence that are kept to be corrected, where there is consent.
    """

    models: tuple[str, ...] = (DEFAULT_MODEL,)
    address: str = DEFAULT_ADDRESS
    engine: str = "ctranslate2"
    device: str = "cpu"
    decode_workers: int = 0
    beam_size: int = 5
    max_models: int = 4
    max_model_memory_mb: int = 0
    max_waiting_decodes: int = 1000
    admin_address: str = ""
    tenants: str = ""
    allow_plaintext_tokens: bool = False
    reflection: bool = False
    drain_grace_s: float = 30.0
    metrics_address: str = ""
    trace_endpoint: str = field(default="", metadata=SECRET)  # a URL may hold a password
    log_level: str = "warning"
    log_format: str = "text"
    riva_models: dict[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    tls: TlsOptions = field(default_factory=TlsOptions)
    jobs: JobsOptions = field(default_factory=JobsOptions)
    candidates: CandidatesOptions = field(default_factory=CandidatesOptions)

    def __post_init__(self) -> None:
        if not self.models:
            raise OptionError(f"no model to serve; give at least one, e.g. {DEFAULT_MODEL}", field="models")
        ranges: dict[str, tuple[float, float]] = {
            "decode_workers": (0, 256),
            "beam_size": (1, MAX_BEAM_SIZE),
            "max_models": (1, 1000),
            "max_model_memory_mb": (0, 1 << 24),
            "max_waiting_decodes": (1, 1_000_000),
            "drain_grace_s": (0, 3600),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise OptionError(f"{name} is {value:g}; give {low:g} to {high:g}", field=name)
        choices = {"log_level": LEVELS, "log_format": FORMATS}
        for name, known in choices.items():
            if (value := getattr(self, name)) not in known:
                raise OptionError(f"{name} is {value!r}; give one of {', '.join(known)}", field=name)
        if (num_models := len(set(self.models))) > self.max_models:
            raise OptionError(
                f"{num_models} models to serve, and max_models is {self.max_models}; raise max_models to "
                f"{num_models} or more, or give fewer models",
                field="models",
            )
        self._check_exposure()
        self._check_consent()

    @property
    def accepts_adaptation(self) -> bool:
        """Whether adaptation jobs are taken: not from everybody on a network, who could publish models here."""
        return self.jobs.allow_adaptation and bool(self.tenants or is_loopback(self.address))

    def _check_consent(self) -> None:
        """Refuse to keep what is said without those who say it, and where everybody could listen to it."""
        if self.candidates.enabled and self.tenants:
            raise OptionError(
                "candidates.enabled is true, and with tenants each consents for itself; leave it out, and give tenants "
                "keep_candidates = true in the tenants file",
                field="candidates.enabled",
            )
        if self.candidates.enabled and not is_loopback(self.address):
            raise OptionError(
                f"candidates.enabled is true, and without tenants everybody who reaches {self.address} could listen to "
                "what others said; give tenants, or an address of this machine's alone",
                field="candidates.enabled",
            )

    def _check_exposure(self) -> None:
        """Refuse secrets in plain text on a network, and administration for everybody on it."""
        addresses = {"address": self.address, "admin_address": self.admin_address}
        exposed = {name: one for name, one in addresses.items() if one and not is_loopback(one)}
        if "admin_address" in exposed and not self.tenants:
            raise OptionError(
                f"admin_address {self.admin_address} can be reached by others, and without tenants everybody is an "
                "administrator; give 127.0.0.1:PORT, or tenants of which one has admin = true",
                field="admin_address",
            )
        if exposed and self.tenants and not (self.tls.is_on or self.allow_plaintext_tokens):
            name, address = next(iter(exposed.items()))
            raise OptionError(
                f"{name} {address} can be reached by others, and tokens would cross the network in plain text; give "
                "tls.certificate and tls.private_key, or allow_plaintext_tokens = true where a proxy ends TLS",
                field="allow_plaintext_tokens",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedConfig:
    """Options, and where each that was given comes from, by its dotted name."""

    config: ServerConfig
    origins: dict[str, str]

    def lines(self) -> list[str]:
        """All of it as TOML, with the origins; a secret is not shown."""
        shown = show_options(self.config)
        return [
            f"{name} = {value}" + (f"  # {self.origins[name]}" if name in self.origins else "")
            for name, value in shown.items()
        ]


def load_layers(
    path: Path | None, overrides: Mapping[str, object], environment: Mapping[str, str]
) -> LoadedConfig:
    """Read a TOML file, if any, put the variables over it, and over both the ``overrides`` that are not None.

    Args:
        path: of the file; else that of the variable ``LEXITUNE_SERVER_CONFIG``.
        overrides: flags by name.
        environment: its variables ``LEXITUNE_SERVER_...`` are used.

    Raises:
        OptionError: the file cannot be read, or a key, a variable or a value is wrong; the message lists the known ones.
    """
    variables = dict(environment)
    named = variables.pop(CONFIG_VARIABLE, "")
    path = path or (Path(named) if named else None)
    layers: list[tuple[str, Mapping[str, object]]] = [
        (str(path), {} if path is None else read_toml(path)),
        ("environment", read_environment(ServerConfig, variables, ENVIRONMENT_PREFIX)),
        ("flag", {name: value for name, value in overrides.items() if value is not None}),
    ]
    table: dict[str, object] = {}
    origins: dict[str, str] = {}
    for origin, layer in layers:
        table = merge_tables(table, layer)
        origins |= dict.fromkeys(leaf_names(ServerConfig, layer), origin)
    return LoadedConfig(config=read_options(ServerConfig, table), origins=origins)


def load_config(path: Path | None, overrides: Mapping[str, object]) -> ServerConfig:
    """As :func:`load_layers`, without the environment.

    Raises:
        OptionError: the file cannot be read, or a key or a value is wrong; the message lists the known keys.
    """
    return load_layers(path, overrides, {}).config
