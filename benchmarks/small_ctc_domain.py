"""The closed domain of the small test model: a grammar of coffee orders and pharmacy calls, about 180 words.

Not for users: a real domain brings its own text.
"""

from __future__ import annotations

import random
import re

_SLOT = re.compile(r"\{(\w+)\}")

GRAMMAR: dict[str, tuple[str, ...]] = {
    "sentence": ("{coffee}", "{pharmacy}"),
    "coffee": (
        "{hello} {want} {order}.",
        "{want} {order} and {order}.",
        "{want} {order}, {where}.",
        "{hello} could I get {order} with {extra}?",
        "{order} with {extra} and {order}, please.",
        "Can you make that {number} {drink}s with {extra}?",
        "The {drink} is for {name}, with {extra}.",
        "No, {name} wanted {order}.",
        "{number} {size} {drink}s and {food}, {where}.",
        "How much is {order} with {food}?",
        "{name} will pick up {order} {when}.",
    ),
    "pharmacy": (
        "{hello} I am calling about my {medicine}.",
        "{hello} this is {name} calling about the {medicine}.",
        "I need {number} {packs} of {medicine} {when}.",
        "Please send {number} {packs} of {medicine} to {name}.",
        "Is the {medicine} ready for {name}?",
        "The doctor gave me {number} milligrams of {medicine}.",
        "I take {number} {medicine} tablets every {daytime}.",
        "Do you have {medicine} or {medicine}?",
        "Can {name} collect the {medicine} {when}?",
        "We are out of {medicine}, but the {medicine} comes {when}.",
        "How often should I take the {medicine}?",
        "Take the {medicine} with water every {daytime}.",
        "My prescription for {medicine} ends {when}.",
    ),
    "hello": ("Hello,", "Hi,", "Good morning,", "Excuse me,"),
    "want": ("I would like", "can I have", "I will take", "could we get", "please make"),
    "order": ("a {size} {drink}", "{number} {drink}s", "a {drink}", "one {size} {milk} {drink}"),
    "size": ("small", "medium", "large", "double"),
    "drink": (
        "espresso", "latte", "cappuccino", "mocha", "americano", "macchiato", "flat white", "green tea", "hot chocolate",
    ),
    "milk": ("oat milk", "soy milk", "almond milk", "skimmed milk"),
    "extra": ("vanilla syrup", "extra foam", "brown sugar", "no sugar", "cinnamon", "{milk}", "whipped cream", "ice"),
    "food": ("a blueberry muffin", "a cheese sandwich", "two croissants", "a lemon cake", "a banana"),
    "where": ("to go", "for here", "at the window", "on the terrace"),
    "name": ("Anna", "David", "Maria", "Peter", "Susan", "Mister Brown", "Doctor Green", "Jennifer", "Thomas"),
    "when": ("tomorrow", "on Monday", "on Friday morning", "this afternoon", "next week", "at half past nine", "tonight"),
    "number": ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twenty", "thirty", "fifty"),
    "packs": ("boxes", "packs", "bottles", "tubes"),
    "medicine": (
        "aspirin", "ibuprofen", "metformin", "insulin", "penicillin", "amoxicillin", "lisinopril", "atorvastatin",
        "omeprazole", "cortisone", "warfarin", "paracetamol",
    ),
    "daytime": ("morning", "evening", "night", "day"),
}  # fmt: skip


def draw_sentences(count: int, *, seed: int) -> list[str]:
    """``count`` different sentences; the same seed gives the same list, and a longer list begins with a shorter one."""
    generator = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        sentence = _expand("{sentence}", generator)
        found[sentence[0].upper() + sentence[1:]] = None
    return list(found)


def _expand(text: str, generator: random.Random) -> str:
    while slot := _SLOT.search(text):
        text = text[: slot.start()] + generator.choice(GRAMMAR[slot[1]]) + text[slot.end() :]
    return text
