"""The command line, as ``python -m forgetmeter``."""

from forgetmeter.cli.main import main

if __name__ == "__main__":
    main()
