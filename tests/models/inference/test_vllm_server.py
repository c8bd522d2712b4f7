"""The process around vLLM, with the local endpoint in vLLM's place: started, watched, and ended with its starter."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import save_file

from models.inference.engine import Completion, EngineError, Request, Sampling
from models.inference.vllm import VLLMEngine
from models.inference.vllm_server import VLLMSettings

ROOT = Path(__file__).parents[3]
# Takes vLLM's place where its command looks for it: serves on --uds, with a child in the same group as vLLM's workers.
STAND_IN = """
import argparse, asyncio, os, subprocess, sys, time
from aiohttp import web
from tests.servers.openai_server import Server, parse

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--uds"), parser.add_argument("--fails-to-load", action="store_true")
    parser.add_argument("--options", default=""), parser.add_argument("--refuses-weights", action="store_true")
    given, _ = parser.parse_known_args()
    print("loading", sys.argv[2], flush=True)
    if given.fails_to_load:
        sys.exit("no memory left")
    worker = subprocess.Popen(["sleep", "1000"])
    asyncio.run(serve(given))

async def serve(given):
    server = Server(parse(["--model", "served", *given.options.split()]))
    async def told(request):
        print("told", request.path_qs, await request.text(), flush=True)
        return web.Response(status=500 if given.refuses_weights and "rpc" in request.path else 200, text="no")
    async def healthy(request):
        return web.Response()
    app = web.Application()
    app.add_routes([web.post("/v1/completions", server.handle), web.get("/health", healthy), web.post("/{any}", told)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.UnixSite(runner, given.uds).start()
    await asyncio.Event().wait()
"""


def save_weights(folder: Path, rows: int = 3, value: float = 1.0) -> Path:
    folder.mkdir()
    save_file({"weight": torch.full((rows, 2), value)}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> VLLMSettings:
    """Those of an engine whose vLLM is the stand-in."""
    command = tmp_path / "packages/vllm/entrypoints/cli"
    command.mkdir(parents=True)
    (command / "main.py").write_text(STAND_IN)
    about = tmp_path / "packages/vllm-7.7.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 7.7\n")
    return VLLMSettings(
        save_weights(tmp_path / "checkpoint"),
        tmp_path / "logs/vllm.log",
        environment={"PYTHONPATH": f"{tmp_path / 'packages'}:{ROOT}"},
        startup_seconds=60,
    )


@pytest.fixture
def engine_of() -> Iterator[Callable[[VLLMSettings], VLLMEngine]]:
    """Makes engines, and closes them."""
    made: list[VLLMEngine] = []

    def make(settings: VLLMSettings) -> VLLMEngine:
        made.append(VLLMEngine(settings))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


def questions(count: int) -> list[Request]:
    return [Request(f"question {place}", Sampling(6), seed=place) for place in range(count)]


def processes_of(settings: VLLMSettings) -> list[psutil.Process]:
    """All that serve the folder, and the workers they have started."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(settings.folder) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found += [process, *process.children()]
        except psutil.Error:
            continue
    return [process for process in found if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def server_of(settings: VLLMSettings) -> psutil.Process | None:
    """The process of the command, not the leash that holds it."""
    for process in processes_of(settings):
        with suppress(psutil.Error, IndexError):
            if process.cmdline()[2].endswith("vllm_command.py"):
                return process
    return None


def kill_server(settings: VLLMSettings) -> None:
    server = server_of(settings)
    assert server is not None
    server.kill()


def wait_for_end(settings: VLLMSettings) -> None:
    deadline = time.monotonic() + 20
    while processes_of(settings) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not processes_of(settings)


Maker = Callable[[VLLMSettings], VLLMEngine]


def test_the_server_starts_with_the_first_request_and_ends_with_the_engine(
    settings: VLLMSettings, engine_of: Maker
) -> None:
    """An engine that is asked nothing starts nothing; closing ends the workers too, and leaves no socket behind."""
    engine = engine_of(settings)
    assert engine.identity()["version"] == "7.7"
    assert not processes_of(settings)
    answers = dict(engine.generate(questions(20)))
    assert len(answers) == 20
    assert all(isinstance(answer, Completion) for answer in answers.values())
    assert len(processes_of(settings)) >= 3
    server = server_of(settings)
    assert server is not None
    socket = Path(server.cmdline()[6])
    assert socket.is_socket()
    assert socket.parent.stat().st_mode & 0o077 == 0
    engine.close()
    wait_for_end(settings)
    assert not socket.parent.exists()


def test_a_crash_in_the_middle_is_survived_once(settings: VLLMSettings, engine_of: Maker) -> None:
    """What was unanswered is asked again; a second crash ends the run with the end of the log; a new run may go on."""
    engine = engine_of(replace(settings, concurrency=8, flags=("--options", "--delay 0.05")))
    answers: dict[int, object] = {}
    for place, answer in engine.generate(questions(60)):
        assert place not in answers
        answers[place] = answer
        if len(answers) == 20:
            kill_server(settings)
    assert len(answers) == 60
    assert all(isinstance(answer, Completion) for answer in answers.values())
    with pytest.raises(EngineError, match=r"(?s)vLLM ended again; its last lines:.*code -9.*→ see .*vllm.log"):
        drain_while_killing(engine, settings)
    assert len(dict(engine.generate(questions(5)))) == 5


def drain_while_killing(engine: VLLMEngine, settings: VLLMSettings) -> None:
    killed = set()
    for _ in engine.generate(questions(10_000)):
        server = server_of(settings)
        if server is not None and server.pid not in killed:
            killed.add(server.pid)
            server.kill()


def test_a_server_that_does_not_start_is_told_with_its_log(settings: VLLMSettings, engine_of: Maker) -> None:
    """At once, not after the limit; not twice."""
    engine = engine_of(replace(settings, flags=("--fails-to-load",)))
    started = time.monotonic()
    with pytest.raises(EngineError, match=r"while it was starting; its last lines:(\n.*)*no memory left") as caught:
        engine.generate(questions(1))
    assert str(caught.value).count("no memory left") == 1
    assert time.monotonic() - started < 30


def test_without_vllm_the_remedy_is_told(settings: VLLMSettings, engine_of: Maker) -> None:
    """Another Python, or none."""
    with pytest.raises(EngineError, match=r"has no vLLM\n  → install athanor\[gpu\]"):
        engine_of(replace(settings, environment={})).identity()
    with pytest.raises(EngineError, match=r"/no/python.*\n.*set python"):
        engine_of(replace(settings, python="/no/python")).identity()


def test_nothing_outlives_a_starter_that_is_killed(settings: VLLMSettings, tmp_path: Path) -> None:
    """kill -9 of our process ends the server and its workers."""
    script = f"""
        import time
        from dataclasses import replace
        from pathlib import Path
        from models.inference.engine import Request
        from models.inference.vllm import VLLMEngine
        from models.inference.vllm_server import VLLMSettings
        engine = VLLMEngine(VLLMSettings(Path({str(settings.folder)!r}), Path({str(settings.log)!r}),
            environment={settings.environment!r}))
        list(engine.generate([Request("question")]))
        print("answered", flush=True)
        time.sleep(1000)
    """
    starter = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True
    )
    assert starter.stdout is not None
    assert starter.stdout.readline() == b"answered\n"
    assert len(processes_of(settings)) >= 3
    os.kill(starter.pid, signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    wait_for_end(settings)


def test_new_weights_change_the_identity_and_are_told_to_the_server(
    settings: VLLMSettings, engine_of: Maker, tmp_path: Path
) -> None:
    """What is under way ends first, and no key or value of the old weights stays; a restart takes the new ones."""
    engine = engine_of(settings)
    list(engine.generate(questions(1)))
    before = engine.identity()
    new = save_weights(tmp_path / "new", value=2.0)
    engine.load_weights(new)
    assert engine.identity()["folder"] != before["folder"]
    told = [line for line in settings.log.read_text().splitlines() if line.startswith("told")]
    assert [line.split()[1] for line in told] == [
        "/pause?mode=wait",
        "/collective_rpc",
        "/reset_prefix_cache",
        "/resume",
    ]
    assert json.loads(told[1].split(maxsplit=2)[2])["kwargs"] == {"weights_path": str(new)}
    kill_server(settings)
    list(engine.generate(questions(1)))
    assert f"loading {new}" in settings.log.read_text()


def test_weights_of_another_shape_are_refused(settings: VLLMSettings, engine_of: Maker, tmp_path: Path) -> None:
    """vLLM would only warn, and answer with the old ones."""
    engine = engine_of(settings)
    with pytest.raises(EngineError, match="other names or shapes"):
        engine.load_weights(save_weights(tmp_path / "wider", rows=4))


def test_a_server_that_does_not_take_weights_is_stopped(
    settings: VLLMSettings, engine_of: Maker, tmp_path: Path
) -> None:
    """It may be paused, or hold half of them; the next request starts another with the old ones."""
    engine = engine_of(replace(settings, flags=("--refuses-weights",)))
    list(engine.generate(questions(1)))
    before = engine.identity()
    with pytest.raises(EngineError, match="/collective_rpc failed: no"):
        engine.load_weights(save_weights(tmp_path / "new"))
    wait_for_end(settings)
    assert engine.identity() == before
    assert isinstance(dict(engine.generate(questions(1)))[0], Completion)


def test_identity_holds_what_changes_an_answer(settings: VLLMSettings, engine_of: Maker, tmp_path: Path) -> None:
    """Weights, settings files, dtype and flags; not the log, the waits or the place of the folder."""

    def identity(**changes: object) -> dict[str, object]:
        return engine_of(replace(settings, **changes)).identity()  # type: ignore[arg-type]

    same = identity()
    assert same == identity(log=tmp_path / "other.log", startup_seconds=1, concurrency=3)
    assert same == identity(folder=save_weights(tmp_path / "copy"))
    assert same != identity(folder=save_weights(tmp_path / "other", value=3.0))
    assert same != identity(dtype="float16")
    assert same != identity(flags=("--quantization", "fp8"))
    (settings.folder / "generation_config.json").write_text('{"eos_token_id": 3}')
    assert same != identity()
