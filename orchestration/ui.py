"""`make ui`: Dagster and MLflow on localhost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import click

from assets.core.home import Home
from orchestration.instance import open_instance, prepare_home

# MLflow's server for one person: by default it starts four workers and as many queues, and reports its use.
ONE_PERSON = {
    "MLFLOW_WORKERS": "1",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def serve(dagster_port: int, mlflow_port: int) -> None:
    """Start both servers, bound to localhost; when one ends, or Ctrl-C or SIGTERM comes, both end."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    home = Home.from_environment()
    prepare_home(home)
    # The web server and the daemon start together: neither may find half a database.
    with open_instance(home):
        pass
    local = ["--host", "127.0.0.1", "--port"]
    dagster = ["dagster", "dev", "-m", "orchestration.definitions", "--log-level", "warning", *local, str(dagster_port)]
    mlflow = ["mlflow", "server", "--default-artifact-root", home.artifacts.as_uri(), *local, str(mlflow_port)]
    # In the environment, because a command line is readable by others.
    environment = os.environ | ONE_PERSON | {"MLFLOW_BACKEND_STORE_URI": home.tracking_uri}
    servers = [subprocess.Popen([sys.executable, "-m", *command], env=environment) for command in (dagster, mlflow)]
    click.echo(f"Dagster: http://127.0.0.1:{dagster_port}   MLflow: http://127.0.0.1:{mlflow_port}   Ctrl-C ends both")
    try:
        while all(server.poll() is None for server in servers):
            try:
                servers[0].wait(timeout=1)
            except subprocess.TimeoutExpired:
                continue
    except KeyboardInterrupt:
        pass
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.wait()
