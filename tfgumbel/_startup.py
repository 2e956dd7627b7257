"""Keeps what TensorFlow writes at its start out of the command line's output.

Imported first, and without effect but in `python -m tfgumbel`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


def _is_command_line() -> bool:
    # While `python -m` imports a package, its name for the program is "-m".
    command = list(getattr(sys, "orig_argv", ()))
    follows = zip(command, command[1:], strict=False)
    return sys.argv[:1] == ["-m"] and ("-m", "tfgumbel") in follows


@contextlib.contextmanager
def _without_standard_error() -> Iterator[None]:
    """Shows what is written to the file descriptor 2 only after an error.

    Lines of TensorFlow's C++ code pass by `sys.stderr`, and by the level
    that TF_CPP_MIN_LOG_LEVEL gives (2.21).
    """
    try:
        kept = os.dup(2)
    except OSError:  # There is no standard error.
        yield
        return
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            if failed:
                file.seek(0)
                os.write(2, file.read())


if _is_command_line():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # For later lines.
    with _without_standard_error():
        import tensorflow as tf

        tf.config.list_physical_devices()
