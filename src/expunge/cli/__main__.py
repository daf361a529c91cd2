"""``python -m expunge.cli``: the same as the ``expunge`` command."""

from expunge.cli.main import main

if __name__ == "__main__":
    main()
