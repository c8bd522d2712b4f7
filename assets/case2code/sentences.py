"""The wording of prompts. Counts and kinds are the official ones (prompt_code_data.py): 28 instructions, 20 example
headers, 8 name headers, 13 layouts, 8 paddings; the sentences are ours. The first of each is the single template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Layout:
    """How one case is written: `{input}` and `{output}`, and what goes after it. In the style `call` the input is a
    call of the function, in `raw` its arguments alone."""

    template: str
    separator: str
    style: Literal["raw", "call"]


@dataclass(frozen=True)
class Wording:
    """All that a prompt is drawn from. Name headers hold `{name}`; a padding repeated is drawn more often."""

    instructions: tuple[str, ...]
    example_headers: tuple[str, ...]
    name_headers: tuple[str, ...]
    layouts: tuple[Layout, ...]
    paddings: tuple[str, ...]


PADDINGS = ("\n", "\n", "\n", "\n", "\n", "\n\n", "\n\n", "\n\n\n")

TRAINING = Wording(
    instructions=(
        "Write a Python function that turns each input into its output.",
        "Find the function behind these inputs and outputs.",
        "Which function computes these results? Write it down.",
        "Write a program that reproduces every case.",
        "The cases were made by running a function. Write a function that does the same.",
        "Reconstruct the function from what it returned.",
        "Your task: a Python function that agrees with all the cases given.",
        "Implement a function whose return values are exactly those shown.",
        "Please work out the rule that links inputs to outputs and code it.",
        "I recorded some calls of a function and lost its source. Can you write it again?",
        "Write code that maps the arguments to the recorded results.",
        "Infer the program from its behaviour.",
        "Study how the function behaves, then give its code.",
        "Produce a function that passes each of these checks.",
        "Can you guess the function from its inputs and outputs? Answer with code.",
        "Program a function that behaves as recorded.",
        "You are given the behaviour of a function. Give its definition.",
        "Design a function consistent with all of these observations.",
        "Which Python code could have printed these results?",
        "Complete the task: from the arguments, compute the values that follow.",
        "Somebody ran a function several times. Recover it.",
        "Derive a general function from the particular cases.",
        "Look for the pattern in these calls and express it as a function.",
        "Provide an implementation that would give the same answers.",
        "It is known what the function returns; it is not known how. Write it.",
        "Turn this table of behaviour into working Python.",
        "As a software engineer, restore the function that these records came from.",
        "Let a function of yours return what was observed, for any input of this kind.",
    ),
    example_headers=(
        "Cases:\n",
        "Known cases:\n",
        "Recorded calls:\n\n",
        "Records:\n",
        "Observed behaviour:\n\n",
        "Observations:\n",
        "What it did:\n",
        "Inputs with their outputs:\n",
        "Each input and its output:\n",
        "Inputs and results:\n\n",
        "Behaviour:\n",
        "Runs of the function:\n",
        "Samples:\n\n",
        "Sample runs:\n",
        "Some known results:\n",
        "A few runs:\n",
        "A handful of cases:\n\n",
        "Results so far:\n",
        "Arguments and return values:\n",
        "Calls and what they returned:\n\n",
    ),
    name_headers=(
        "Name: {name}",
        "Call it:\n{name}",
        "The function is called\n{name}",
        "Its name is\n{name}",
        "Name the function {name}",
        "Use the name {name}",
        "Define this function:\n{name}",
        "Function to write:\n{name}",
    ),
    layouts=(
        Layout("Input: {input}, Output: {output}", "\n", "raw"),
        Layout("Given {input}, the result is {output}", "\n", "raw"),
        Layout("# Input\n{input}\n# Output\n{output}", "\n\n", "raw"),
        Layout("arguments={input}\nreturn={output}", "\n\n", "raw"),
        Layout("args={input}\nreturn={output}", "\n\n", "raw"),
        Layout("(args={input}, return={output})", "\n", "raw"),
        Layout("({input}, {output})", "\n", "raw"),
        Layout("In: {input} | Out: {output}", "\n", "raw"),
        Layout(">>> {input}\n<<< {output}", "\n", "call"),
        Layout("Calling {input} returns {output}", "\n", "call"),
        Layout("assert {input} == {output}", "\n", "call"),
        Layout(">>> {input}\n{output}", "\n", "call"),
        Layout("{input} -> {output}", "\n", "call"),
    ),
    paddings=PADDINGS,
)

# Never trained on: accuracy under these tells whether a model understood the task or learned its wording.
UNSEEN = Wording(
    instructions=(
        "Here is a log of a black box. Open it: what is the source code inside?",
        "A colleague deleted a helper, but its test log survives. Rewrite the helper.",
        "Synthesise the shortest natural program that explains the following data.",
        "What would you have to type into an editor so that a user sees these values?",
    ),
    example_headers=("The log:\n", "Data:\n\n", "Evidence:\n", "Survived:\n"),
    name_headers=("Identifier: {name}", "def {name}(...):", "(the helper was known as {name})"),
    layouts=(
        Layout("{input} => {output}", "\n", "raw"),
        Layout("<case>\n<in>{input}</in>\n<out>{output}</out>\n</case>", "\n", "raw"),
        Layout("print({input})  # {output}", "\n", "call"),
        Layout("- `{input}` gave `{output}`", "\n", "call"),
    ),
    paddings=PADDINGS,
)
