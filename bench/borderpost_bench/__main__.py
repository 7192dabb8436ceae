"""Run the bench: `python -m borderpost_bench`."""

from __future__ import annotations

from borderpost_bench.main import main

raise SystemExit(main())
