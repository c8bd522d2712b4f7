"""A fault in the file of roles is told by file, key and remedy, before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from assets.core.errors import InputError
from assets.core.generation.prices import FREE, Price
from assets.core.generation.roles_file import OpenAIRole, RolesFile, RulesRole, TorchRole, VLLMRole, read_roles

ENDPOINT = 'engine = "openai"\nbase_url = "http://localhost:8000/v1"\nmodel = "m"\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "roles.toml"
    path.write_text(text)
    return path


def test_a_file_is_read(tmp_path: Path) -> None:
    """Settings of the endpoint, price, budget; a role that is not named is played by rules, which cost nothing."""
    text = (
        f"budget = 5\n[roles.writer]\n{ENDPOINT}size = 'large'\nconcurrency = 8\nprice = {{prompt = 1, completion = 2}}"
    )
    file = read_roles(write(tmp_path, text))
    writer = file.role("writer")
    assert isinstance(writer, OpenAIRole)
    assert (file.budget, writer.concurrency, writer.size, writer.price) == (
        5,
        8,
        "large",
        Price(prompt=1, completion=2),
    )
    assert file.role("judge") == RulesRole()
    assert file.role("judge").price == FREE


def test_a_folder_costs_nothing(tmp_path: Path) -> None:
    """By declaration, so that a budget takes it. Two roles with one folder are one model."""
    torch = "engine = 'torch'\nfolder = '/models/tiny-1'\n"
    role = read_roles(write(tmp_path, f"budget = 1\n[roles.writer]\n{torch}")).role("writer")
    assert isinstance(role, TorchRole)
    assert (role.model, role.price) == ("tiny-1", FREE)
    with pytest.raises(InputError, match="judge and test_judge are the same model"):
        read_roles(write(tmp_path, f"[roles.judge]\n{torch}[roles.test_judge]\n{torch}"))


def test_what_is_not_declared_large_reads_as_tiny(tmp_path: Path) -> None:
    """A claim about large models needs somebody who says that one was used."""
    assert read_roles(write(tmp_path, f"[roles.writer]\n{ENDPOINT}")).role("writer").size == "tiny"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[roles.writer]\nengine = 'openai'\nbase_url = 'http://x/v1'", r"roles\.writer\.model: .*required"),
        (f"[roles.writer]\n{ENDPOINT}modle = 1", r"roles\.writer\.modle: Unexpected"),
        ("[roles.writer]\nengine = 'gpt'", r"roles\.writer: Input tag 'gpt' .*'rules'"),
        ("[roles.writer]\nmodel = 'm'", r"roles\.writer: .*'engine'"),
        ("[roles.writer]\nengine = 'openai'\nmodel = 'm'\nbase_url = 'x'", r"roles\.writer: base_url must be"),
        (f"[roles.writer]\n{ENDPOINT}concurrency = 'many'", r"roles\.writer\.concurrency: Input should be a valid int"),
        (
            f"[roles.writer]\n{ENDPOINT}price = {{prompt = -1, completion = 0}}",
            r"roles\.writer\.price\.prompt: .*greater",
        ),
        (f"[roles.writter]\n{ENDPOINT}", "no such role: writter; the roles are writer"),
        ("bugdet = 1", "bugdet: Extra inputs"),
        ("budget = nan", "budget: Input should be a finite"),
        (f"budget = 1\n[roles.writer]\n{ENDPOINT}", "needs the price of every model: writer has none"),
        ("[roles.writer\n", "cannot be read: "),
    ],
)
def test_faults_are_named(tmp_path: Path, text: str, message: str) -> None:
    """By the file, the key and what is wrong with it, and where an example is."""
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=message) as told:
        read_roles(path)
    assert str(path) in told.value.message
    assert "README.md has an example" in told.value.remedy


def test_a_missing_file_is_told_by_its_variable(tmp_path: Path) -> None:
    """It is the variable that is wrong."""
    with pytest.raises(InputError, match="correct ATHANOR_ROLES"):
        read_roles(tmp_path / "none.toml")


def test_a_server_of_our_own_is_read(tmp_path: Path) -> None:
    """Its parallelism and flags; what makes no sense is told."""
    vllm = "[roles.writer]\nengine = 'vllm'\nfolder = '/models/m'\npython = 'python'\n"
    role = read_roles(write(tmp_path, f"{vllm}tensor_parallel = 4\nflags = ['--max-num-seqs', '9']")).role("writer")
    assert isinstance(role, VLLMRole)
    assert (role.tensor_parallel, role.data_parallel, role.flags, role.price) == (4, 1, ("--max-num-seqs", "9"), FREE)
    with pytest.raises(InputError, match=r"roles\.writer\.tensor_parallel: Input should be greater"):
        read_roles(write(tmp_path, f"{vllm}tensor_parallel = 0"))


@pytest.mark.parametrize("pair", [("judge", "test_judge"), ("judge", "summariser"), ("summariser", "test_judge")])
def test_no_model_judges_itself(tmp_path: Path, pair: tuple[str, str]) -> None:
    """Unless it is allowed, and then it is known."""
    text = "".join(f"[roles.{name}]\n{ENDPOINT}" for name in pair)
    with pytest.raises(InputError, match="are the same model"):
        read_roles(write(tmp_path, text))
    allowed = read_roles(write(tmp_path, f"allow_self_judging = true\n{text}"))
    assert len(allowed.self_judging) == 1


def test_models_of_other_revisions_may_judge_each_other(tmp_path: Path) -> None:
    """And one model may write and judge: that is another matter. Rules are no model."""
    other = ENDPOINT + "model_revision = '2'\n"
    read_roles(write(tmp_path, f"[roles.judge]\n{ENDPOINT}[roles.test_judge]\n{other}[roles.writer]\n{ENDPOINT}"))
    assert RolesFile().self_judging == []


def test_a_key_that_is_not_set_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """When an engine starts; nothing else needs it."""
    monkeypatch.delenv("THE_KEY", raising=False)
    role = OpenAIRole(base_url="http://x/v1", model="m", engine="openai", api_key_variable="THE_KEY")
    with pytest.raises(InputError, match="API key in THE_KEY, which is not set"):
        role.api_key()
    monkeypatch.setenv("THE_KEY", "secret")
    assert role.api_key() == "secret"
    assert "secret" not in repr(role)
