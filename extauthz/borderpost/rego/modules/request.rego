# What is asked, read from the input: the facts, the instant, staleness. The guide "The law in OPA and Conftest" has the
# table of its keys.
#
# Numbers are those of the rules of decision in Borderpost's policy reference. Anything unexpected in the input is a
# problem, and a problem refuses: an unknown key may be a misspelt one, without which the answer would be wider.
package borderpost.request

import rego.v1

import data.borderpost.tables

sources := {"token", "mtls", "header", "geoip"}

modes := ["legal-first", "hybrid", "performance-first"]

texts := {"tenant", "model", "missing", "purpose"}

given(key) if {
	some name in object.keys(input)
	name == key
}

# Each shape is a rule of its own: `not f(input.x)` would not hold where x is not given.
has_facts if is_object(input.facts)

has_evidence if is_array(input.facts.evidence)

has_classes if are_names(input.facts.classes)

problems contains "`facts` is not given, or is not a mapping" if not has_facts

problems contains sprintf("`%s` is no part of the facts", [key]) if {
	some key in object.keys(input.facts)
	not key in ({"evidence", "classes", "mode"} | texts)
}

problems contains sprintf("`%s` is no part of a question", [key]) if {
	some key in object.keys(input)
	not key in {"facts", "region", "now_us", "at", "stale"}
}

problems contains "`facts.evidence` is not a list" if not has_evidence

problems contains "a piece of evidence is no mapping with a `source` that is known and a `code`" if {
	some piece in input.facts.evidence
	not is_evidence(piece)
}

problems contains "two pieces of evidence are of one source" if {
	some first, piece in input.facts.evidence
	some second, other in input.facts.evidence
	first < second
	piece.source == other.source
}

problems contains "`facts.classes` is not a list of names" if not has_classes

problems contains sprintf("`facts.%s` is not text", [key]) if {
	some key in texts
	not is_text_or_null(object.get(input.facts, key, null))
}

problems contains "`facts.mode` is no mode" if {
	mode := object.get(input.facts, "mode", null)
	mode != null
	not mode in modes
}

problems contains "`now_us` is not a whole number of microseconds since 1970" if {
	given("now_us")
	not is_whole(input.now_us)
}

problems contains "`at` is not an instant as in RFC 3339" if {
	given("at")
	not time.parse_rfc3339_ns(input.at)
}

problems contains "`now_us` and `at` are both given" if {
	given("now_us")
	given("at")
}

problems contains "`stale` is neither true nor false" if {
	given("stale")
	not is_boolean(input.stale)
}

is_evidence(piece) if {
	piece.source in sources
	is_string(piece.code)
	is_text_or_null(object.get(piece, "doubt", null))
	count(object.keys(piece) - {"source", "code", "doubt", "subdivision_unknown"}) == 0
}

are_names(list) if {
	is_array(list)
	count([name | some name in list; not is_string(name)]) == 0
}

is_text_or_null(value) if is_string(value)

is_text_or_null(null)

is_whole(value) if {
	is_number(value)
	floor(value) == value
}

# The instant, microseconds since 1970.
now_us := input.now_us if given("now_us")

now_us := floor(time.parse_rfc3339_ns(input.at) / 1000) if {
	given("at")
	not given("now_us")
}

now_us := floor(time.now_ns() / 1000) if {
	not given("at")
	not given("now_us")
}

default stale := false

stale if input.stale

# Rule 7: the classes that the facts name, and all that these imply.
names := {name | some name in input.facts.classes}

classes := {class |
	some name in names
	some class in object.get(tables.classes, [name, "with"], [])
}

# Say whether the request has one of these classes.
has_any(wanted) if count(classes & wanted) > 0

tenant := object.get(input.facts, "tenant", null)

purpose := object.get(input.facts, "purpose", null)

missing := object.get(input.facts, "missing", null)

default model := null

model := input.facts.model if tables.trust_model_header

# Rule 8: the strictest mode that tenant, route and classes set.
set_modes contains input.facts.mode if input.facts.mode != null

set_modes contains mode if {
	some other in names
	object.get(tables.classes, [other, "mode"], null) != null
	some name in names
	mode := mode_of(name)
}

mode_of(name) := own_mode if {
	own_mode := object.get(tables.classes, [name, "mode"], null)
	own_mode != null
} else := tables.mode

default mode := "legal-first"

mode := tables.mode if count(set_modes) == 0

mode := found[0] if {
	found := [one | some one in modes; one in set_modes]
}

legal_first if mode == "legal-first"

# Say whether a condition on a value may hold (rule 9): one that is not known may be anything.
may_be(value, _) if value == null

may_be(value, wanted) if value in wanted

# Rule 1 and 2: the spots that a code may mean, and the one that it means if it is in none of the parts that it does
# not itself name. Undefined for a code that is malformed or of no country.
place(code) := found if {
	found := object.get(tables.places, object.get(tables.own_code, code, code), null)
	found != null
} else := found if {
	regex.match(`^[A-Z]{2}-[A-Z0-9]{1,8}$`, code)
	country := substring(code, 0, 2)
	whole := object.get(tables.places, country, null)
	whole != null
	found := object.get(tables.rest, [country, kind_of(code)], whole)
}

kind_of(code) := "subdivision" if count(code) <= 6

kind_of(code) := "jurisdiction" if count(code) > 6

# Rule 11: evidence. The subjects are the codes of all believed pieces, and, if none places the subject, those that the
# policy takes instead; heard are also the codes of pieces in doubt.
believed := [piece |
	some piece in input.facts.evidence
	object.get(piece, "doubt", null) == null
]

default is_placed := false

is_placed if {
	some piece in believed
	piece.source != "header"
}

codes := {piece.code | some piece in input.facts.evidence}

unknown_codes := {code | some code in codes; not place(code)}

supposed contains code if {
	not is_placed
	some code in tables.treat_as
}

subjects := {piece.code | some piece in believed} | supposed

heard := codes | supposed

effective := sort(subjects) if count(unknown_codes) == 0

effective := sort({piece.code | some piece in believed}) if count(unknown_codes) > 0
