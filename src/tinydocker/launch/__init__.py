"""Start containers: the supervisor process, what runs between clone and exec, and the program's side of it.

``supervisor``, ``task``, ``holding``, ``child``, ``identity``, ``terminal``, ``reaper`` and ``logs`` run in
the supervisor, with the standard library alone; ``client`` runs in the user's program; ``protocol`` in both.
"""
