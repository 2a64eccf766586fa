"""A full inbox stops its writer and drops nothing; a deadline says goodbye first."""

from __future__ import annotations

import asyncio

from asr.errors import ExpiredError, LexituneError
from asr.streaming.messages import Finalize, Goodbye, Limits, Marker
from server import deadlines
from server.deadlines import Deadlines
from server.inbox import Inbox


async def test_audio_that_lies_together_is_joined_and_the_order_kept() -> None:
    inbox = Inbox(1000)
    for message in (b"ab", b"cd", Finalize(), b"ef", Marker(1), None):
        await inbox.put(message)
    assert await inbox.take() == [b"abcd", Finalize(), b"ef", Marker(1), None]


async def test_audio_without_a_sample_is_no_message() -> None:
    inbox = Inbox(1000)
    for message in (b"", b"ab", b"", None):
        await inbox.put(message)
    assert await inbox.take() == [b"ab", None]


async def test_the_writer_waits_until_what_was_taken_is_worked_on() -> None:
    inbox = Inbox(4)
    await inbox.put(b"abcd")
    blocked = asyncio.create_task(inbox.put(b"ef"))
    assert await inbox.take() == [b"abcd"]
    await asyncio.sleep(0)
    assert not blocked.done()
    assert await inbox.take() == [b"ef"]
    await blocked
    assert inbox.received_bytes == 6


async def test_commands_pass_a_full_inbox() -> None:
    inbox = Inbox(1)
    await inbox.put(b"ab")
    await asyncio.wait_for(inbox.put(Finalize()), 1)
    await asyncio.wait_for(inbox.put(None), 1)


async def test_commands_are_bounded_too() -> None:
    inbox, num_taken = Inbox(1), 0
    await inbox.put(b"ab")

    async def write() -> None:
        nonlocal num_taken
        for number in range(10_000):
            await inbox.put(Marker(number))
            num_taken += 1

    writing = asyncio.create_task(write())
    while True:
        before = num_taken
        for _ in range(10):
            await asyncio.sleep(0)
        if num_taken == before:
            break
    assert 900 < num_taken < 1100
    writing.cancel()


class Recorder:
    """What a stream is told."""

    def __init__(self) -> None:
        self.goodbyes: list[Goodbye] = []
        self.error: LexituneError | None = None

    def announce(self, goodbye: Goodbye) -> None:
        self.goodbyes.append(goodbye)

    def end(self, error: LexituneError) -> None:
        self.error = error


async def test_an_idle_stream_hears_goodbye_and_ends() -> None:
    recorder = Recorder()
    await asyncio.wait_for(Deadlines(Limits(idle_s=0.02, max_stream_s=60)).watch(recorder), 5)
    assert [goodbye.reason for goodbye in recorder.goodbyes] == ["IDLE"]
    assert 0 < recorder.goodbyes[0].time_left_s <= 0.02 < deadlines.GOODBYE_NOTICE_S
    assert isinstance(recorder.error, ExpiredError)
    assert recorder.error.reason == "IDLE"


async def test_a_busy_stream_ends_at_its_longest() -> None:
    recorder = Recorder()
    clock = Deadlines(Limits(idle_s=60, max_stream_s=0.02))
    clock.touch()
    await asyncio.wait_for(clock.watch(recorder), 5)
    assert isinstance(recorder.error, ExpiredError)
    assert recorder.error.reason == "MAX_DURATION"
