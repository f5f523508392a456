"""Describe a container once, and start two that differ.

python examples/03_two_from_one_base.py [IMAGE]
"""

import sys

import tinydocker as td

image = sys.argv[1] if len(sys.argv) > 1 else "host"

# A container is a value until it is entered. with_... returns a changed copy and touches nothing.
base = (
    td.Container(image)
    .with_command(["sh", "-c", 'echo "$HOSTNAME says $WORD" | tee /tmp/said; sleep 1000'])
    .with_tmpfs("/run", "size=1m")
    .with_env(WORD="hello")
    .with_stop_timeout(0)
)
left = base.with_hostname("left")
right = base.with_hostname("right").with_env(WORD="good morning")

with left as one, right as two:
    # Both stand on one image; each has its own files, processes and name.
    for container in (one, two):
        print(next(container.logs(follow=True)).strip())
    print("their files differ:", (one.root / "tmp" / "said").read_text() != (two.root / "tmp" / "said").read_text())
    print("their names differ:", one.name != two.name)

print(one.status, two.status)
