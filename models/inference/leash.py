"""Runs a command that must not outlive the process that started it: `python leash.py COMMAND...`.

Standard input is the leash: at its end, which the starter's death brings about whatever its cause, the command is asked
to end and after some seconds its whole process group, this process included, is killed. The same group is killed when
the command ends by itself: vLLM's workers outlive their server. Uses the standard library alone.
"""

import os
import signal
import subprocess
import sys
import threading
import time

GRACE_SECONDS = 10.0


def main() -> None:
    """Ends by SIGKILL, with the whole group: start it with `start_new_session`."""
    command = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)

    def let_go() -> None:
        sys.stdin.buffer.read()
        command.terminate()
        time.sleep(GRACE_SECONDS)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=let_go, daemon=True).start()
    print(f"ended with exit code {command.wait()}: {' '.join(sys.argv[1:])}", flush=True)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
