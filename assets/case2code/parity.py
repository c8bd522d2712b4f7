"""Reading the official repository's rows (choosewhatulike/case2code), for parity with its stages. No I/O.

Its outputs are JSON strings of reprs, read back here; `render_case(json_quoted=True)` writes them so again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from assets.case2code.schema import Output

SECTION = "############ <|EXAMPLE {name} {edge}|> ############"
# The official executor's tags, its spelling included.
INPUTS, OUTPUTS = "INPUR", "OUTPUT"


def read_raw_output(text: str) -> tuple[list[str], list[Output]]:
    """The inputs' reprs and the outputs in what the official executor printed (`exec_raw_output`).

    Raises ValueError when a section is missing or an output is malformed: the official filter drops both.
    """
    inputs = [json.loads(item) for item in _section(text, INPUTS).split("<|EX|>") if item.strip()]
    outputs = [_raw_output(item.strip()) for item in _section(text, OUTPUTS).split("<|OUT|>") if item.strip()]
    return inputs, outputs


def read_outputs(rows: list[Mapping[str, str]]) -> list[Output]:
    """The outputs of a row of the stages after the filter, or of the test set (`example_outputs`)."""
    return [
        Output(json.loads(row["return"]), is_error=False) if "return" in row else _raw_output(row["error"])
        for row in rows
    ]


def _section(text: str, name: str) -> str:
    start, end = (re.escape(SECTION.format(name=name, edge=edge)) for edge in ("START", "END"))
    found = re.search(f"{start}\n(.*?){end}", text, re.DOTALL)
    if found is None:
        raise ValueError(f"no section of {name.lower()}s")
    return found[1]


def _raw_output(item: str) -> Output:
    tag, _, quoted = item.partition("|> ")
    if tag not in ("<|RETURN", "<|EXCEPTION"):
        raise ValueError(f"neither a value nor an exception: {item[:80]}")
    return Output(json.loads(quoted), is_error=tag == "<|EXCEPTION")
