# Sets of spots, written as mappings from each spot to true (rules 2, 3 and 10).
package borderpost.places

import rego.v1

import data.borderpost.tables

# The spots of a territory, by its name.
spots_of(name) := object.get(tables.territories, name, {})

is_among(spot, wide) if object.get(wide, spot, false)

surely_in(place, wide) if count([spot | some spot in place.cells; not is_among(spot, wide)]) == 0

may_be_in(place, wide) if {
	some spot in place.cells
	is_among(spot, wide)
}

in_part(place, wide) if {
	may_be_in(place, wide)
	not surely_in(place, wide)
}

# Whether a place is taken to be among these spots, by the treatment of unknown subdivisions.
meant(place, wide) if surely_in(place, wide)

meant(place, wide) if {
	tables.subdivision_unknown == "strictest"
	may_be_in(place, wide)
}

meant(place, wide) if {
	tables.subdivision_unknown == "country-only"
	is_among(place.plain, wide)
}

# The processors any of whose locations may be among these spots (rules 5 and 15).
processors_in(wide) := {processor |
	count(wide) > 0
	some location in (at_spots(wide) | {anywhere | some anywhere in tables.anywhere})
	processor := object.get(tables.locations, [location, "of"], null)
}

at_spots(wide) := {location |
	some spot in object.keys(tables.locations_at)
	is_among(spot, wide)
	some location in object.get(tables.locations_at, spot, [])
}
