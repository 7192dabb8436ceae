# Legal events in force, and what they change (rules 21 to 24). The events themselves are in law.rego.
package borderpost.events

import rego.v1

import data.borderpost.law
import data.borderpost.places
import data.borderpost.request
import data.borderpost.tables

in_window contains event if {
	some key in object.keys(law.event)
	event := object.get(law.event, key, {})
}

# Rule 21: a lift in force ends the event that it names.
lifted contains event.ends if {
	some event in in_window
	event.type == "lift"
}

in_force[event.id] := event if {
	some event in in_window
	not event.id in lifted
}

standing(id) := object.get(in_force, id, {})

# Rule 22: the spots that events have taken from an embargo.
lifted_of[regime] contains spot if {
	some event in in_force
	event.type == "sanctions_lift"
	some regime in event.regimes
	some spot in object.keys(places.spots_of(event.subjects))
}

# Rule 22: the spots that each sanctions event puts under an embargo, less those that a later one lifts.
sanctioned[id] := wide if {
	some id, event in in_force
	event.type == "sanctions_add"
	lifted_later := {spot |
		some later in in_force
		later.type == "sanctions_lift"
		later.everywhere
		later.number > event.number
		some spot in object.keys(places.spots_of(later.subjects))
	}
	wide := object.remove(places.spots_of(event.subjects), lifted_later)
	count(wide) > 0
}

# Sanctions events about one of these codes.
sanctioning(codes) := {id |
	some id in object.keys(sanctioned)
	wide := object.get(sanctioned, id, {})
	some code in codes
	places.meant(request.place(code), wide)
}

# Rule 10: whether an event is about a part of a code and not about all of it.
is_doubtful(code) if {
	some wide in sanctioned
	places.in_part(request.place(code), wide)
}

is_doubtful(code) if {
	code in request.subjects
	some event in in_force
	places.in_part(request.place(code), places.spots_of(event.concerns.subjects))
}

# Rule 23: the events that concern a request of these subjects, to which these regimes apply.
concerning(subjects, applying) := {id |
	some id in object.keys(in_force)
	event := standing(id)
	meets_subjects(event.concerns, subjects)
	meets_classes(event.concerns)
	meets_regimes(event.concerns, applying)
	meets_party(event.concerns)
}

meets_subjects(concerns, _) if not concerns.subjects

meets_subjects(concerns, subjects) if {
	some code in subjects
	places.meant(request.place(code), places.spots_of(concerns.subjects))
}

meets_classes(concerns) if not concerns.data

meets_classes(concerns) if request.has_any(concerns.data)

meets_regimes(concerns, _) if not concerns.regimes

meets_regimes(concerns, applying) if count(concerns.regimes & applying) > 0

meets_party(concerns) if {
	request.may_be(request.tenant, object.get(concerns, "tenants", {request.tenant}))
	request.may_be(request.model, object.get(concerns, "models", {request.model}))
}

# The regions that an event refuses outright; a suspended one not if an event further down has restored it.
refused_by(event) := event.refuses if event.type != "region_suspend"

refused_by(event) := event.refuses - restored if {
	event.type == "region_suspend"
	restored := {region |
		some later in in_force
		later.type == "region_restore"
		later.number > event.number
		some region in later.restores
	}
}

# The locations for which events have taken a basis of a regime away.
gone(regime, basis, concerned) := union({event.at |
	some id in concerned
	event := standing(id)
	basis in event.revokes
	is_about(event, regime)
})

is_about(event, regime) if regime in event.regimes

is_about(event, _) if event.regimes == {"*"}

# Rule 24: whether a counter has reached a count.
reached(counter, least) if {
	some event in in_force
	event.counter == counter
	event.count >= least
}

# Rule 26: the events of those that concern a request that refuse a region, or change what a regime has that applies.
took_part(concerned, applying) := sort({id |
	some id in concerned
	takes_part(id, applying)
})

takes_part(id, _) if count(refused_by(standing(id))) > 0

takes_part(id, _) if count(places.processors_in(object.get(sanctioned, id, {}))) > 0

takes_part(id, applying) if {
	some regime in applying
	event := standing(id)
	some basis in event.revokes
	is_about(event, regime)
	gives(regime, basis)
}

takes_part(id, applying) if {
	event := standing(id)
	event.type == "adequacy_grant"
	count(event.regimes & applying) > 0
}

takes_part(id, applying) if {
	event := standing(id)
	some regime in applying
	event.counter in object.get(tables.regimes, [regime, "counters"], [])
}

gives(regime, basis) if basis in object.get(tables.regimes, [regime, "gives"], [])

gives(regime, basis) if {
	some event in in_force
	event.type == "adequacy_grant"
	event.basis == basis
	regime in event.regimes
}
