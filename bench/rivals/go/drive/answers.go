package main

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

const clusterHeader = "x-borderpost-cluster"

// Numbers of the fields on the way to the cluster (Envoy 1.40).
//
//	ProcessingResponse{request_headers=1 {response=1 {header_mutation=2 {set_headers=1 {header=1 {key=1 raw_value=3}}}}}}
//	CheckResponse{ok_response=3 {headers=2 {header=1 {key=1 value=2}}}}
var (
	processPath = []protowire.Number{1, 1, 2, 1, 1}
	checkPath   = []protowire.Number{3, 2, 1}
)

const (
	processValue protowire.Number = 3
	checkValue   protowire.Number = 2
	// A refusal is ProcessingResponse.immediate_response or CheckResponse.denied_response.
	processRefusal protowire.Number = 7
	checkRefusal   protowire.Number = 2
)

// door is what is asked: it says how a stream ends, and how an answer reads.
type door int

const (
	extProc   door = iota // a stream, reset once it is answered
	extAuthz              // unary
	rateLimit             // unary
)

type outcome struct {
	cluster []byte // nil for a refusal
}

// Codes of RateLimitResponse.overall_code.
const (
	limitField     protowire.Number = 1
	limitOk                         = 1
	limitOverLimit                  = 2
)

// withinLimit stands for the cluster of a request that a limiter lets pass.
var withinLimit = []byte("within-limit")

// readLimited reads what a rate limit service says: that a request passes, or a refusal.
func readLimited(answer []byte) (outcome, error) {
	for len(answer) > 0 {
		number, kind, size := protowire.ConsumeTag(answer)
		if size < 0 {
			break
		}
		answer = answer[size:]
		if number == limitField && kind == protowire.VarintType {
			switch code, _ := protowire.ConsumeVarint(answer); code {
			case limitOk:
				return outcome{cluster: withinLimit}, nil
			case limitOverLimit:
				return outcome{}, nil
			}
			break
		}
		if size = protowire.ConsumeFieldValue(number, kind, answer); size < 0 {
			break
		}
		answer = answer[size:]
	}
	return outcome{}, fmt.Errorf("an answer without a code")
}

// readAnswer reads what an answer says: the cluster, or a refusal. Anything else is an error.
func readAnswer(answer []byte, asked door) (outcome, error) {
	path, value, refusal := processPath, processValue, processRefusal
	switch asked {
	case rateLimit:
		return readLimited(answer)
	case extAuthz:
		path, value, refusal = checkPath, checkValue, checkRefusal
	}
	if field(answer, refusal) != nil {
		return outcome{}, nil
	}
	for _, number := range path {
		if answer = field(answer, number); answer == nil {
			return outcome{}, fmt.Errorf("an answer that neither routes nor refuses")
		}
	}
	if !bytes.Equal(field(answer, 1), []byte(clusterHeader)) {
		return outcome{}, fmt.Errorf("an answer that sets another header first")
	}
	cluster := field(answer, value)
	if len(cluster) == 0 {
		return outcome{}, fmt.Errorf("an answer without a cluster")
	}
	return outcome{cluster: cluster}, nil
}

// field returns the first field of that number whose value has a length, nil if there is none.
func field(message []byte, wanted protowire.Number) []byte {
	for len(message) > 0 {
		number, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return nil
		}
		message = message[size:]
		if kind == protowire.BytesType {
			value, size := protowire.ConsumeBytes(message)
			if size < 0 {
				return nil
			}
			if number == wanted {
				return value
			}
			message = message[size:]
			continue
		}
		if size = protowire.ConsumeFieldValue(number, kind, message); size < 0 {
			return nil
		}
		message = message[size:]
	}
	return nil
}
