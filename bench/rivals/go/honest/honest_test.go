package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

var law = &table{
	Regions: map[string]region{"a": {"a", "DE"}, "b": {"b", "US"}, "c": {"c", "AE"}},
	Countries: map[string]allowance{
		"DE": {Allowed: []string{"a"}},
		"US": {Allowed: []string{"a", "b", "c"}},
		"AE": {Allowed: []string{"c"}, Classes: map[string][]string{"health": {}}},
		"IR": {},
	},
	LatencyMs: map[string]map[string]int{"US": {"a": 90, "b": 10, "c": 90}, "*": {"a": 1, "b": 2, "c": 3}},
}

func TestOnlyWhatEveryJurisdictionAllowsIsChosenAndTheNearestOfIt(t *testing.T) {
	for _, one := range []struct{ country, residency, class, chosen, reason string }{
		{"US", "", defaultClass, "b", ""},
		{"US", "DE", defaultClass, "a", ""},
		{"AE", "", defaultClass, "c", ""},
		{"AE", "", "health", "", "no-legal-region"},
		{"AE", "DE", defaultClass, "", "no-legal-region"},
		{"IR", "", defaultClass, "", "no-legal-region"},
		{"XX", "", defaultClass, "", "no-legal-region"},
		{"", "", defaultClass, "", "unknown-subject"},
	} {
		got := law.decide(&facts{country: one.country, residency: one.residency, class: one.class})
		if got.chosen != one.chosen || got.reason != one.reason {
			t.Errorf("%+v: %q %q", one, got.chosen, got.reason)
		}
	}
	if tied := law.decide(&facts{country: "US", class: defaultClass}).candidates; tied[1].Region != "a" {
		t.Errorf("a tie is not broken by name: %+v", tied)
	}
}

func TestTheJournalIsChainedAndWholeWhenManyAppend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	opened, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	read := &facts{country: "US", class: defaultClass, requestID: strings.Repeat("r", 36)}
	var all sync.WaitGroup
	ids := make(chan string, 200)
	for range 200 {
		all.Go(func() {
			id, err := opened.append(newRecord(read, law.decide(read), law, &inputs{}, "ext_proc"))
			if err != nil {
				t.Error(err)
			}
			ids <- id
		})
	}
	all.Wait()
	if err := opened.close(); err != nil {
		t.Fatal(err)
	}
	distinct := map[string]bool{}
	for range 200 {
		distinct[<-ids] = true
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	before, count := strings.Repeat("0", 64), int64(0)
	for lines := bufio.NewScanner(file); lines.Scan(); count++ {
		var one record
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			t.Fatal(err)
		}
		if one.Prev != before || one.Seq != count {
			t.Fatalf("record %d: seq %d, prev %s", count, one.Seq, one.Prev)
		}
		digest := sha256.Sum256(lines.Bytes())
		before = hex.EncodeToString(digest[:])
	}
	if count != 200 || len(distinct) != 200 {
		t.Errorf("%d records, %d ids", count, len(distinct))
	}
}

func TestAFaultOfTheDiskIsToldToEveryRequest(t *testing.T) {
	opened, err := openJournal(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	opened.file.Close()
	read := &facts{country: "US", class: defaultClass}
	for range 3 {
		if _, err := opened.append(newRecord(read, law.decide(read), law, &inputs{}, "ext_proc")); err == nil {
			t.Error("a record that is not durable was acknowledged")
		}
	}
	if opened.close() == nil {
		t.Error("the fault is forgotten at the end")
	}
}
