# What each regime, embargo and sanction says of each processor (rules 9 to 20).
package borderpost.judgement

import rego.v1

import data.borderpost.events
import data.borderpost.law
import data.borderpost.places
import data.borderpost.request
import data.borderpost.tables

# Where the subjects of a regime are.
subjects_of(id) := object.get(spots_by, id, {})

spots_by[id] := spots if {
	some id in law.live
	lifted := object.get(events.lifted_of, id, set())
	spots := object.remove(places.spots_of(said_of(id, "subjects")), lifted)
}

said_of(id, key) := object.get(tables.regimes, [id, key], null)

# Rule 10: the live regimes that are about each code that is heard.
about[code] contains id if {
	some code in request.heard
	some id in law.live
	places.meant(request.place(code), subjects_of(id))
}

default is_doubtful := false

is_doubtful if {
	some code in request.heard
	some id in law.live
	heeded(code, id)
	places.in_part(request.place(code), subjects_of(id))
}

is_doubtful if {
	some code in request.heard
	events.is_doubtful(code)
}

# Rule 11: any word on a place calls for embargoes, believed ones for transfer regimes too.
heeded(code, _) if code in request.subjects

heeded(_, id) if said_of(id, "kind") == "embargo"

applying contains id if {
	some code in request.heard
	some id in object.get(about, code, set())
	heeded(code, id)
}

embargoes contains id if {
	some id in law.live
	said_of(id, "kind") == "embargo"
}

# Rule 13: whether some protected class of some subject has no law.
is_uncovered(subjects) if {
	some name in request.names
	object.get(tables.classes, [name, "protected"], false)
	some code in subjects
	not is_covered(code, name)
}

is_covered(code, name) if {
	some one in law.governs
	one.regime in object.get(about, code, set())
	some class in one.data
	class in array.concat(["*"], object.get(tables.classes, [name, "with"], []))
}

# Rule 14: the judges in order, each with the processors that it refuses, why, and the bases that it gives.
judged(applied, concerned) := array.concat(
	[said | some id in sort(applied | embargoes); said := hears(id, concerned)],
	[said | some id in sort(object.keys(events.sanctioned)); said := bars(id)],
)

# Rule 15.
hears(id, _) := {"by": id, "against": against, "given": {}} if {
	said_of(id, "kind") == "embargo"
	against := {one: concat("/", [id, "embargo"]) | some one in places.processors_in(subjects_of(id))}
}

bars(id) := {"by": label, "against": against, "given": {}} if {
	label := concat("/", ["event", id])
	against := {one: label | some one in places.processors_in(object.get(events.sanctioned, id, {}))}
}

# Rule 18.
hears(id, concerned) := {"by": id, "against": against, "given": given} if {
	said_of(id, "kind") == "transfer"
	denied := [[entry.basis, entry.at] | some entry in object.get(law.denies, id, {})]
	given := given_by(id, concerned)
	baseless := (locations - opened(id, concerned)) - union({at | some at in given})
	failing := {object.get(tables.locations, [location, "of"], null) | some location in (baseless | union({pair[1] | some pair in denied}))}
	against := {processor: reason |
		some processor in failing
		reason := concat("/", [id, first_reason(processor, denied, baseless)])
	}
}

locations := object.keys(tables.locations)

# The locations to which each basis of a regime lets data go, less those for which events have revoked it.
given_by(id, concerned) := {basis: at |
	pairs := pairs_of(id)
	some basis in {pair[0] | some pair in pairs}
	at := union({pair[1] | some pair in pairs; pair[0] == basis}) - events.gone(id, basis, concerned)
}

pairs_of(id) := ({[entry.basis, entry.at] | some entry in object.get(law.allows, id, {})} | granted(id)) | own(id)

granted(id) := {[event.basis, event.at] |
	not request.stale
	some event in events.in_force
	event.type == "adequacy_grant"
	id in event.regimes
}

own(id) := {[basis, locations] |
	basis := said_of(id, "basis")
	basis != null
}

# What `default: allow` lets pass: all for which its own basis has not been revoked.
opened(id, _) := set() if said_of(id, "default") == "deny"

opened(id, concerned) := locations - gone if {
	said_of(id, "default") == "allow"
	gone := events.gone(id, said_of(id, "basis"), concerned)
}

# Rule 18 and 19: the first denial in order of the alphabet, or else that there is no basis; and where.
first_reason(one, denied, _) := concat("", [first[0], suffixes[first[1]]]) if {
	hits := sort([hit | some hit in denials(one, denied)])
	first := hits[0]
}

first_reason(one, denied, baseless) := concat("", ["no-basis", suffixes[min(blocks)]]) if {
	count(denials(one, denied)) == 0
	blocks := blocks_in(one, baseless)
}

denials(one, denied) := {[pair[0], block] |
	some pair in denied
	some block in blocks_in(one, pair[1])
}

# A processor's own location is 0, where it retains 1, where its telemetry goes 2.
blocks_in(one, at) := {block |
	some location in object.get(tables.processors, one, [])
	location in at
	block := object.get(tables.locations, [location, "block"], 0)
}

suffixes := ["", ":retention", ":telemetry"]

# The bases of a region that no judge refuses, of all judges in their order.
bases_of(region, said) := [label |
	some one in said
	some basis in sort(object.keys(one.given))
	blocks := blocks_in(region, object.get(one.given, basis, set()))
	count(blocks) > 0
	label := concat("", [one.by, "/", basis, suffixes[min(blocks)]])
]

# The first judge that refuses this gateway's own place or a sink, and why.
own_refusal(said) := found[0] if {
	found := [[one.by, reason] |
		some one in said
		reason := own_reason(one.against)
	]
}

own_reason(against) := "here-not-allowed" if against["@here"]

own_reason(against) := concat(":", ["sink-not-allowed", min(sinks)]) if {
	not against["@here"]
	sinks := {name | some name in tables.sinks; against[concat(":", ["@sink", name])]}
}

# Rule 14 and 23: the first reason against each region, of the judges and then of the events.
refusals(said, concerned) := {region: reasons[0] |
	some region in tables.regions
	reasons := array.concat(judges_against(region, said), events_against(region, concerned))
	count(reasons) > 0
}

judges_against(region, said) := [reason |
	some one in said
	reason := object.get(one.against, region, null)
	reason != null
]

events_against(region, concerned) := [concat("/", ["event", id]) |
	some id in sort(concerned)
	region in events.refused_by(events.standing(id))
]
