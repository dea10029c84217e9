"""`python -m bench.report`: a run's JSON file to its report."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.report import PAGE, PICTURES, write_markdown, write_report
from bench.results import load_results


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument(
        "results", type=Path, help="the JSON file of a run, or that compressed (.gz)"
    )
    parser.add_argument("--out", type=Path, required=True, help="directory of the report")
    parser.add_argument("--markdown", type=Path, help="write the Markdown here as well")
    parser.add_argument(
        "--pictures", type=Path, help="where its charts go: pictures/ beside it by default"
    )
    options = parser.parse_args(arguments)
    if options.pictures and not options.markdown:
        parser.error("--pictures needs --markdown")
    results = load_results(options.results)
    write_report(results, options.out)
    print(options.out / PAGE)
    if options.markdown:
        pictures = options.pictures or options.markdown.parent / PICTURES
        write_markdown(results, options.markdown, pictures)
        print(options.markdown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
