"""Microsoft Presidio's pattern recognisers: forms, check digits, and words that stand before a weak form.

Only what works without a language model: names and places are not looked for. The recognisers run without Presidio's
engine, which would look through a whole text again for each weak form. A weak form (nine digits, say) counts where
Presidio raises its score for a word before it (`passport`); its words are looked for in a little text around it.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from presidio_analyzer import LemmaContextAwareEnhancer, PatternRecognizer, RecognizerResult, predefined_recognizers
from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine

from borderpost.payload.detectors.known import DetectorSettings
from borderpost.payload.texts import Text
from borderpost_base import limits
from borderpost_base.errors import BorderpostError

_SCORE_MIN: Final = 0.4
"""What Presidio gives to a weak form for which a word speaks (`min_score_with_context_similarity`)."""
_BEFORE: Final = 120
"""Characters before a weak form in which a word may speak for it; Presidio looks at five words."""
_WORD: Final = re.compile(r"\w+|[^\w\s]")
_LANGUAGE: Final = "en"
_NOT_OFFERED: Final = {"EmailRecognizer", "UrlRecognizer"}
"""The first fetches a list of domains from the network; the second takes every file name for a place there."""
_ELSEWHERE: Final = {"EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phones"}
"""Entities that our own detectors find."""


class _Words(NlpEngine):
    """Parts a text into words, the only thing that the recognisers want of a language model."""

    def load(self) -> None:
        """Load nothing."""

    def is_loaded(self) -> bool:
        """Say yes."""
        return True

    def process_text(self, text: str, language: str) -> NlpArtifacts:
        """Return the words of a text, in lower case."""
        words = list(_WORD.finditer(text))
        return NlpArtifacts(
            entities=[],
            tokens=[word[0] for word in words],
            tokens_indices=[word.start() for word in words],
            lemmas=[word[0].lower() for word in words],
            nlp_engine=self,
            language=language,
        )

    def process_batch(
        self, texts: Iterable[str], language: str, batch_size: int = 1, n_process: int = 1, **kwargs: Any
    ) -> Iterator[tuple[str, NlpArtifacts]]:
        """Return the words of each text."""
        return ((text, self.process_text(text, language)) for text in texts)

    def is_stopword(self, word: str, language: str) -> bool:
        """Say no: Presidio's lists of words have none."""
        return False

    def is_punct(self, word: str, language: str) -> bool:
        """Say whether a word is punctuation."""
        return not word[:1].isalnum()

    def get_supported_entities(self) -> list[str]:
        """Return none."""
        return []

    def get_supported_languages(self) -> list[str]:
        """Return the one under which all recognisers run."""
        return [_LANGUAGE]


class Presidio:
    """Finds the entities named, by Presidio's patterns."""

    name = "presidio"

    def __init__(self, data_class: str, recognisers: tuple[PatternRecognizer, ...]) -> None:
        self.data_class = data_class
        self._recognisers = recognisers
        self._words = _Words()
        self._enhancer = LemmaContextAwareEnhancer()

    def finds(self, text: Text) -> bool:
        """Say whether the text holds one."""
        weak = 0
        for recogniser in self._recognisers:
            for result in recogniser.analyze(text.text, recogniser.supported_entities, None):
                weak += 1
                if weak > limits.DETECTOR_WINDOWS_MAX or self._counts(text.text, recogniser, result):
                    return True
        return False

    def _counts(self, text: str, recogniser: PatternRecognizer, result: RecognizerResult) -> bool:
        if result.score >= _SCORE_MIN:
            return True
        begin = max(0, result.start - _BEFORE)
        window = text[begin : result.end]
        result.start, result.end = result.start - begin, result.end - begin
        words = self._words.process_text(window, _LANGUAGE)
        (raised,) = self._enhancer.enhance_using_context(window, [result], words, [recogniser])
        return bool(raised.score >= _SCORE_MIN)


def make(settings: DetectorSettings) -> Presidio:
    """Make the detector for the entities named. Raises BorderpostError BP1310."""
    logging.getLogger("presidio-analyzer").setLevel(logging.CRITICAL)  # it would log pieces of the text
    offered = _offered()
    if not settings.only:
        raise BorderpostError("BP1310", "the detector `presidio` looks for nothing", mend="name entities under `only`")
    for entity in settings.only:
        if entity in _ELSEWHERE:
            mend = f"name the detector `{_ELSEWHERE[entity]}`"
            raise BorderpostError("BP1310", f"`{entity}` is not looked for with Presidio", mend=mend)
        if entity not in offered:
            near = difflib.get_close_matches(entity, offered, n=1)
            mend = f"did you mean `{near[0]}`?" if near else f"one of {', '.join(sorted(offered))}"
            raise BorderpostError("BP1310", f"`{entity}` is no entity that Presidio finds by patterns", mend=mend)
    chosen = (offered[entity](supported_language=_LANGUAGE) for entity in settings.only)
    return Presidio(settings.data_class, tuple(chosen))


def _offered() -> dict[str, type[PatternRecognizer]]:
    """Return the recognisers by the entity that each finds."""
    kinds = [kind for name, kind in vars(predefined_recognizers).items() if name not in _NOT_OFFERED]
    recognisers = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, PatternRecognizer)]
    return {entity: kind for kind in recognisers for entity in kind(supported_language=_LANGUAGE).supported_entities}
