"""Build Istio's control plane and command line into the user's cache, once; print where they are.

    python tools/istio_tools.py

Exit status 0, or 2 where they cannot be built. The cache's key is the Go module in `istio/lab`.
"""

from __future__ import annotations

import sys

from borderpost.demo.istio.tools import istio_tools
from borderpost_base.errors import BorderpostError


def main() -> int:
    """Build what is missing."""
    try:
        tools = istio_tools(lambda line: print(line, file=sys.stderr, flush=True))
    except BorderpostError as error:
        print(f"error[{error.code}]: {error.detail}\nhint: {error.mend}", file=sys.stderr)
        return 2
    print(f"{tools.istiod}\n{tools.istioctl}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
