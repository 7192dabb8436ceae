package main

import (
	"encoding/json"
	"net/http"
	"sync"

	gostats "github.com/lyft/gostats"
)

// counters is a sink that adds up what the program's counters flush.
type counters struct {
	lock   sync.Mutex
	totals map[string]uint64
}

func newCounters() *counters { return &counters{totals: map[string]uint64{}} }

func (c *counters) FlushCounter(name string, value uint64) {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.totals[name] += value
}

func (c *counters) FlushGauge(string, uint64) {}

func (c *counters) FlushTimer(string, float64) {}

// serve answers with all counters until now, by name.
func (c *counters) serve(store gostats.Store) http.HandlerFunc {
	return func(writer http.ResponseWriter, _ *http.Request) {
		store.Flush()
		c.lock.Lock()
		defer c.lock.Unlock()
		writer.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(writer).Encode(c.totals); err != nil {
			http.Error(writer, err.Error(), http.StatusInternalServerError)
		}
	}
}
