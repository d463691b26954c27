"""Running programs and waiting, always with a deadline."""

import contextlib
import fcntl
import os
import subprocess
import time


class LabError(Exception):
    """Something the operator of the lab should read; printed without a traceback."""


def run(*command, check=True, deadline_s=30, **options):
    """Runs COMMAND and returns the finished process, its output as text."""
    if "input" not in options:
        options.setdefault("stdin", subprocess.DEVNULL)
    try:
        done = subprocess.run([str(word) for word in command], text=True, timeout=deadline_s,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{command[0]} did not end within {deadline_s} s: {' '.join(map(str, command))}") from error
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done


@contextlib.contextmanager
def locked(path):
    """Holds the lock on a file or folder; others wait."""
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def wait_until(what, condition, deadline_s=10, step_s=0.05):
    """Returns the first true value of CONDITION(); a LabError that names WHAT after the deadline."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise LabError(f"{what}: not within {deadline_s} s")
        time.sleep(step_s)
