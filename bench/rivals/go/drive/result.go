package main

import (
	"encoding/binary"
	"math"
	"os"
	"slices"
	"time"
)

// result is what the driver prints.
type result struct {
	Answered   int            `json:"answered"`
	Refused    int            `json:"refused"`
	Failed     int            `json:"failed"`
	Reasons    map[string]int `json:"reasons"`
	Clusters   map[string]int `json:"clusters"`
	DurationUs int64          `json:"duration_us"`
	P50Us      float64        `json:"p50_us"`
	P90Us      float64        `json:"p90_us"`
	P99Us      float64        `json:"p99_us"`
	P999Us     float64        `json:"p99_9_us"`
	MaxUs      float64        `json:"max_us"`
	LateP50Us  float64        `json:"late_p50_us"` // how long after its time the driver sent a question
	LateP99Us  float64        `json:"late_p99_us"`
}

// sum adds up what the connections saw.
func sum(clients []*client, took time.Duration) *result {
	told := &result{Reasons: map[string]int{}, Clusters: map[string]int{}, DurationUs: took.Microseconds()}
	var latencies, late []uint32
	for _, one := range clients {
		told.Answered += len(one.latencies)
		told.Refused += one.refused
		latencies = append(latencies, one.latencies...)
		late = append(late, one.late...)
		for reason, count := range one.failures {
			told.Failed += count
			told.Reasons[reason] += count
		}
		for cluster, count := range one.clusters {
			told.Clusters[cluster] += *count
		}
	}
	slices.Sort(latencies)
	slices.Sort(late)
	told.P50Us, told.P90Us = percentile(latencies, 50), percentile(latencies, 90)
	told.P99Us, told.P999Us = percentile(latencies, 99), percentile(latencies, 99.9)
	told.MaxUs = percentile(latencies, 100)
	told.LateP50Us, told.LateP99Us = percentile(late, 50), percentile(late, 99)
	return told
}

// percentile returns the nearest-rank percentile of sorted nanoseconds in microseconds, 0 of none.
func percentile(sorted []uint32, percent float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(float64(len(sorted)) * percent / 100))
	return float64(sorted[max(0, rank-1)]) / 1000
}

// writeLatencies writes every latency of all connections, in nanoseconds, in no order.
func writeLatencies(path string, clients []*client) error {
	var all []byte
	for _, one := range clients {
		for _, took := range one.latencies {
			all = binary.LittleEndian.AppendUint32(all, took)
		}
	}
	return os.WriteFile(path, all, 0o600)
}
