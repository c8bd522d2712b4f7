"""Asking a language model for questions and thoughts: prompts (our wording: the paper's are not known) and parsers."""

from __future__ import annotations

import re

from models.inference.engine import Message

QUESTIONS = """\
Here is a piece of information about the subject "{domain}":

{seed}

Write {n} different questions that a student of this subject might ask about it. Cover many sides of it: definitions, \
methods, assumptions, computations, uses, pitfalls. One question per line, each ending with a question mark, and \
nothing else.
"""
THOUGHT = """\
Question: {question}

Answer it step by step, as a textbook would: name the terms, give the reasoning from one step to the next, then the \
conclusion. Write plain sentences, at most 120 words.
"""
_NUMBERING = re.compile(r"^\s*(?:[-*•]|\(?\d+[.):]|Q\d*[.:])\s*")
MAX_QUESTION_WORDS = 60


def questions_prompt(seed: str, domain: str, n: int) -> tuple[Message, ...]:
    return (Message("user", QUESTIONS.format(seed=seed.strip(), domain=domain, n=n)),)


def thought_prompt(question: str) -> tuple[Message, ...]:
    return (Message("user", THOUGHT.format(question=question.strip())),)


def parse_questions(text: str) -> list[str]:
    """The lines that are questions, without numbering; each once. A last line that was cut off is none."""
    lines = (_NUMBERING.sub("", line).strip() for line in text.splitlines())
    asked = [line for line in lines if line.endswith("?") and 2 < len(line.split()) <= MAX_QUESTION_WORDS]
    return list(dict.fromkeys(asked))


def parse_thought(text: str) -> str:
    """The answer as one line of text, or "" where it says nothing."""
    line = " ".join(text.split())
    return line if len(line.split()) > 2 else ""
