"""Run by the other program's interpreter (as a script, by ``target``): says what its environment holds, as JSON.

Standard library only, and any Python from 3.8 on.
"""

import json
import sys
from importlib import metadata


def main() -> None:
    """Print version, prefix and every distribution: name to version."""
    packages = {}
    for found in metadata.distributions():
        name = found.metadata["Name"]
        if name and name not in packages:  # the first on the path is the one that is imported
            packages[name] = found.version
    answer = {
        "implementation": sys.implementation.name,
        "version": list(sys.version_info[:3]),
        "prefix": sys.prefix,
        "packages": packages,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
