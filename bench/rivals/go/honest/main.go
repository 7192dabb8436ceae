// Command honest does in Go, on grpc-go, what the product does for a request: it reads the same facts, looks the
// address up in the same GeoIP database, asks a small table for the legal regions and ranks them by latency, chains
// a JSON record of the same size by SHA-256, and answers with the decision's id once the record is on stable
// storage, many records a sync. It is written as a careful Go programmer would at first: no memory of earlier
// decisions, no prepared bytes. It has no events, probes, packs, replayable inputs or recovery.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"io"
	"log"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	extproc "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/oschwald/maxminddb-golang/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"borderpost/bench/rivals/internal/serving"
)

type server struct {
	extproc.UnimplementedExternalProcessorServer
	auth.UnimplementedAuthorizationServer
	table    *table
	database *maxminddb.Reader
	journal  *journal
	inputs   *inputs
}

// Process answers each message of a stream. Envoy resets the stream after the first answer: a normal end.
func (s *server) Process(stream extproc.ExternalProcessor_ProcessServer) error {
	for {
		question, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		read, err := processFacts(question)
		if err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
		decided, id, err := s.decide(read, "ext_proc")
		if err != nil {
			return status.Error(codes.Unavailable, err.Error())
		}
		if err := stream.Send(processAnswer(decided, s.table, id)); err != nil {
			return err
		}
	}
}

func (s *server) Check(_ context.Context, question *auth.CheckRequest) (*auth.CheckResponse, error) {
	read, err := checkFacts(question)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	decided, id, err := s.decide(read, "ext_authz")
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	return checkAnswer(decided, s.table, id), nil
}

// decide returns a verdict and its id once its record is durable.
func (s *server) decide(read *facts, via string) (*verdict, string, error) {
	if err := read.locate(s.database); err != nil {
		return nil, "", err
	}
	decided := s.table.decide(read)
	id, err := s.journal.append(newRecord(read, decided, s.table, s.inputs, via))
	return decided, id, err
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func run(listen *serving.Listen, tablePath, databasePath, journalPath string) error {
	table, source, err := readTable(tablePath)
	if err != nil {
		return err
	}
	database, err := maxminddb.Open(databasePath)
	if err != nil {
		return err
	}
	defer database.Close()
	journal, err := openJournal(journalPath)
	if err != nil {
		return err
	}
	of := func(name string) string { return digest(append([]byte(name), source...)) }
	inputs := &inputs{
		Catalog: of("catalog"), Engine: of("engine"), Events: of("events"), GeoIP: of("geoip"), Policy: of("policy"),
		Signals: of("signals"),
	}
	honest := &server{table: table, database: database, journal: journal, inputs: inputs}
	if err := listen.Serve(honest, honest); err != nil {
		return err
	}
	return journal.close()
}

func main() {
	listen := serving.Flags()
	table := flag.String("table", "", "JSON file with the law and the ranking")
	database := flag.String("geoip", "", "MMDB file with countries")
	journal := flag.String("journal", "", "the log; it must not exist yet")
	flag.Parse()
	if err := run(listen, *table, *database, *journal); err != nil {
		log.Fatal(err)
	}
}
