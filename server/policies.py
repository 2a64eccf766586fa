"""The policy of every RPC on every listener. What is mounted and not named here stops the server's start.

A table and nothing else: ``server.guard`` enforces it, ``server.listener`` compares it with what is mounted.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType


class Policy(enum.Enum):
    """Who may use an RPC."""

    PUBLIC = "public"
    """Anybody who reaches the listener."""
    AUTHENTICATED = "authenticated"
    """Any tenant; on a server without tenants anybody."""
    ADMIN = "admin"
    """A tenant with ``admin = true``; on a server without tenants anybody."""
    REFUSED = "refused"
    """Nobody: an administrative method, on a listener where it is never served."""


Policies = Mapping[str, Policy]
"""By path, ``/package.Service/Method``."""

# Load balancers ask without a credential. List is of newer releases of grpcio-health-checking.
_HEALTH = dict.fromkeys(
    (f"/grpc.health.v1.Health/{method}" for method in ("Check", "List", "Watch")), Policy.PUBLIC
)
_REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

PUBLIC_LISTENER: Policies = MappingProxyType(
    _HEALTH
    | {
        _REFLECTION: Policy.AUTHENTICATED,
        "/asr.v1.Speech/Recognize": Policy.AUTHENTICATED,
        "/asr.v1.Speech/StreamingRecognize": Policy.AUTHENTICATED,
        "/asr.v1.Models/ListModels": Policy.AUTHENTICATED,
        "/asr.v1.Models/GetModel": Policy.AUTHENTICATED,
        "/asr.v1.Models/SetAlias": Policy.REFUSED,
        "/asr.v1.Models/LoadModel": Policy.REFUSED,
        "/asr.v1.Models/UnloadModel": Policy.REFUSED,
        "/asr.v1.PhraseSets/CreatePhraseSet": Policy.AUTHENTICATED,
        "/asr.v1.PhraseSets/GetPhraseSet": Policy.AUTHENTICATED,
        "/asr.v1.PhraseSets/ListPhraseSets": Policy.AUTHENTICATED,
        "/asr.v1.PhraseSets/UpdatePhraseSet": Policy.AUTHENTICATED,
        "/asr.v1.PhraseSets/DeletePhraseSet": Policy.AUTHENTICATED,
        "/asr.v1.Corrections/ListCandidates": Policy.AUTHENTICATED,
        "/asr.v1.Corrections/GetCandidateAudio": Policy.AUTHENTICATED,
        "/asr.v1.Corrections/CorrectCandidate": Policy.AUTHENTICATED,
        "/asr.v1.Corrections/RejectCandidate": Policy.AUTHENTICATED,
        "/asr.v1.Corrections/DeleteCandidates": Policy.AUTHENTICATED,
        "/asr.v1.Uploads/UploadFile": Policy.AUTHENTICATED,
        "/asr.v1.Uploads/ListUploads": Policy.AUTHENTICATED,
        "/asr.v1.Uploads/DeleteUpload": Policy.AUTHENTICATED,
        "/asr.v1.Batch/CreateBatchJob": Policy.AUTHENTICATED,
        "/asr.v1.Batch/GetBatchJob": Policy.AUTHENTICATED,
        "/asr.v1.Batch/ListBatchJobs": Policy.AUTHENTICATED,
        "/asr.v1.Batch/CancelBatchJob": Policy.AUTHENTICATED,
        "/asr.v1.Batch/DeleteBatchJob": Policy.AUTHENTICATED,
        "/asr.v1.Batch/WatchBatchJob": Policy.AUTHENTICATED,
        "/asr.v1.Batch/ListBatchResults": Policy.AUTHENTICATED,
        "/asr.v1.Adaptation/CreateAdaptationJob": Policy.AUTHENTICATED,
        "/asr.v1.Adaptation/GetAdaptationJob": Policy.AUTHENTICATED,
        "/asr.v1.Adaptation/ListAdaptationJobs": Policy.AUTHENTICATED,
        "/asr.v1.Adaptation/CancelAdaptationJob": Policy.AUTHENTICATED,
        "/asr.v1.Adaptation/DeleteAdaptationJob": Policy.AUTHENTICATED,
        "/asr.v1.Adaptation/WatchAdaptationJob": Policy.AUTHENTICATED,
        "/nvidia.riva.asr.RivaSpeechRecognition/Recognize": Policy.AUTHENTICATED,
        "/nvidia.riva.asr.RivaSpeechRecognition/StreamingRecognize": Policy.AUTHENTICATED,
        "/nvidia.riva.asr.RivaSpeechRecognition/GetRivaSpeechRecognitionConfig": Policy.AUTHENTICATED,
    }
)
"""Of ``address``."""

READ_WHOLE = frozenset({"/asr.v1.Speech/Recognize", "/nvidia.riva.asr.RivaSpeechRecognition/Recognize"})
"""Whose requests are recordings: gRPC reads all of them before it runs the method."""

ADMIN_LISTENER: Policies = MappingProxyType(
    _HEALTH
    | {
        _REFLECTION: Policy.ADMIN,
        "/asr.v1.Models/ListModels": Policy.ADMIN,
        "/asr.v1.Models/GetModel": Policy.ADMIN,
        "/asr.v1.Models/SetAlias": Policy.ADMIN,
        "/asr.v1.Models/LoadModel": Policy.ADMIN,
        "/asr.v1.Models/UnloadModel": Policy.ADMIN,
    }
)
"""Of ``admin_address``."""
