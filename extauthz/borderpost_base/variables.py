"""Environment variables that are not configuration keys.

Every configuration key has a variable of its own, `BORDERPOST_SERVER__WORKERS` for `server.workers`; those are
derived from the schema. The few others are registered here, so that a misspelt one can be told from them.
"""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "BORDERPOST_"


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable."""

    name: str
    meaning: str


VARIABLES: dict[str, Variable] = {
    variable.name: variable
    for variable in (
        Variable("BORDERPOST_CONFIG", "Path of the configuration file, where `--config` is not given."),
        Variable("BORDERPOST_NO_SKIPS", "Tests: with 1, a skipped test is a failure, as in continuous integration."),
        Variable(
            "BORDERPOST_TEST_ENGINE",
            "Tests: the `server.engine` that the whole product is tested with; `auto`, the default, is what users get.",
        ),
        Variable("BORDERPOST_TEST_SEED", "Tests: the seed of every test, printed at the head of each run."),
        Variable("BORDERPOST_TEST_PROFILE", "Tests: `quick` or `full`, how many examples each property gets."),
        Variable("NO_COLOR", "With any value: no colours, also in a terminal."),
    )
}
"""Every variable by its name."""
