"""``python -m tinydocker`` is the command ``tinydocker``."""

from .cli import main

if __name__ == "__main__":
    main()
