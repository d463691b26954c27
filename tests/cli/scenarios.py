#!/usr/bin/python3
"""Runs the transcripts in tests/cli/scenarios against clusterctl and compares what it says.

A transcript is a text file. A line "$ COMMAND" is run by sh (clusterctl is in its PATH; standard error goes to
standard output), and what follows must be what it printed, then "[STATUS]" when that is not 0. A line "@ WORDS"
goes to the cluster's standard input (cluster.c). A first line "# cluster" asks for a cluster ("# cluster new":
one that is not created yet, without node3); without it none is there. Other lines that begin with "# " are remarks. Numbers that differ from run to run stand as N, T, TIME, UUID.

    scenarios.py [--update] [NAME…]      --update writes down what is printed now
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("top_builddir", os.getcwd())
NORMAL = [
    # Whether a short operation is seen running, or waiting for the first look at a new VM, depends on the moment.
    (re.compile(r"^.*: running \(operation \d+\)\n", re.M), ""),
    (re.compile(r"^.*: waits: C1: node '.*' has not said yet whether it runs there already\n", re.M), ""),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"), "TIME"),
    (re.compile(r"\b(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d\b"), "TIME"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "UUID"),
    (re.compile(r"\b(\d+ min )?\d+(\.\d)? s\b"), "T s"),
    (re.compile(r"(operation |ops wait |ops cancel |index |job |rule |rule remove )\d+"), r"\1N"),
    (re.compile(r'("(id|parent|operation|op)": )"\d+"'), r'\1"N"'),
    (re.compile(r'("(index|term)": )\d+'), r"\1N"),
    (re.compile(r"^\d+ {2,}", re.M), "N  "),
    (re.compile(r"^(TIME +)\d+ ", re.M), r"\1N "),
]


def normal(text):
    for pattern, by in NORMAL:
        text = pattern.sub(by, text)
    return "\n".join(line.rstrip() for line in text.split("\n"))


class Cluster:
    """tests/cli/cluster, in a folder of its own."""

    def __init__(self, folder, words):
        state = os.path.join(folder, "cluster")
        os.mkdir(state)
        self.process = subprocess.Popen([os.path.join(BUILD, "tests/cli/cluster"), state, *words],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.expect("ready")

    def expect(self, word):
        line = self.process.stdout.readline().strip()
        if line != word:
            raise RuntimeError(f"the cluster said '{line}', not '{word}'")

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        self.expect("ok")

    def close(self):
        self.process.stdin.close()
        try:
            return self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return -1


def run(command, folder):
    env = dict(os.environ, PATH=f"{BUILD}:{BUILD}/tests/cli:{HERE}:{os.environ['PATH']}", TZ="UTC", LC_ALL="C.UTF-8",
               XML=os.path.join(HERE, "../../xml"))
    done = subprocess.run(["sh", "-c", command], cwd=folder, env=env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    text = done.stdout.decode("utf-8", "replace")
    if text and not text.endswith("\n"):
        text += "\n"
    if done.returncode != 0:
        text += f"[{done.returncode}]\n"
    return normal(text)


def play(lines, folder):
    """What the transcript looks like now."""
    cluster = Cluster(folder, lines[0].split()[2:]) if lines and lines[0].startswith("# cluster") else None
    out = []
    try:
        for line in lines:
            if line.startswith("$ "):
                out.append(line + "\n" + run(line[2:], folder))
            elif line.startswith("@ "):
                cluster.tell(line[2:])
                out.append(line + "\n")
            elif line == "#" or line.startswith("# "):
                out.append(line + "\n")
    finally:
        if cluster is not None and cluster.close() != 0:
            out.append("the cluster did not end well\n")
    return "".join(out)


def scenario(path, update):
    with open(path, encoding="utf-8") as f:
        wanted = f.read()
    folder = tempfile.mkdtemp(prefix="cli.")
    try:
        got = play(wanted.split("\n"), folder)
    finally:
        shutil.rmtree(folder)
    if got == wanted:
        return True
    if update:
        with open(path, "w", encoding="utf-8") as f:
            f.write(got)
        return True
    import difflib
    sys.stdout.writelines(difflib.unified_diff(wanted.splitlines(True), got.splitlines(True), path, "now"))
    return False


def main():
    if "CLI_UNSHARED" not in os.environ:
        # libqb's sockets are abstract: a network namespace keeps ours apart from a daemon on this host.
        os.environ["CLI_UNSHARED"] = "1"
        how = ["-n"] if os.getuid() == 0 else ["-r", "-n"]
        os.execvp("unshare", ["unshare", *how, sys.executable, os.path.abspath(__file__), *sys.argv[1:]])
    if not os.path.exists(os.path.join(BUILD, "clusterctl")):
        sys.exit("run it in the top of a build tree")
    names = [a for a in sys.argv[1:] if not a.startswith("--")]
    folder = os.path.join(HERE, "scenarios")
    failed = 0
    for name in sorted(os.listdir(folder)):
        if names and name not in names:
            continue
        good = scenario(os.path.join(folder, name), "--update" in sys.argv)
        print(f"{'ok' if good else 'FAILED'}: {name}", flush=True)
        failed += not good
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
