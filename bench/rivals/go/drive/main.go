// Command drive asks a gRPC server as Envoy 1.40 does over ext_proc, without Envoy: one HTTP/2 stream a question,
// opened by HEADERS and one DATA, ended by RST_STREAM as soon as the answer is there. A fixed number of questions
// is in flight on each connection, and the next one leaves when one has been answered (a closed loop).
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
	flag.Parse()
	network, address := "tcp", *tcp
	if *unix != "" {
		network, address = "unix", *unix
	}
	if (*unix == "") == (*tcp == "") || *connections < 1 || *inFlight < *connections {
		log.Fatal("name one of -unix and -tcp, and at least one question in flight for each connection")
	}
	messages, err := readMessages(*file)
	if err != nil {
		log.Fatal(err)
	}
	result, err := run(network, address, *path, messages, *connections, *inFlight / *connections, *seconds, *unary)
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		log.Fatal(err)
	}
}

// run drives all connections for some seconds and sums up what they saw.
func run(network, address, path string, messages *messages, connections, inFlight int, seconds float64, unary bool) (*result, error) {
	clients := make([]*client, connections)
	for number := range clients {
		transport, err := net.DialTimeout(network, address, 5*time.Second)
		if err != nil {
			return nil, fmt.Errorf("cannot connect: %w", err)
		}
		defer transport.Close()
		clients[number] = newClient(number, transport, path, messages, inFlight, unary)
		if err := clients[number].greet(); err != nil {
			return nil, fmt.Errorf("no HTTP/2 settings from the server: %w", err)
		}
	}
	begun := time.Now()
	until := begun.Add(time.Duration(seconds * float64(time.Second)))
	done := make(chan error, connections)
	for _, one := range clients {
		go func() { done <- one.drive(until) }()
	}
	for range clients {
		if err := <-done; err != nil {
			return nil, err
		}
	}
	return sum(clients, time.Since(begun)), nil
}
