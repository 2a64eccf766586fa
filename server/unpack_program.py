"""The program that decodes one untrusted compressed stream: bytes in on stdin, samples out on stdout.

Started by ``server.unpacking``, one for each stream, under limits of memory and processor time, so that a crash or a bomb
in native code costs that stream alone. It asks for bytes when it has used up those it has; so what was sent before a mark
is known to be decoded. Frames both ways: a length of 4 bytes, and to the server a kind of 1 byte in front.
"""

from __future__ import annotations

import contextlib
import json
import resource
import struct
import sys
from dataclasses import asdict
from typing import BinaryIO

MAX_MEMORY_BYTES = 512 << 20
CPU_SHARE = 0.05  # of the audio's length, which is many times what FLAC and Opus take
CPU_START_S = 20.0

FORMAT, SAMPLES, MORE, END, ERROR = b"F", b"P", b"M", b"E", b"X"
_LENGTH = struct.Struct("<I")


def run(container: str, max_s: float, source: BinaryIO, sink: BinaryIO) -> None:
    """Decode ``source`` to ``sink`` until it ends; an empty frame ends it."""
    from asr.audio.containers import Container, decoded
    from asr.audio.pcm import PcmFormat
    from asr.errors import AudioError

    def send(kind: bytes, payload: bytes = b"") -> None:
        sink.write(kind + _LENGTH.pack(len(payload)) + payload)

    def more() -> bytes:
        send(MORE)
        sink.flush()
        head = source.read(_LENGTH.size)
        if len(head) < _LENGTH.size:
            raise SystemExit(0)  # the server has gone
        return source.read(*_LENGTH.unpack(head))

    def began(found: PcmFormat) -> None:
        send(FORMAT, json.dumps(asdict(found)).encode())

    try:
        for samples in decoded(Container(container), more, max_s=max_s, began=began):
            send(SAMPLES, samples)
        send(END)
    except AudioError as error:
        send(ERROR, str(error).encode())
    sink.flush()


def main() -> None:
    """Decode stdin: arguments are the container and the most seconds that may come out."""
    container, max_s = sys.argv[1], float(sys.argv[2])
    cpu_s = int(CPU_START_S + CPU_SHARE * max_s)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        run(container, max_s, sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
