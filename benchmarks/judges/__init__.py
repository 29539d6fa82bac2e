"""The same simulated traffic through our judge and through the rest of the field.

python -m benchmarks.judges          simulate all, write benchmarks/results/judges.json and its page and plot in docs/
python -m benchmarks.judges --quick  a small part, printed only, in under a minute
python -m benchmarks.judges --check  are the page and the plot those of the stored results?

`worlds` makes traffic, `ours` and `peers` (with `kayenta`) judge it, `measure` counts, `page` shows.
"""
