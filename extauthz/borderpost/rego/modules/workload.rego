# Entry points: `allow_region` for admission control, `deny` for Conftest and other gates.
#
# What is judged is one of
#     {"facts": …, "region": …}      a request, and the region that it would go to; without one, whether it may go at all
#     {"workload": {"classes": …, "subjects": …, "region": …, "tenant": …, "purpose": …, "model": …}}
#     a Kubernetes object, an AdmissionReview or Gatekeeper's review of one, which says the same by the labels or
#     annotations borderpost.dev/data-class, /subjects, /region, /tenant and /purpose; what says no data class is let be
#
# A workload may run in a region if the law lets data of its classes go there for each of its subjects.
package borderpost

import rego.v1

import data.borderpost.tables

default allow_region := false

allow_region if {
	count(deny) == 0
	input.facts
	decision.ruling == "legal"
}

allow_region if {
	count(deny) == 0
	count(codes_of_subjects) > 0
	count([code | some code in codes_of_subjects; not lets(code)]) == 0
}

deny contains "nothing to judge: neither facts, nor a workload, nor a Kubernetes object" if {
	not input.facts
	not workload
	not is_manifest
}

is_manifest if is_object(manifest.metadata)

# A request.
deny contains sentence if {
	input.facts
	decision.ruling != "legal"
	sentence := concat("", ["the law refuses this request: ", concat("; ", array.concat([decision.reason], decision.problems))])
}

deny contains sentence if {
	input.facts
	region := input.region
	decision.ruling == "legal"
	not region in decision.legal
	sentence := sprintf("this request may not go to region `%s`: %s", [region, why_not(decision, region)])
}

# A workload.
deny contains sentence if {
	some problem in workload_problems
	sentence := sprintf("%s: %s", [workload_name, problem])
}

deny contains sentence if {
	count(workload_problems) == 0
	some code in codes_of_subjects
	not lets(code)
	sentence := sprintf("%s: %s data of a subject in %s may not be handled in region `%s`: %s", [
		workload_name, concat(", ", sort(workload.classes)), code,
		workload.region, why_not(object.get(verdicts, code, {}), workload.region),
	])
}

lets(code) if workload.region in verdicts[code].legal

why_not(verdict, region) := reason if {
	reason := verdict.refused[region]
} else := verdict.reason if {
	verdict.ruling != "legal"
} else := "the policy has no such region"

verdicts := {code: verdict |
	some code in codes_of_subjects
	question := question_about(code)
	verdict := decision with input as question
}

question_about(code) := object.union(asked_when, {"facts": {
	"evidence": [{"source": "token", "code": code}],
	"classes": sort({class | some class in array.concat(workload.classes, tenant_says("classes", []))}),
	"tenant": workload.tenant,
	"model": workload.model,
	"purpose": purpose_said,
	"mode": tenant_says("mode", null),
}})

asked_when[key] := input[key] if {
	some key in ["now_us", "at", "stale"]
	input[key] != null
}

tenant_says(key, otherwise) := object.get(tables.tenants, [workload.tenant, key], otherwise)

purpose_said := workload.purpose if workload.purpose != null

purpose_said := tenant_says("purpose", null) if workload.purpose == null

workload_problems contains "it names no data class" if count(workload.classes) == 0

workload_problems contains "it does not say whose data it handles (subjects)" if count(workload.subjects) == 0

workload_problems contains sprintf("`%s` is neither a place nor a group of the policy", [subject]) if {
	some subject in workload.subjects
	count(codes_of(subject)) == 0
}

workload_problems contains "it may stand anywhere: it says no region, or several" if {
	workload
	workload.region == null
}

workload_problems contains sprintf("`%s` is no part of a workload", [key]) if {
	some key in object.keys(input.workload)
	not key in {"classes", "subjects", "region", "tenant", "purpose", "model"}
}

workload_problems contains "a label or annotation is no text" if {
	some name in {"data-class", "subjects", "region", "tenant", "purpose"}
	some value in values(name)
	not is_string(value)
}

workload_problems contains "`classes` and `subjects` are lists of text" if {
	some key in ["classes", "subjects"]
	not is_array(object.get(input.workload, key, []))
}

codes_of_subjects contains code if {
	some subject in workload.subjects
	some code in codes_of(subject)
}

# A group stands for every code that may be in it; what is neither a group nor a place, for none.
codes_of(subject) := members if {
	members := tables.groups[subject]
} else := object.keys(tables.places) if {
	subject in {"*", "everybody"}
} else := [subject] if {
	data.borderpost.request.place(subject)
} else := []

workload := object.union(
	{"classes": [], "subjects": [], "region": null, "tenant": null, "purpose": null, "model": null},
	input.workload,
) if {
	is_object(input.workload)
}

workload := {
	"classes": words("data-class", object.keys(tables.classes)), "subjects": words("subjects", object.keys(tables.groups)),
	"region": only(regions_said), "tenant": only(values("tenant")), "purpose": only(values("purpose")), "model": null,
} if {
	not input.workload
	not input.facts
	count(values("data-class")) > 0
}

default workload_name := "the workload"

workload_name := sprintf("%s %s", [manifest.kind, manifest.metadata.name])

# The object that is judged.
manifest := input.request.object

manifest := input.review.object

manifest := input if {
	not input.request.object
	not input.review.object
}

# What it says of itself, and its pods.
says := [said |
	some path in [[], ["spec", "template"], ["spec", "jobTemplate"], ["spec", "jobTemplate", "spec", "template"]]
	some kind in ["labels", "annotations"]
	said := object.get(manifest, array.concat(path, ["metadata", kind]), {})
	is_object(said)
]

values(name) := {value |
	some said in says
	value := said[concat("", ["borderpost.dev/", name])]
}

regions_said := values("region") | {region |
	some path in [["spec"], ["spec", "template", "spec"], ["spec", "jobTemplate", "spec", "template", "spec"]]
	region := object.get(manifest, array.concat(path, ["nodeSelector", "topology.kubernetes.io/region"]), null)
	region != null
}

only(some_values) := value if {
	count(some_values) == 1
	some value in some_values
} else := null

# Names are parted by commas or spaces; in labels, which have neither, by `.` or `_` where the whole is no name.
words(name, known) := sort({word |
	some value in values(name)
	some part in regex.split(`[,;\s]+`, value)
	some word in parts(part, known)
	word != ""
})

parts(part, known) := [part] if part in known

parts(part, known) := regex.split(`[._]`, part) if not part in known
