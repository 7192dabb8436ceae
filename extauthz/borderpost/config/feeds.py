"""Feeds: who may say what fires a trigger. Each is a file, a webhook or a stream; shapes, and the webhooks' secrets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import Field, model_validator

from borderpost.config.secrets import read_secret
from borderpost.policy.fields import Identifier
from borderpost_base.errors import NOWHERE, BadValue, BorderpostError, Place
from borderpost_base.strict import StrictModel
from borderpost_base.yaml_source import KeyPath


class WebhookSpec(StrictModel):
    """A feed that is posted to the admin server, `POST /feeds/NAME`."""

    secret_file: Path
    """File with the secret that the sender signs with (HMAC-SHA256), 16 bytes or more; a newline at its end does not
    count. It is read at every message, so that a secret can be changed. Every webhook has its own."""


class FeedSpec(StrictModel):
    """Where a feed comes from: one of three."""

    file: Path | None = None
    """JSON file with what the feed says now, `{"value": …, "at": "…"}`. It is watched; replace it by renaming."""

    webhook: WebhookSpec | None = None
    """Whoever knows a secret posts what the feed says. With `events.redis` every gateway of the fleet hears of it."""

    stream: str | None = Field(default=None, pattern=r"^[\x21-\x7e]{1,200}$")
    """Key of a stream in the server of `events.redis`, whose entries have one field, `message`, with the same JSON.
    Whoever may write there may fire what people have signed, and nothing else."""

    @model_validator(mode="after")
    def _one_of_three(self) -> FeedSpec:
        given = [name for name in ("file", "webhook", "stream") if getattr(self, name) is not None]
        if len(given) != 1:
            raise BadValue("BP0104", "a feed comes from a `file`, a `webhook` or a `stream`: one of them")
        return self


Feeds = Mapping[Identifier, FeedSpec]
"""Feeds by name."""


def secret_of(spec: WebhookSpec, place: Place = NOWHERE) -> bytes:
    """Return a webhook's secret. Raises BorderpostError BP1031 where there is none, or one that can be guessed."""
    return read_secret(spec.secret_file, "BP1031", place)


def secret_mistakes(feeds: Feeds) -> Iterator[tuple[KeyPath, BorderpostError]]:
    """Find webhooks without a secret of their own."""
    owners: dict[bytes, str] = {}
    for name, feed in feeds.items():
        if feed.webhook is None:
            continue
        path = ("events", "feeds", name, "webhook", "secret_file")
        try:
            secret = secret_of(feed.webhook)
        except BorderpostError as error:
            yield path, error
            continue
        if secret in owners:
            yield path, BorderpostError("BP1031", f"feeds `{owners[secret]}` and `{name}` share one secret")
        owners.setdefault(secret, name)
