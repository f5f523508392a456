"""Run commands in containers, and see how they end.

    python examples/01_hello.py [IMAGE]

IMAGE is a directory, an archive of a root file system, or "host" for this machine's own root.
"""

import sys

import tinydocker as td

image = sys.argv[1] if len(sys.argv) > 1 else "host"

# One command, its output and its code. Nothing is left of the container afterwards.
done = td.run(image, ["echo", "hello from a container"], check=True)
print(done.stdout, end="")

# Standard input, environment and user work as they do with subprocess and docker.
done = td.run(
    image,
    ["sh", "-c", 'read line; echo "$GREETING, $line"; id -u'],
    input="you\n",
    env={"GREETING": "hello"},
    user="65534:65534",
)
print(done.stdout, end="")

# A failure is a return code, and with check=True an exception that carries everything.
try:
    td.run(image, ["sh", "-c", "echo no >&2; exit 3"], check=True)
except td.ContainerFailed as err:
    print("ended with", err.returncode, "and said", err.completed.stderr.strip())

# A time-out ends every process of the container.
try:
    td.run(image, ["sh", "-c", "echo begun; sleep 1000"], timeout=0.5)
except td.ContainerTimeout as err:
    print("stopped after", repr(err.stdout))
