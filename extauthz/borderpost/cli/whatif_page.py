"""What `whatif` found, told to people: a sentence, then who loses service, who moves, and what regions get."""

from __future__ import annotations

from typing import TYPE_CHECKING

from borderpost.cli.foreseeing import figure, tell_rest
from borderpost.cli.output import Output

if TYPE_CHECKING:
    from borderpost.cli.whatif import Report
    from borderpost.foresight.comparison import Move, Who


def tell(report: Report, output: Output, rows_max: int) -> None:
    """Print the report; of each list no more than some rows."""
    found = report.comparison
    colour = "red" if found.lost else "green"
    output.data(output.paint(report.summary(), colour, stream=output.stdout))
    _tell_losing(report, output, rows_max)
    _tell_moves(report, output, rows_max)
    _tell_gaining(report, output, rows_max)
    _tell_loads(report, output)
    for note in report.notes():
        output.data(f"note: {note}")


def _tell_losing(report: Report, output: Output, rows_max: int) -> None:
    found, told = report.comparison, report.seen.told
    if not found.losing:
        return
    listed = sorted(found.losing.items(), key=lambda item: (-item[1], str(item[0])))
    rows = [
        (told(weight), f"{found.share(weight):.1f} %", *who_cells(each.who), each.region, each.reason)
        for each, weight in listed[:rows_max]
    ]
    output.data("")
    headings = ("requests", "share", "workload", "tenant", "places", "data", "served now by", "refused then for")
    output.table(headings, rows, title="Who loses service")
    tell_rest(len(listed) - rows_max, output)


def _tell_moves(report: Report, output: Output, rows_max: int) -> None:
    found, told = report.comparison, report.seen.told
    if not found.moves:
        return
    listed = sorted(found.moves.items(), key=lambda item: (-item[1].weight, item[0]))
    rows = [
        (told(move.weight), f"{found.share(move.weight):.1f} %", before, after, latency_cell(move))
        for (before, after), move in listed[:rows_max]
    ]
    output.data("")
    output.table(("requests", "share", "from", "to", "latency"), rows, title="Who moves")
    tell_rest(len(listed) - rows_max, output)


def _tell_gaining(report: Report, output: Output, rows_max: int) -> None:
    found, told = report.comparison, report.seen.told
    if not found.gaining:
        return
    listed = sorted(found.gaining.items(), key=lambda item: (-item[1], str(item[0])))
    rows = [(told(weight), *who_cells(who), region) for (who, region), weight in listed[:rows_max]]
    output.data("")
    headings = ("requests", "workload", "tenant", "places", "data", "served then by")
    output.table(headings, rows, title="Who is refused now and would be served")
    tell_rest(len(listed) - rows_max, output)


def _tell_loads(report: Report, output: Output) -> None:
    rows = []
    for row in report.loads():
        if not row["before"] and not row["after"] and not row["gone"]:
            continue
        capacity = "-" if row["capacity_per_s"] is None else f"{figure(row['capacity_per_s'])}/s"
        if row["overloaded"]:
            capacity += " (too little)"
        rows.append((row["region"], figure(row["before"]), "gone" if row["gone"] else figure(row["after"]), capacity))
    output.data("")
    unit = report.seen.unit
    output.table(("region", f"{unit} now", "then", "can bear"), rows, title="What the regions get")
    output.data("")


def who_cells(who: Who) -> tuple[str, str, str, str]:
    """Return whose requests they are as cells: workload, tenant, places, data."""
    return who.workload or "-", who.tenant or "-", ", ".join(who.places) or "unknown", ", ".join(who.classes) or "-"


def latency_cell(move: Move) -> str:
    """Return what a move costs: the mean, and the range where it is not the same for all."""
    if move.mean_us is None or move.least_us is None or move.most_us is None:
        return "unknown"
    words = f"{move.mean_us / 1000:+.1f} ms"
    if move.least_us != move.most_us:
        words += f" ({move.least_us / 1000:+.1f} to {move.most_us / 1000:+.1f})"
    if move.known < move.weight:
        words += f", known of {100 * move.known / move.weight:.0f} %"
    return words
