"""WhisperLive's server (PyPI whisper-live) under paced recordings: starts it and is its client, in its own process.

One model for all clients, int8 on the CPU, VAD on. A display is its completed segments and the open one. Its server
decodes nothing any more once it is told that the audio ends, so the client keeps silent for a while first, as
WhisperLive's own does; there is no final to be measured, and no word is promised.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from importlib import metadata
from pathlib import Path
from typing import Any

from asr.audio.files import read_audio
from asr.units import SAMPLE_RATE_HZ
from benchmarks.measure.latency import Shown, StreamLog
from benchmarks.measure.pacing import schedule
from benchmarks.measure.replay import Request, answer

TAIL_S = 3.0
"""Time that the server has for its last words."""
START_TIMEOUT_S = 90.0
SERVE = """
import sys
from whisper_live.server import TranscriptionServer
TranscriptionServer().run("127.0.0.1", int(sys.argv[1]), backend="faster_whisper",
    faster_whisper_custom_model_path=sys.argv[2], single_model=True, max_clients=1000, max_connection_time=3600)
"""


class Client:
    """Streams to a server on a local port."""

    def __init__(self, port: int, language: str) -> None:
        self._url = f"ws://127.0.0.1:{port}"
        self._language = language

    def run(self, request: Request) -> list[StreamLog]:
        """All streams of a request at the same time."""

        async def together() -> list[StreamLog]:
            return list(await asyncio.gather(*(self._one(request, n) for n in range(len(request.wavs)))))

        return asyncio.run(together())

    async def _one(self, request: Request, number: int) -> StreamLog:
        import websockets

        samples = read_audio(Path(request.wavs[number]))
        log = StreamLog(duration_s=len(samples) / SAMPLE_RATE_HZ)
        chunks = schedule(
            len(samples), seed=request.seed + number, chunk_ms=request.chunk_ms, jitter_s=request.jitter_s
        )
        await asyncio.sleep(request.starts_s[number])
        try:
            async with websockets.connect(self._url, max_size=None, ping_interval=None) as call:
                if not await self._admitted(call, log):
                    return log
                origin = time.monotonic()
                reader = asyncio.create_task(note(call, log, origin))
                for chunk in chunks:
                    await asyncio.sleep(max(0.0, origin + chunk.due_s - time.monotonic()))
                    log.late_s.append(max(0.0, time.monotonic() - origin - chunk.due_s))
                    await call.send(samples[chunk.start : chunk.end].tobytes())
                log.half_close_s = time.monotonic() - origin
                await asyncio.sleep(TAIL_S)
                log.ended_s = time.monotonic() - origin
                reader.cancel()
                await call.send(b"END_OF_AUDIO")
        except (OSError, websockets.exceptions.WebSocketException) as error:
            log.failure = f"{type(error).__name__}: {error}"
        return log

    async def _admitted(self, call: Any, log: StreamLog) -> bool:
        options = {
            "uid": str(uuid.uuid4()), "language": self._language, "task": "transcribe", "model": "custom",
            "use_vad": True,
        }  # fmt: skip
        await call.send(json.dumps(options))
        while True:
            said = json.loads(await call.recv())
            if said.get("message") == "SERVER_READY":
                return True
            if "status" in said:
                log.failure, log.is_refused = f"{said['status']}: {said.get('message')}", True
                return False


async def note(call: Any, log: StreamLog, origin: float) -> None:
    """Log the displays until the connection ends."""
    import websockets

    completed: dict[str, str] = {}
    try:
        async for message in call:
            at_s = time.monotonic() - origin
            if (segments := json.loads(message).get("segments")) is not None:
                words = shown_words(segments, completed)
                log.shown.append(Shown(at_s=at_s, utterance=1, words=words))
    except websockets.exceptions.WebSocketException as error:
        log.failure = f"{type(error).__name__}: {error}"


def shown_words(segments: list[dict[str, Any]], completed: dict[str, str]) -> tuple[str, ...]:
    """What a client displays: all completed segments so far by their start, which ``completed`` keeps, then the open."""
    open_text = ""
    for segment in segments:
        if segment["completed"]:
            completed[segment["start"]] = segment["text"]
        else:
            open_text = segment["text"]
    ordered = [completed[start] for start in sorted(completed, key=float)]
    return tuple(" ".join([*ordered, open_text]).split())


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_until_listening(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    """Return once connections are taken; end the process with the server's last words if they never are."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise SystemExit("whisper-live's server did not start:\n" + log.read_text(errors="replace")[-2000:])


def main() -> None:
    """Start the server, say so, answer, stop it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="CTranslate2 folder")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--language", default="en")
    options = parser.parse_args()
    if importlib.util.find_spec("whisper_live") is None:
        raise SystemExit("whisper-live is not installed; docs/benchmarks.md says how")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the server is stopped on the way out
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "server.log"
        with log.open("wb") as sink:
            environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
            command = [sys.executable, "-c", SERVE, str(port), options.model]
            server = subprocess.Popen(command, stdout=sink, stderr=sink, env=environment)
        try:
            wait_until_listening(port, server, log)
            names = ("whisper-live", "faster-whisper", "ctranslate2", "tokenizers")
            about = {name: metadata.version(name) for name in names}
            answer(about, Client(port, options.language).run)
        finally:
            server.terminate()
            server.wait(20)


if __name__ == "__main__":
    main()
