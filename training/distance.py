"""How far a domain is from a model as it is: errors, words it never gets right, fragmentation, surprise.

No corpus is asked what a rare word is: the model itself is, by what it writes, by how its tokenizer cuts words, and by
how probable it finds the transcripts. U tokens, B batch.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from asr.data.manifest import Utterance, load_samples
from asr.decoding.ctc_tokens import CtcTokens
from asr.evaluation.evaluate import Evaluation
from asr.evaluation.wer import align_words
from asr.models.checkpoint import load_whisper
from asr.models.ctc_torch import TorchCtc, geometry
from asr.models.resolve import ResolvedModel, serving_folder
from asr.models.whisper_ct2 import CTranslate2Whisper
from asr.models.whisper_tokens import WhisperTokenizer
from training.ctc_text import fold_transcript, make_ctc_examples
from training.encoder_cache import EncoderCache
from training.examples import make_examples, target_text
from training.methods import CachedEncodings, Frame, decoder_loss

BATCH = 8
MAX_NAMED = 20
_EDGES = ".,;:!?\"'()[]{}…“”‘’-"


@dataclass(frozen=True, kw_only=True, slots=True)
class UnrecognisedWords:
    """Words that were said in a sample and that the model wrote in none of the places where they were.

    Attributes:
        distinct: words of the references, each counted once.
        unrecognised: those never written where they were said.
        share_of_said: of all words said, those that are occurrences of such a word.
        named: the most frequent of them, with their occurrences.
    """

    distinct: int
    unrecognised: int
    share_of_said: float
    named: tuple[tuple[str, int], ...]


def unrecognised_words(evaluation: Evaluation) -> UnrecognisedWords | None:
    """Those of a transcribed sample, under its normaliser; None where there is no transcript."""
    pairs = [(row.reference, row.hypothesis) for row in evaluation.rows if row.reference is not None]
    if not pairs:
        return None
    said: Counter[str] = Counter()
    heard: set[str] = set()
    references, hypotheses = zip(*pairs, strict=True)
    for alignment in align_words(references, hypotheses, evaluation.normalizer):
        said.update(step.reference for step in alignment if step.reference is not None)
        heard.update(
            step.reference for step in alignment if step.kind == "hit" and step.reference is not None
        )
    never = Counter({word: count for word, count in said.items() if word not in heard})
    return UnrecognisedWords(
        distinct=len(said),
        unrecognised=len(never),
        share_of_said=never.total() / max(1, said.total()),
        named=tuple(sorted(never.items(), key=lambda entry: (-entry[1], entry[0]))[:MAX_NAMED]),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Fragmentation:
    """Into how many pieces the vocabulary cuts words.

    Attributes:
        words: of the text.
        tokens_per_word: a mean; for a vocabulary of characters it is their number and says little.
        split_share: words that are more than one token, a share: what the tokenizer's own text had seldom.
        unwritable: characters that the vocabulary cannot write, with their occurrences.
    """

    words: int
    tokens_per_word: float
    split_share: float | None
    unwritable: tuple[tuple[str, int], ...] = ()


def whisper_fragmentation(texts: Sequence[str], tokenizer: WhisperTokenizer) -> Fragmentation:
    """Of texts as they would be taught, punctuation at the edges of words left out."""
    lengths = [len(tokenizer.encode(word)) for word in _words(target_text(text) for text in texts)]
    return Fragmentation(
        words=len(lengths),
        tokens_per_word=sum(lengths) / max(1, len(lengths)),
        split_share=sum(length > 1 for length in lengths) / max(1, len(lengths)),
    )


def ctc_fragmentation(texts: Sequence[str], tokens: CtcTokens) -> Fragmentation:
    """A CTC vocabulary of characters cuts every word into its letters; what counts is what it cannot write."""
    unwritable: Counter[str] = Counter()
    lengths = []
    for text in texts:
        folded = fold_transcript(text, tokens)
        unwritable.update(sign for sign in folded.text if sign in folded.missing)
        lengths += [len(word) for word in folded.text.split()]
    return Fragmentation(
        words=len(lengths),
        tokens_per_word=sum(lengths) / max(1, len(lengths)),
        split_share=None,
        unwritable=tuple(unwritable.most_common(MAX_NAMED)),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Surprise:
    """How improbable the model finds transcripts of audio that it hears.

    Attributes:
        utterances: that were measured.
        tokens: of their transcripts, ends included; characters for a CTC.
        perplexity: per token: exp of the teacher-forced cross entropy; None for a CTC, which predicts no next token.
        bits_per_character: the same per character of the transcripts, comparable between vocabularies; for a CTC its
            loss, all alignments summed.
    """

    utterances: int
    tokens: int
    perplexity: float | None
    bits_per_character: float


def whisper_surprise(
    base: ResolvedModel,
    utterances: Sequence[Utterance],
    folder: Path,
    *,
    num_workers: int,
    on_done: Callable[[], None] = lambda: None,
) -> Surprise | None:
    """Teacher-forced cross entropy of the transcripts given the audio; None where none can be taken.

    Args:
        base: heard in the context that it is served in.
        utterances: those without text or longer than a window are not measured.
        folder: for encoder outputs.
        num_workers: encodings at the same time.
        on_done: called once an utterance.
    """
    tokenizer = WhisperTokenizer(base.transformers_dir / "tokenizer.json")
    examples, _ = make_examples(utterances, tokenizer)
    if not examples:
        return None
    engine = CTranslate2Whisper(serving_folder(base), num_workers=num_workers, own_length=base.own_length)
    cache = EncoderCache(folder, engine, num_workers=num_workers)
    cache.fill([example.utterance for example in examples], on_done)
    engine.close()
    model = load_whisper(base.transformers_dir)
    encodings = CachedEncodings(cache, model.device)
    frame = Frame(prompt=tuple(tokenizer.prompt(None)), end_of_text=tokenizer.end_of_text)
    nats = 0.0
    with torch.inference_mode():
        for start in range(0, len(examples), BATCH):
            batch = examples[start : start + BATCH]
            nats += float(decoder_loss(model, encodings(batch, 0), frame)) * frame.num_labels(batch)
    texts = [target_text(example.utterance.text or "") for example in examples]
    tokens = frame.num_labels(examples)
    return Surprise(
        utterances=len(examples),
        tokens=tokens,
        perplexity=math.exp(nats / tokens),
        bits_per_character=nats / math.log(2) / sum(len(text) for text in texts),
    )


def ctc_surprise(engine: TorchCtc, utterances: Sequence[Utterance], folder: Path) -> Surprise | None:
    """CTC loss of the transcripts in the vocabulary's characters; None where none can be written.

    Args:
        engine: the model.
        utterances: those that cannot be labelled are not measured.
        folder: of the model.
    """
    from transformers import AutoConfig

    receptive, stride = geometry(AutoConfig.from_pretrained(folder))
    made = make_ctc_examples(utterances, engine.tokens, receptive_samples=receptive, stride_samples=stride)
    if not made.examples:
        return None
    emissions = engine.batch_emissions([load_samples(example.utterance) for example in made.examples])
    nats = 0.0
    for example, log_probs in zip(made.examples, emissions, strict=True):
        loss = torch.nn.functional.ctc_loss(
            torch.from_numpy(log_probs)[:, None],
            torch.tensor([example.tokens]),
            torch.tensor([len(log_probs)]),
            torch.tensor([len(example.tokens)]),
            blank=engine.tokens.blank,
            reduction="sum",
        )
        nats += float(loss)
    tokens = sum(len(example.tokens) for example in made.examples)
    return Surprise(
        utterances=len(made.examples),
        tokens=tokens,
        perplexity=None,
        bits_per_character=nats / math.log(2) / tokens,
    )


def _words(texts: Iterable[str]) -> list[str]:
    return [word for text in texts for part in text.split() if (word := part.strip(_EDGES))]
