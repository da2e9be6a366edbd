"""The entry: `python -m tools generate [TARGET] [--check]`, `python -m tools bench [PART ...]`."""

from __future__ import annotations

import argparse
import importlib
import sys

GENERATORS = {
    "schema": ("tools.gen_schema", "the tables of Kubernetes' API types, from its Go sources"),
    "cri": ("tools.gen_cri", "the messages of the container runtime interface, from proto/"),
    "kinds": ("tools.gen_kinds", "the built-in kinds' documents, for the Rust tests that judge them"),
    "roles": ("tools.gen_roles", "the controllers' roles, from what they declare to write"),
    "endpoints": ("tools.gen_endpoints", "docs/endpoints.md: which language answers what"),
}
"""Target to the module with `run(check) -> exit code`, and what it makes."""


def generate(target: str | None, check: bool) -> int:
    """Make, or with `check` compare, what one target says, or all of them. Returns the worst exit code."""
    targets = [target] if target else list(GENERATORS)
    # imported one by one: what a target needs (Go sources, protoc, the core) the others do not
    codes: list[int] = [importlib.import_module(GENERATORS[each][0]).run(check=check) for each in targets]
    return max(codes)


def main(argv: list[str] | None = None) -> int:
    """Run one tool. argv: without the program's name; None takes the process's.

    Returns the exit code: 1 where --check found a difference, 2 where the sources cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m tools", description="What the repository is kept with.")
    tools = parser.add_subparsers(dest="tool", required=True)
    lines = "\n".join(f"  {name:<10} {what}" for name, (_, what) in GENERATORS.items())
    making = tools.add_parser(
        "generate",
        help="make the committed files that follow from others",
        description=f"Make the committed files that follow from others; without a target all of them.\n\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    making.add_argument("target", nargs="?", choices=list(GENERATORS))
    making.add_argument("--check", action="store_true", help="compare with what is committed instead of writing")
    bench = tools.add_parser("bench", help="the figures of docs/benchmarks.md, beside the peer's where one is there")
    bench.add_argument("parts", nargs="*", help="what to measure: cost, rates, node, memory (default: all)")
    options = parser.parse_args(argv)
    if options.tool == "bench":
        from bench import main as measure  # needs a built knarr

        unknown = ", ".join(sorted(set(options.parts) - set(measure.PARTS)))
        if unknown:
            parser.error(f"bench: unknown {unknown}; there is {', '.join(measure.PARTS)}")
        return measure.main(options.parts)
    return generate(options.target, options.check)


if __name__ == "__main__":
    sys.exit(main())
