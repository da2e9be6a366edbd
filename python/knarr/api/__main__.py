"""Print the documents of all built-in kinds, by `group/version/Kind`: what rust/knarr-schema/testdata/kinds.json holds.

usage: python -m knarr.api > rust/knarr-schema/testdata/kinds.json
"""

import json
import sys

from knarr.api import documents


def main() -> None:
    found = {
        f"{kind.group}/{kind.version}/{kind.kind}".lstrip("/"): json.loads(document) for kind, document in documents()
    }
    sys.stdout.write(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
