// Command drive asks a gRPC server as Envoy 1.40 does over ext_proc, without Envoy: one HTTP/2 stream a question,
// opened by HEADERS and one DATA, ended by RST_STREAM as soon as the answer is there. A fixed number of questions
// is in flight on each connection, and the next one leaves when one has been answered (a closed loop). With -rate
// they leave by a schedule instead, whatever has been answered (an open loop; pace.go).
//
// It speaks HTTP/2 frame by frame and does next to nothing per question, so that one core of it outruns the server.
// No two questions are alike: it writes a running number into each message (messages.go). Each answer is read
// (answers.go), and what was answered is told by cluster, so that an audit log can be held against it.
//
// The result is one line of JSON on stdout.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"time"
)

func main() {
	unix := flag.String("unix", "", "drive the server on this Unix socket")
	tcp := flag.String("tcp", "", "drive the server on this address")
	path := flag.String("path", "/envoy.service.ext_proc.v3.ExternalProcessor/Process", "gRPC method")
	file := flag.String("messages", "", "file of gRPC-framed messages, sent in turn")
	connections := flag.Int("connections", 1, "connections")
	inFlight := flag.Int("in-flight", 64, "questions in flight, of all connections together")
	seconds := flag.Float64("seconds", 5, "how long")
	unary := flag.Bool("unary", false, "half-close after the message and wait for the trailers, as ext_authz does")
	limits := flag.Bool("limits", false, "the same, and answers are those of a rate limit service")
	first := flag.Uint64("first", 0, "number of each connection's first question")
	addresses := flag.Uint64("addresses", 1, "how many addresses the questions with an address marker come from")
	rate := flag.Float64("rate", 0, "questions a second, all connections together, by a schedule; 0 is a closed loop")
	arrivals := flag.String("arrivals", "poisson", "of the schedule: poisson or constant")
	seed := flag.Uint64("seed", 1, "of a Poisson schedule")
	took := flag.String("latencies", "", "write every latency into this file: nanoseconds, four bytes each, little-endian")
	flag.Parse()
	network, address := "tcp", *tcp
	if *unix != "" {
		network, address = "unix", *unix
	}
	if (*unix == "") == (*tcp == "") || *connections < 1 || *inFlight < *connections {
		log.Fatal("name one of -unix and -tcp, and at least one question in flight for each connection")
	}
	if *rate < 0 || (*arrivals != "poisson" && *arrivals != "constant") {
		log.Fatal("a schedule is poisson or constant, its rate positive")
	}
	messages, err := readMessages(*file)
	if err != nil {
		log.Fatal(err)
	}
	if *addresses < 1 || *addresses > 1<<32 {
		log.Fatal("from 1 to 2^32 addresses")
	}
	messages.addresses = *addresses
	asked := extProc
	switch {
	case *limits:
		asked = rateLimit
	case *unary:
		asked = extAuthz
	}
	clients := make([]*client, *connections)
	for number := range clients {
		transport, err := net.DialTimeout(network, address, 5*time.Second)
		if err != nil {
			log.Fatalf("cannot connect: %v", err)
		}
		clients[number] = newClient(number, transport, *path, messages, *inFlight / *connections, asked)
		clients[number].number += *first
		if *rate > 0 {
			clients[number].due = newSchedule(*rate/float64(*connections), *arrivals, *seed+uint64(number))
		}
	}
	result, err := run(clients, *seconds)
	if err != nil {
		log.Fatal(err)
	}
	if *took != "" {
		if err := writeLatencies(*took, clients); err != nil {
			log.Fatal(err)
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		log.Fatal(err)
	}
}

// run drives all connections for some seconds and sums up what they saw.
func run(clients []*client, seconds float64) (*result, error) {
	for _, one := range clients {
		defer one.transport.Close()
		if err := one.greet(); err != nil {
			return nil, fmt.Errorf("no HTTP/2 settings from the server: %w", err)
		}
	}
	begun := time.Now()
	length := time.Duration(seconds * float64(time.Second))
	done := make(chan error, len(clients))
	for _, one := range clients {
		go func() {
			if one.due != nil {
				done <- one.drivePaced(length)
			} else {
				done <- one.drive(begun.Add(length))
			}
		}()
	}
	for range clients {
		if err := <-done; err != nil {
			return nil, err
		}
	}
	return sum(clients, time.Since(begun)), nil
}
