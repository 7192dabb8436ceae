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

type outcome struct {
	cluster []byte // nil for a refusal
}

// readAnswer reads what an answer says: the cluster, or a refusal. Anything else is an error.
func readAnswer(answer []byte, unary bool) (outcome, error) {
	path, value, refusal := processPath, processValue, processRefusal
	if unary {
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
