# Where a request may go: the answer (rules 12 to 14, 25 and 26).
package borderpost

import rego.v1

import data.borderpost.events
import data.borderpost.judgement
import data.borderpost.request
import data.borderpost.tables

# Input that cannot be understood is refused, whatever else it says.
decision := {
	"ruling": "evidence", "reason": "invalid-input", "problems": sort(request.problems),
	"legal": [], "bases": {}, "refused": {}, "regimes": [], "effective": [], "events": [],
	"conflict": null, "subdivision_unknown": false, "mode": tables.mode, "stale": true,
} if {
	count(request.problems) > 0
}

decision := object.union(told, found) if {
	count(request.problems) == 0
}

told := {
	"problems": [],
	"effective": request.effective,
	"mode": request.mode,
	"stale": request.stale,
}

# Rule 12: the first that fits is the reason.
found := unread("unknown-code", false) if {
	count(request.unknown_codes) > 0
} else := forbidden("embargo", {region: embargoing[0] | some region in tables.regions}, sanctions) if {
	count(embargoing) > 0
} else := unread(concat(":", ["evidence-required", request.missing]), judgement.is_doubtful) if {
	request.missing != null
} else := unread("unknown-class", judgement.is_doubtful) if {
	some name in request.names
	object.get(tables.classes, name, null) == null
} else := unread("unknown-subject", judgement.is_doubtful) if {
	is_unknown
} else := unread("subdivision-unknown", true) if {
	judgement.is_doubtful
	tables.subdivision_unknown == "refuse"
} else := forbidden("no-regime", {region: "policy/no-regime" | some region in tables.regions}, []) if {
	refuses_uncovered
	judgement.is_uncovered(request.subjects)
} else := forbidden(own_refusal[1], refused_with_own, took_part) if {
	own_refusal
} else := {
	"ruling": "legal", "reason": "ok", "legal": sort(legal), "bases": bases, "refused": refused,
	"regimes": sort(judgement.applying), "events": took_part, "conflict": conflict(legal),
	"subdivision_unknown": judgement.is_doubtful,
} if {
	count(legal) > 0
} else := forbidden("no-legal-region", refused, took_part)

unread(reason, is_doubtful) := {
	"ruling": "evidence", "reason": reason, "legal": [], "bases": {}, "refused": {}, "regimes": [], "events": [],
	"conflict": null, "subdivision_unknown": is_doubtful,
}

forbidden(reason, refusals, ids) := {
	"ruling": "forbidden", "reason": reason, "legal": [], "bases": {}, "refused": refusals,
	"regimes": sort(judgement.applying), "events": ids, "conflict": conflict(set()),
	"subdivision_unknown": judgement.is_doubtful,
}

embargoing := array.concat(
	[concat("/", [id, "embargo"]) | some id in sort(judgement.applying & judgement.embargoes)],
	[concat("/", ["event", id]) | some id in sanctions],
)

sanctions := sort(events.sanctioning(request.heard))

is_unknown if count(request.subjects) == 0

is_unknown if {
	count(tables.treat_as) == 0
	not request.is_placed
}

refuses_uncovered if {
	tables.no_regime == "refuse"
	request.mode != "performance-first"
}

concerned := events.concerning(request.subjects, judgement.applying)

said := judgement.judged(judgement.applying, concerned)

took_part := events.took_part(concerned, judgement.applying)

own_refusal := judgement.own_refusal(said)

refused := judgement.refusals(said, concerned)

# With `here` or a sink refused, a region that a judge refuses keeps its reason.
refused_with_own := object.union(
	{region: concat("/", own_refusal) | some region in tables.regions},
	judgement.refusals(said, set()),
)

legal := {region | some region in tables.regions} - object.keys(refused)

bases := {region: text |
	some region in legal
	text := basis_text(array.concat(judgement.bases_of(region, said), uncovered_basis))
}

basis_text(labels) := concat(",", labels) if count(labels) > 0

basis_text([]) := "unrestricted"

default uncovered_basis := []

uncovered_basis := ["policy/no-regime"] if judgement.is_uncovered(request.subjects)

# Rule 25: the first pair of believed sources that cannot both be right.
conflict(allowed) := fixed if {
	fixed
} else := "header-widen" if {
	asserted
	header_widens(allowed)
} else := asserted if {
	asserted
} else := null

fixed := first_apart([["token", "mtls"], ["token", "geoip"], ["mtls", "geoip"]])

asserted := first_apart([["token", "header"], ["mtls", "header"], ["header", "geoip"]])

first_apart(pairs) := found[0] if {
	count(spots_by) > 1
	found := [concat("-vs-", pair) | some pair in pairs; are_apart(spots_of(pair[0]), spots_of(pair[1]))]
}

spots_by[piece.source] := spots if {
	some piece in request.believed
	spots := {spot | some spot in request.place(piece.code).cells}
}

spots_of(source) := object.get(spots_by, source, set())

code_of(source) := found[0] if {
	found := [piece.code | some piece in request.believed; piece.source == source]
}

are_apart(some_spots, other_spots) if {
	count(some_spots) > 0
	count(other_spots) > 0
	count(some_spots & other_spots) == 0
}

# Whether some region that is not legal would be, were the subject only where the header says.
header_widens(allowed) if {
	code := code_of("header")
	applied := {id | some id in object.get(judgement.about, code, set())}
	count(applied & judgement.embargoes) == 0
	count(events.sanctioning({code})) == 0
	not closes_uncovered(code)
	then_concerned := events.concerning({code}, applied)
	then_said := judgement.judged(applied, then_concerned)
	not judgement.own_refusal(then_said)
	then_refused := object.keys(judgement.refusals(then_said, then_concerned))
	count(({region | some region in tables.regions} - then_refused) - allowed) > 0
}

closes_uncovered(code) if {
	refuses_uncovered
	judgement.is_uncovered({code})
}
