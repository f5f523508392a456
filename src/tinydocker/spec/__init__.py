"""What the user asked for, as frozen values: nothing here does I/O or needs a privilege.

``container`` holds `ContainerSpec`, ``fluent`` the ``with_…`` methods, ``options`` the table of
options, ``later`` those that this version does not have yet; the other modules read one subject
each from its text form. Every reader is called with the option's name and the value, and raises
`InvalidSpec` with both.
"""
