package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"
)

const defaultClass = "personal"

// table is the law and the ranking, read from one JSON file. It is far smaller than a policy that people would
// write: which regions may serve whose data of which class, and how far away they are.
type table struct {
	Here      string                    `json:"here"`
	Regions   map[string]region         `json:"regions"`
	Countries map[string]allowance      `json:"countries"`
	LatencyMs map[string]map[string]int `json:"latency_ms"` // by country or `*`, then by region
}

type region struct {
	Cluster string `json:"cluster"`
	Country string `json:"country"`
}

type allowance struct {
	Allowed []string            `json:"allowed"`
	Classes map[string][]string `json:"classes"` // where a class is allowed other regions
	Basis   string              `json:"basis"`
}

// candidate is a legal region, as the record tells it.
type candidate struct {
	Latency int    `json:"lat_us"`
	OK      bool   `json:"ok"`
	Region  string `json:"r"`
}

type verdict struct {
	chosen     string // a region, empty if the law allows none
	reason     string // why it is refused
	basis      string
	conflict   string
	effective  []string
	candidates []candidate
	refused    map[string]int
}

func readTable(path string) (*table, []byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	read := &table{}
	if err := json.Unmarshal(data, read); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	for country, one := range read.Countries {
		for _, id := range one.Allowed {
			if _, known := read.Regions[id]; !known {
				return nil, nil, fmt.Errorf("%s: %s allows the unknown region %s", path, country, id)
			}
		}
	}
	return read, data, nil
}

// decide intersects what each jurisdiction that claims the request allows, and ranks what is left by latency.
func (t *table) decide(f *facts) *verdict {
	decided := &verdict{}
	for _, country := range []string{f.residency, f.country} {
		if country != "" && !slices.Contains(decided.effective, country) {
			decided.effective = append(decided.effective, country)
		}
	}
	slices.Sort(decided.effective)
	if len(decided.effective) == 0 {
		decided.reason = "unknown-subject"
		return decided
	}
	if len(decided.effective) > 1 {
		decided.conflict = "header-vs-geoip"
	}
	legal := t.legal(decided, f.class)
	if len(legal) == 0 {
		decided.reason = "no-legal-region"
		return decided
	}
	distances, known := t.LatencyMs[f.country]
	if !known {
		distances = t.LatencyMs["*"]
	}
	for _, id := range legal {
		decided.candidates = append(decided.candidates, candidate{Latency: distances[id] * 1000, OK: true, Region: id})
	}
	slices.SortFunc(decided.candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.Latency, b.Latency), cmp.Compare(a.Region, b.Region))
	})
	decided.chosen = decided.candidates[0].Region
	return decided
}

// legal returns the regions that every effective jurisdiction allows for the class. Countries that the table does
// not know allow none.
func (t *table) legal(decided *verdict, class string) []string {
	var legal []string
	for number, country := range decided.effective {
		one := t.Countries[country]
		allowed := one.Allowed
		if special, found := one.Classes[class]; found {
			allowed = special
		}
		if number == 0 {
			legal, decided.basis = slices.Clone(allowed), one.Basis
			continue
		}
		legal = slices.DeleteFunc(legal, func(id string) bool { return !slices.Contains(allowed, id) })
	}
	decided.refused = map[string]int{"no-basis": len(t.Regions) - len(legal)}
	return legal
}
