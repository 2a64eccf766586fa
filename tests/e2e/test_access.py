"""Each RPC of each listener with no, a bad, an expired, another tenant's and a good credential, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_status import rpc_status

from asr.riva.v1 import riva_pb2
from asr.v1 import (
    adaptation_pb2,
    batch_pb2,
    corrections_pb2,
    models_pb2,
    phrases_pb2,
    speech_pb2,
    uploads_pb2,
)
from server.config import ServerConfig

OK, DENIED, UNKNOWN_CALLER = (
    grpc.StatusCode.OK,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
)
CREDENTIALS = ("none", "bad", "expired", "other", "good")
NOBODY = (UNKNOWN_CALLER,) * 3

SPEECH, MODELS, PHRASES = "/asr.v1.Speech", "/asr.v1.Models", "/asr.v1.PhraseSets"
CORRECTIONS = "/asr.v1.Corrections"
BATCH, ADAPTATION, UPLOADS = "/asr.v1.Batch", "/asr.v1.Adaptation", "/asr.v1.Uploads"
RIVA = "/nvidia.riva.asr.RivaSpeechRecognition"
HEALTH, REFLECTION = "/grpc.health.v1.Health", "/grpc.reflection.v1alpha.ServerReflection"

CONFIG = speech_pb2.RecognitionConfig(
    model="tiny.en",
    audio=speech_pb2.AudioConfig(encoding=speech_pb2.AUDIO_ENCODING_LINEAR16, sample_rate_hz=16_000),
)
RIVA_CONFIG = riva_pb2.RecognitionConfig(model="tiny.en", sample_rate_hertz=16_000)
NO_SET = (*NOBODY, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.NOT_FOUND)  # sets are each tenant's own
NO_JOB = NO_SET  # as are jobs and uploads
DRINKS = phrases_pb2.PhraseSet(name="drinks", phrases=[phrases_pb2.Phrase(text="oat milk")])
NOTHING = phrases_pb2.PhraseSet(name="nothing", phrases=[phrases_pb2.Phrase(text="oat milk")])
NO_UPLOAD = batch_pb2.CreateBatchJobRequest(
    request_id="one",
    model="tiny.en",
    recordings=[batch_pb2.BatchRecording(file=uploads_pb2.InputFile(upload_id="nothing"))],
)
NOT_OURS = adaptation_pb2.CreateAdaptationJobRequest(request_id="one", name="orders")
LISTED = reflection_pb2.ServerReflectionRequest(list_services="")


@dataclass(frozen=True)
class Rpc:
    """An RPC, what to send it, and the status for each of CREDENTIALS."""

    path: str
    request: Message
    expected: tuple[grpc.StatusCode, ...]
    is_stream: bool = False


PUBLIC = (
    Rpc(f"{HEALTH}/Check", health_pb2.HealthCheckRequest(), (OK,) * 5),
    Rpc(f"{HEALTH}/Watch", health_pb2.HealthCheckRequest(), (OK,) * 5, is_stream=True),
    Rpc(f"{REFLECTION}/ServerReflectionInfo", LISTED, (*NOBODY, OK, OK), is_stream=True),
    Rpc(f"{SPEECH}/Recognize", speech_pb2.RecognizeRequest(config=CONFIG), (*NOBODY, DENIED, OK)),
    Rpc(
        f"{SPEECH}/StreamingRecognize",
        speech_pb2.StreamingRecognizeRequest(config=CONFIG),
        (*NOBODY, DENIED, OK),
        is_stream=True,
    ),
    Rpc(f"{MODELS}/ListModels", models_pb2.ListModelsRequest(), (*NOBODY, OK, OK)),
    Rpc(f"{MODELS}/GetModel", models_pb2.GetModelRequest(name="tiny.en"), (*NOBODY, DENIED, OK)),
    Rpc(f"{MODELS}/SetAlias", models_pb2.SetAliasRequest(name="tiny.en"), (*NOBODY, DENIED, DENIED)),
    Rpc(f"{MODELS}/LoadModel", models_pb2.LoadModelRequest(model="tiny.en"), (*NOBODY, DENIED, DENIED)),
    Rpc(f"{MODELS}/UnloadModel", models_pb2.UnloadModelRequest(model="tiny.en"), (*NOBODY, DENIED, DENIED)),
    Rpc(
        f"{PHRASES}/CreatePhraseSet",
        phrases_pb2.CreatePhraseSetRequest(phrase_set=DRINKS),
        (*NOBODY, OK, OK),
    ),
    Rpc(f"{PHRASES}/ListPhraseSets", phrases_pb2.ListPhraseSetsRequest(), (*NOBODY, OK, OK)),
    Rpc(f"{PHRASES}/GetPhraseSet", phrases_pb2.GetPhraseSetRequest(name="nothing"), NO_SET),
    Rpc(
        f"{PHRASES}/UpdatePhraseSet",
        phrases_pb2.UpdatePhraseSetRequest(phrase_set=NOTHING),
        NO_SET,
    ),
    Rpc(f"{PHRASES}/DeletePhraseSet", phrases_pb2.DeletePhraseSetRequest(name="nothing"), NO_SET),
    Rpc(
        f"{UPLOADS}/UploadFile",
        uploads_pb2.UploadFileRequest(spec=uploads_pb2.UploadSpec(name="a.wav", size_bytes=1)),
        (*NOBODY, *[grpc.StatusCode.INVALID_ARGUMENT] * 2),  # the byte does not come
        is_stream=True,
    ),
    Rpc(f"{UPLOADS}/ListUploads", uploads_pb2.ListUploadsRequest(), (*NOBODY, OK, OK)),
    Rpc(f"{UPLOADS}/DeleteUpload", uploads_pb2.DeleteUploadRequest(id="nothing"), NO_JOB),
    Rpc(f"{CORRECTIONS}/ListCandidates", corrections_pb2.ListCandidatesRequest(), (*NOBODY, OK, OK)),
    Rpc(
        f"{CORRECTIONS}/GetCandidateAudio",
        corrections_pb2.GetCandidateAudioRequest(id="nothing"),
        NO_JOB,
        is_stream=True,
    ),
    Rpc(f"{CORRECTIONS}/CorrectCandidate", corrections_pb2.CorrectCandidateRequest(id="nothing"), NO_JOB),
    Rpc(f"{CORRECTIONS}/RejectCandidate", corrections_pb2.RejectCandidateRequest(id="nothing"), NO_JOB),
    Rpc(
        f"{CORRECTIONS}/DeleteCandidates",
        corrections_pb2.DeleteCandidatesRequest(ids=["nothing"]),
        (*NOBODY, OK, OK),  # there is none already
    ),
    Rpc(f"{BATCH}/CreateBatchJob", NO_UPLOAD, (*NOBODY, DENIED, grpc.StatusCode.NOT_FOUND)),
    Rpc(f"{BATCH}/GetBatchJob", batch_pb2.GetBatchJobRequest(id="nothing"), NO_JOB),
    Rpc(f"{BATCH}/ListBatchJobs", batch_pb2.ListBatchJobsRequest(), (*NOBODY, OK, OK)),
    Rpc(f"{BATCH}/CancelBatchJob", batch_pb2.CancelBatchJobRequest(id="nothing"), NO_JOB),
    Rpc(f"{BATCH}/DeleteBatchJob", batch_pb2.DeleteBatchJobRequest(id="nothing"), NO_JOB),
    Rpc(f"{BATCH}/WatchBatchJob", batch_pb2.WatchBatchJobRequest(id="nothing"), NO_JOB, is_stream=True),
    Rpc(f"{BATCH}/ListBatchResults", batch_pb2.ListBatchResultsRequest(id="nothing"), NO_JOB),
    # without `publishes` nobody but an administrator adapts
    Rpc(f"{ADAPTATION}/CreateAdaptationJob", NOT_OURS, (*NOBODY, DENIED, DENIED)),
    Rpc(f"{ADAPTATION}/GetAdaptationJob", adaptation_pb2.GetAdaptationJobRequest(id="nothing"), NO_JOB),
    Rpc(f"{ADAPTATION}/ListAdaptationJobs", adaptation_pb2.ListAdaptationJobsRequest(), (*NOBODY, OK, OK)),
    Rpc(f"{ADAPTATION}/CancelAdaptationJob", adaptation_pb2.CancelAdaptationJobRequest(id="nothing"), NO_JOB),
    Rpc(f"{ADAPTATION}/DeleteAdaptationJob", adaptation_pb2.DeleteAdaptationJobRequest(id="nothing"), NO_JOB),
    Rpc(
        f"{ADAPTATION}/WatchAdaptationJob",
        adaptation_pb2.WatchAdaptationJobRequest(id="nothing"),
        NO_JOB,
        is_stream=True,
    ),
    Rpc(f"{RIVA}/Recognize", riva_pb2.RecognizeRequest(config=RIVA_CONFIG), (*NOBODY, DENIED, OK)),
    Rpc(
        f"{RIVA}/StreamingRecognize",
        riva_pb2.StreamingRecognizeRequest(
            streaming_config=riva_pb2.StreamingRecognitionConfig(config=RIVA_CONFIG)
        ),
        (*NOBODY, DENIED, OK),
        is_stream=True,
    ),
    Rpc(
        f"{RIVA}/GetRivaSpeechRecognitionConfig",
        riva_pb2.RivaSpeechRecognitionConfigRequest(),
        (*NOBODY, OK, OK),
    ),
)
ADMIN = (  # "other" is a tenant that is no administrator, "good" one that is
    Rpc(f"{HEALTH}/Check", health_pb2.HealthCheckRequest(), (OK,) * 5),
    Rpc(f"{HEALTH}/Watch", health_pb2.HealthCheckRequest(), (OK,) * 5, is_stream=True),
    Rpc(f"{REFLECTION}/ServerReflectionInfo", LISTED, (*NOBODY, DENIED, OK), is_stream=True),
    Rpc(f"{MODELS}/ListModels", models_pb2.ListModelsRequest(), (*NOBODY, DENIED, OK)),
    Rpc(f"{MODELS}/GetModel", models_pb2.GetModelRequest(name="tiny.en"), (*NOBODY, DENIED, OK)),
    Rpc(
        f"{MODELS}/SetAlias",
        models_pb2.SetAliasRequest(name="nothing", alias="production", version="1"),
        (*NOBODY, DENIED, grpc.StatusCode.NOT_FOUND),
    ),
    Rpc(f"{MODELS}/LoadModel", models_pb2.LoadModelRequest(model="tiny.en"), (*NOBODY, DENIED, OK)),
    Rpc(f"{MODELS}/UnloadModel", models_pb2.UnloadModelRequest(model="tiny.en"), (*NOBODY, DENIED, OK)),
)


@pytest.fixture(scope="module")
def tenanted(
    running_server: Any, tenants_writer: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Any, dict[str, str]]]:
    """A server with tenants, everything mounted; and their tokens."""
    path = tmp_path_factory.mktemp("tenants") / "tenants.toml"
    tokens = tenants_writer(
        path, {"clinic": 'models = ["tiny.en"]', "shop": 'models = ["orders"]', "operations": "admin = true"}
    )
    config = ServerConfig(
        address="127.0.0.1:0",
        admin_address="127.0.0.1:0",
        decode_workers=1,
        tenants=str(path),
        reflection=True,
        riva_models={"conformer": "tiny.en"},
    )
    with running_server(config) as server:
        yield server, tokens


def _metadata(token: str | None) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),) if token else ()


def _call(address: str, rpc: Rpc, token: str | None) -> tuple[grpc.StatusCode, Any, bytes]:
    """Status, error and first answer of one call with raw bytes; a watch is left after its first answer."""
    with grpc.insecure_channel(address) as channel:
        request, metadata = rpc.request.SerializeToString(), _metadata(token)
        try:
            if not rpc.is_stream:
                return OK, None, channel.unary_unary(rpc.path)(request, metadata=metadata, timeout=30)
            answers = channel.stream_stream(rpc.path)(iter([request]), metadata=metadata, timeout=30)
            first = next(iter(answers), b"")
            if not rpc.path.endswith("/Watch"):
                list(answers)
            return OK, None, first
        except grpc.RpcError as error:
            return error.code(), error, b""


@pytest.mark.parametrize("credential", CREDENTIALS)
@pytest.mark.parametrize(
    ("listener", "rpc"),
    [
        pytest.param(name, rpc, id=f"{name} {rpc.path}")
        for name, rpcs in (("public", PUBLIC), ("admin", ADMIN))
        for rpc in rpcs
    ],
)
def test_who_may_call_what(
    tenanted: tuple[Any, dict[str, str]], listener: str, rpc: Rpc, credential: str
) -> None:
    server, tokens = tenanted
    good = {"public": "clinic", "admin": "operations"}[listener]
    other = {"public": "shop", "admin": "clinic"}[listener]
    token = {
        "none": None,
        "bad": tokens["clinic"] + "x",
        "expired": tokens["expired"],
        "other": tokens[other],
        "good": tokens[good],
    }[credential]
    address = server.address if listener == "public" else server.application.admin_address
    code, error, _ = _call(address, rpc, token)
    assert code is rpc.expected[CREDENTIALS.index(credential)], error
    if error is not None:
        assert not any(one in str(error) for one in tokens.values())
    if code is UNKNOWN_CALLER:
        status: Any = rpc_status.from_call(error)
        info = error_details_pb2.ErrorInfo()
        assert any(detail.Unpack(info) for detail in status.details)
        reasons = {"none": "TOKEN_MISSING", "bad": "TOKEN_UNKNOWN", "expired": "TOKEN_EXPIRED"}
        assert info.reason == reasons[credential]


def test_the_table_is_complete(tenanted: tuple[Any, dict[str, str]]) -> None:
    public, admin = tenanted[0].application.listeners
    assert public.mounted == {rpc.path for rpc in PUBLIC}
    assert admin.mounted == {rpc.path for rpc in ADMIN}


def test_a_tenant_sees_its_own_models_only(tenanted: tuple[Any, dict[str, str]]) -> None:
    server, tokens = tenanted
    by_path = {rpc.path: rpc for rpc in PUBLIC}
    names = {}
    for tenant in ("clinic", "shop", "operations"):
        ours = _call(server.address, by_path[f"{MODELS}/ListModels"], tokens[tenant])[2]
        rivas = _call(server.address, by_path[f"{RIVA}/GetRivaSpeechRecognitionConfig"], tokens[tenant])[2]
        configs = riva_pb2.RivaSpeechRecognitionConfigResponse.FromString(rivas).model_config
        listed = {model.name for model in models_pb2.ListModelsResponse.FromString(ours).models}
        names[tenant] = ("tiny.en" in listed, {one.model_name for one in configs})
    assert names == {
        "clinic": (True, {"tiny.en", "conformer"}),
        "shop": (False, set()),
        "operations": (True, {"tiny.en", "conformer"}),
    }


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("", DENIED),  # the server's default is another tenant's
        ("tiny.en", DENIED),
        ("tiny.en@bundled", DENIED),
        ("bundled:tiny.en", DENIED),
        ("models:/tiny.en/1", DENIED),
        ("nothing", DENIED),  # not there: the answer is the same
        ("orders", grpc.StatusCode.NOT_FOUND),
        ("../tiny.en", grpc.StatusCode.NOT_FOUND),
    ],
)
def test_no_spelling_reaches_another_tenants_model_or_tells_of_it(
    tenanted: tuple[Any, dict[str, str]], model: str, code: grpc.StatusCode
) -> None:
    server, tokens = tenanted
    config = speech_pb2.RecognitionConfig(model=model, audio=CONFIG.audio)
    rpc = Rpc(f"{SPEECH}/Recognize", speech_pb2.RecognizeRequest(config=config), ())
    found, error, _ = _call(server.address, rpc, tokens["shop"])
    assert found is code
    assert "tiny.en" not in error.details().replace(repr(model), "")
