"""The runtime configuration of a container, and the translation of a specification into it: all pure.

``config`` holds the classes of the OCI runtime specification's ``config.json``, ``image_config`` an
image's, ``defaults`` what every container gets, ``translate`` the decision, ``etc_files`` the texts
of the files under /etc that the engine provides.
"""
