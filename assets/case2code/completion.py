"""Ordinary coding, for the transfer claim: the body of a real function from its signature and docstring. No I/O."""

from __future__ import annotations

import ast


def completion_prompt(code: str, func_name: str) -> str | None:
    """The function's source up to the end of its docstring, as `ast.unparse` writes it; None without a docstring.

    What stands before the function (imports, helpers) stays; what stands behind it is left out.
    """
    tree = ast.parse(code)
    for place, node in enumerate(tree.body):
        if isinstance(node, ast.FunctionDef) and node.name == func_name and ast.get_docstring(node):
            beginning = ast.Module([*tree.body[:place], node], type_ignores=[])
            node.body = node.body[:1]
            return f"{ast.unparse(ast.fix_missing_locations(beginning))}\n"
    return None


def completed(prompt: str, answer: str) -> str:
    """The prompt with the answer's lines up to the first that is not indented: there the function has ended."""
    body: list[str] = []
    for line in answer.split("\n"):
        if line.strip() and not line[0].isspace():
            break
        body.append(line)
    return prompt + "\n".join(body)
