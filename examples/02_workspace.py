"""Change a root file system, see what was changed, and fork it.

python examples/02_workspace.py [IMAGE]
"""

import sys

import tinydocker as td

image = sys.argv[1] if len(sys.argv) > 1 else "host"

# With size= the layer is kept in memory; a fork of this machine's own root needs that.
with td.Workspace(image, size="64m") as ws:
    # From outside: .root is used as pathlib.Path is, and no link in the image leads out of it.
    (ws.root / "srv" / "site").mkdir(parents=True)
    (ws.root / "srv" / "site" / "index.html").write_text("<h1>first</h1>\n")

    # From inside: a container that is given the workspace changes it.
    with td.Container(ws, ["sh", "-c", "echo built > /srv/site/build.log"]) as container:
        assert container.wait() == 0

    for change in ws.changes():
        print(change.kind, change.path)

    # A fork starts from this state and copies no data; from here on each goes its own way.
    with ws.fork() as twin:
        (twin.root / "srv" / "site" / "index.html").write_text("<h1>second</h1>\n")
        print("fork:", (twin.root / "srv/site/index.html").read_text().strip())
    print("original:", (ws.root / "srv/site/index.html").read_text().strip())

    ws.reset()
    print("changes after reset:", len(ws.changes()))
