# The same decision as the honest rival's: the intersection of what each country that claims the request allows for
# its class of data, and of that the nearest region. The law and the latencies are data (`table`).
package borderpost.ingress

headers := input.attributes.request.http.headers

# OPA has no GeoIP database: a hop in front of Envoy has to say where the client is.
client := object.get(headers, "x-client-country", "")

claims contains client if client in object.keys(data.table.countries)

claims contains headers["x-data-residency"]

class := object.get(headers, "x-data-class", "personal")

allowed[country] contains region if {
	some country in claims
	law := data.table.countries[country]
	some region in object.get(law.classes, class, law.allowed)
}

legal := intersection({object.get(allowed, country, set()) | some country in claims})

distances := object.get(data.table.latency_ms, client, data.table.latency_ms["*"])

ranked := [[distances[region], region] | some region in legal]

best := min(ranked)[1]

default decision := {
	"allowed": false,
	"http_status": 403,
	"headers": {"content-type": "application/problem+json"},
	"body": "{\"status\":403,\"title\":\"no region may serve this request\"}",
}

decision := {
	"allowed": true,
	"headers": {"x-borderpost-cluster": data.table.regions[best].cluster},
	"dynamic_metadata": {"region": best, "effective": [country | some country in claims]},
} if {
	count(claims) > 0
	best
}
