"""Tenants that say different things at the same time, in mixed batches: does one of them get what another said?

The show ``voices`` of ``benchmarks/faults.py``.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.measure.abuse import Samples, cut
from benchmarks.measure.scrape import num_batches

if TYPE_CHECKING:
    from asr.client import AsyncSpeechClient
    from asr.data.manifest import Utterance
    from benchmarks.measure.server_process import ServerProcess

STREAMS_OF_A_TENANT = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Tenant:
    """One of those who speak, on a connection of its own with a token of its own.

    Attributes:
        client: its connection.
        recordings: what it says, (T,) each.
        texts: what the server makes of each while nobody else speaks.
    """

    client: AsyncSpeechClient
    recordings: Sequence[Samples]
    texts: Sequence[str]

    @property
    def vocabulary(self) -> set[str]:
        """All words of its texts."""
        return {word for text in self.texts for word in _words(text)}

    async def speak(self, foreign: set[str], first: int, until_s: float) -> Counter[str]:
        """One stream after the other: what they said, against ``texts`` and the words that only others say."""
        counts: Counter[str] = Counter()
        place = first
        while time.monotonic() < until_s:
            place = (place + 1) % len(self.recordings)
            text = await _streamed(self.client, self.recordings[place])
            counts["utterances"] += 1
            counts["as_alone"] += text == self.texts[place]
            counts["words"] += len(_words(text))
            counts["foreign_words"] += sum(word in foreign for word in _words(text))
        return counts


async def voices(
    server: ServerProcess, rows: Sequence[Utterance], recordings: Sequence[Samples], options: Any
) -> dict[str, Any]:
    """What tenants get while all speak at once, compared with what their utterances give alone."""
    from asr.client import AsyncSpeechClient, Credentials

    groups = _by_terms(rows, recordings, len(options.tokens))
    tenants: list[Tenant] = []
    async with AsyncExitStack() as stack:
        for token, group in zip(options.tokens.values(), groups, strict=False):
            client = await stack.enter_async_context(
                AsyncSpeechClient(server.address, Credentials(token=token))
            )
            await client.wait_until_serving()
            texts = [(await client.recognize(samples)).text for samples in group]
            tenants.append(Tenant(client=client, recordings=group, texts=texts))
        vocabularies = [tenant.vocabulary for tenant in tenants]
        foreign = [
            set().union(*vocabularies[:place], *vocabularies[place + 1 :]) - own
            for place, own in enumerate(vocabularies)
        ]
        before = await asyncio.to_thread(num_batches, options.metrics, above=STREAMS_OF_A_TENANT)
        until_s = time.monotonic() + 60 * options.minutes
        counts = await asyncio.gather(
            *(
                tenant.speak(foreign[place], first, until_s)
                for place, tenant in enumerate(tenants)
                for first in range(STREAMS_OF_A_TENANT)
            )
        )
        after = await asyncio.to_thread(num_batches, options.metrics, above=STREAMS_OF_A_TENANT)
    return {
        "tenants": len(tenants),
        "utterances_of_each": [len(tenant.texts) for tenant in tenants],
        "minutes": options.minutes,
        **{
            name: sum(count[name] for count in counts)
            for name in ("utterances", "as_alone", "words", "foreign_words")
        },
        "batches": after[0] - before[0],
        f"batches_of_more_than_{STREAMS_OF_A_TENANT}": after[1] - before[1],  # more than a tenant has streams
    }


def _by_terms(rows: Sequence[Utterance], recordings: Sequence[Samples], groups: int) -> list[list[Samples]]:
    """Recordings in groups of which no two share a term: each begun by one, and filled with what says no other terms."""
    said = [frozenset(term.casefold() for term in row.terms or ()) for row in rows]
    seeds: list[frozenset[str]] = []
    for terms in sorted(
        set(said), key=lambda seed: (-sum(bool(terms) and terms <= seed for terms in said), *sorted(seed))
    ):
        if terms and len(seeds) < groups and not any(terms & seed for seed in seeds):
            seeds.append(terms)
    return [
        [samples for samples, terms in zip(recordings, said, strict=True) if terms and terms <= seed]
        for seed in seeds
    ]


async def _streamed(client: AsyncSpeechClient, samples: Samples) -> str:
    """The finals of a stream with interims."""
    from asr.client import RecognitionResult, StreamConfig

    events = [
        update.event async for update in client.stream(cut(samples), StreamConfig(interim_results=True))
    ]
    finals = [event for event in events if isinstance(event, RecognitionResult) and event.is_final]
    return " ".join(event.text for event in finals if event.text)


def _words(text: str) -> list[str]:
    return ["".join(letter for letter in word.casefold() if letter.isalnum()) for word in text.split()]
