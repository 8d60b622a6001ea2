"""The command line, as ``python -m forgetmeter``."""

import os
import sys

if __name__ == "__main__":
    # Python searches the current folder first, which may be a model's and contain code.
    sys.path[:] = [path for path in sys.path if path and os.path.realpath(path) != os.path.realpath(os.curdir)]
    from forgetmeter.cli.main import main

    main()
