"""The entry: `python -m tools generate schema [--check]`."""

from __future__ import annotations

import argparse
import sys


def main(argv: list[str] | None = None) -> int:
    """Run one tool. argv: without the program's name; None takes the process's.

    Returns the exit code: 1 where --check found a difference, 2 where the sources cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m tools", description="What the repository is kept with.")
    tools = parser.add_subparsers(dest="tool", required=True)
    generate = tools.add_parser("generate", help="make the committed files that follow from others")
    what = generate.add_subparsers(dest="what", required=True)
    schema = what.add_parser("schema", help="the tables of Kubernetes' API types, from its Go sources")
    schema.add_argument("--check", action="store_true", help="compare with what is committed instead of writing")
    cri = what.add_parser("cri", help="the messages of the container runtime interface, from proto/")
    cri.add_argument("--check", action="store_true", help="compare with what is committed instead of writing")
    options = parser.parse_args(argv)

    if options.what == "cri":
        from tools import gen_cri

        return gen_cri.main(check=options.check)

    from tools import gen_schema  # imported here: another tool does not need it

    return gen_schema.run(check=options.check)


if __name__ == "__main__":
    sys.exit(main())
