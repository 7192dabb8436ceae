"""E-mail addresses, by their form: there is nothing in one that could be checked."""

from __future__ import annotations

import re
from typing import Final

from borderpost.payload.detectors.known import DetectorSettings
from borderpost.payload.texts import Text

_ADDRESS: Final = re.compile(
    r"@(?<=[\w+.!#$%&'*/=?^`{|}~-]@)(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}"
    r"(?!(?:png|jpe?g|gif|svg|webp|avif|css|js|html?)\b)[^\W\d_]{2,63}(?![\w-])",
    re.IGNORECASE,
)
"""From the `@` on, so that a text without one costs nothing. Of names such as `logo@2x.png` the end is a file's."""


class EmailAddresses:
    """Finds e-mail addresses, internationalised ones too."""

    name = "email"

    def __init__(self, data_class: str) -> None:
        self.data_class = data_class

    def finds(self, text: Text) -> bool:
        """Say whether the text holds one."""
        return _ADDRESS.search(text.text) is not None


def make(settings: DetectorSettings) -> EmailAddresses:
    """Make the detector."""
    return EmailAddresses(settings.data_class)
