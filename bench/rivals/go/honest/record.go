package main

import "time"

// record is one decision as it stands in the log: the same facts, and about the size, of the product's records.
// Fields are in the order of their names, so that two writers agree on the bytes.
type record struct {
	Candidates []candidate    `json:"cand"`
	Class      []string       `json:"class"`
	Epoch      string         `json:"epoch"`
	Here       string         `json:"here"`
	Inputs     *inputs        `json:"inputs"`
	Subject    subject        `json:"jur"`
	Log        string         `json:"log"`
	Mode       string         `json:"mode"`
	Model      string         `json:"model,omitempty"`
	MonoUs     int64          `json:"mono_us"`
	Nonce      string         `json:"nonce"`
	Out        out            `json:"out"`
	Prev       string         `json:"prev"`
	Refused    map[string]int `json:"refused"`
	Request    request        `json:"req"`
	Seed       string         `json:"seed"`
	Seq        int64          `json:"seq"`
	Table      string         `json:"table"`
	Tenant     string         `json:"tenant,omitempty"`
	Time       time.Time      `json:"ts"`
	Type       string         `json:"type"`
	Version    int            `json:"v"`
	Via        string         `json:"via"`
}

// inputs are digests of what a decision depends on.
type inputs struct {
	Catalog string `json:"catalog"`
	Engine  string `json:"engine"`
	Events  string `json:"events"`
	GeoIP   string `json:"geoip"`
	Policy  string `json:"policy"`
	Signals string `json:"signals"`
}

type subject struct {
	Conflict  string     `json:"conflict,omitempty"`
	Effective []string   `json:"effective"`
	Evidence  []evidence `json:"evidence"`
	Rule      string     `json:"rule"`
}

type evidence struct {
	Source             string `json:"src"`
	SubdivisionUnknown bool   `json:"subdivision_unknown"`
	Trust              string `json:"trust"`
	Value              string `json:"val"`
}

type out struct {
	Action  string `json:"action"`
	Basis   string `json:"basis,omitempty"`
	Country string `json:"cc,omitempty"`
	Cluster string `json:"cluster,omitempty"`
	Region  string `json:"r,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

type request struct {
	ID    string `json:"id,omitempty"`
	Trace string `json:"trace,omitempty"`
}

// newRecord fills in all but what the journal knows: sequence number, chain, nonce and times.
func newRecord(f *facts, v *verdict, t *table, from *inputs, via string) *record {
	made := &record{
		Candidates: v.candidates, Class: []string{f.class}, Here: t.Here, Inputs: from, Mode: "enforce",
		Model: f.model, Refused: v.refused, Request: request{ID: f.requestID, Trace: f.trace},
		Seed: "5d00d36519f7a6f9", Table: from.Catalog, Tenant: f.tenant, Type: "decision", Version: 1, Via: via,
		Subject: subject{Conflict: v.conflict, Effective: v.effective, Rule: "narrowing-only"},
	}
	if f.residency != "" {
		made.Subject.Evidence = append(made.Subject.Evidence, evidence{"header", true, "asserted", f.residency})
	}
	if f.country != "" {
		made.Subject.Evidence = append(made.Subject.Evidence, evidence{"geoip", true, "inferred", f.country})
	}
	if v.chosen == "" {
		made.Out = out{Action: "refuse", Reason: v.reason}
	} else {
		chosen := t.Regions[v.chosen]
		made.Out = out{
			Action: "route", Basis: v.basis, Country: chosen.Country, Cluster: chosen.Cluster, Region: v.chosen,
		}
	}
	return made
}
