"""The demonstration: a real Envoy, regions that answer, and the law at work.

`run` plays it. Everything it needs is made in a directory of its own and ends with it; nothing of this
machine is changed.
"""

from __future__ import annotations

from borderpost.demo.telling import Teller

__all__ = ["Teller", "run"]


def run(teller: Teller, *, live: bool = False, istio: bool = False) -> int:
    """Play the demo, or with `live` set the stage and leave it until Ctrl-C; return the exit code.

    With `istio` Envoy is a gateway that Istio's control plane configures. 0: all of it came true; 1: something did
    not, and the end says what. Raises BorderpostError BP0910 or BP0911 where the stage cannot be set, BP1450 to BP1452
    where the control plane cannot be built.
    """
    from borderpost.demo.play import play, stay

    return stay(teller, istio=istio) if live else play(teller, istio=istio)
