"""What the kernel is asked directly: the only package that uses ctypes.

Every function is one system call, or a few that belong together, and raises
:class:`~tinydocker.errors.KernelError` with the call's name, arguments and errno.
It needs the standard library alone: the supervisor imports it without site-packages.
"""
