package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// batchMax bounds what one sync makes durable.
const batchMax = 1024

// journal is a chained log with group commit: one goroutine numbers, chains, appends and syncs whatever has come
// together while the last sync ran, and releases the answers only then.
type journal struct {
	file    *os.File
	epoch   string
	begun   time.Time
	entries chan *entry
	closed  chan error

	// Of the committing goroutine alone.
	seq  int64
	prev string
}

type entry struct {
	record  *record
	durable chan error // buffered: the committer waits for nobody
	id      string     // of the decision; to be read after durable has spoken
}

func openJournal(path string) (*journal, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return nil, err
	}
	epoch := make([]byte, 10)
	rand.Read(epoch)
	opened := &journal{
		file: file, epoch: hex.EncodeToString(epoch), begun: time.Now(), entries: make(chan *entry, batchMax),
		closed: make(chan error, 1), prev: hex.EncodeToString(make([]byte, sha256.Size)),
	}
	go func() { opened.closed <- opened.commit() }()
	return opened, nil
}

// append returns the decision's id once the record is on stable storage.
func (j *journal) append(one *record) (string, error) {
	waiting := &entry{record: one, durable: make(chan error, 1)}
	j.entries <- waiting
	err := <-waiting.durable
	return waiting.id, err
}

// close ends the journal; nobody may append any more.
func (j *journal) close() error {
	close(j.entries)
	return <-j.closed
}

func (j *journal) commit() error {
	var batch []*entry
	var lines bytes.Buffer
	var fault error // of the first write that failed: what follows it could not be chained
	for first := range j.entries {
		batch = append(batch[:0], first)
	gather:
		for len(batch) < batchMax {
			select {
			case next, open := <-j.entries:
				if !open {
					break gather
				}
				batch = append(batch, next)
			default:
				break gather
			}
		}
		if fault == nil {
			fault = j.write(batch, &lines)
		}
		for _, one := range batch {
			one.durable <- fault
		}
	}
	return errors.Join(fault, j.file.Close())
}

func (j *journal) write(batch []*entry, lines *bytes.Buffer) error {
	lines.Reset()
	now := time.Now()
	for _, one := range batch {
		if err := j.chain(one, now, lines); err != nil {
			return err
		}
	}
	if _, err := j.file.Write(lines.Bytes()); err != nil {
		return fmt.Errorf("cannot append: %w", err)
	}
	if err := unix.Fdatasync(int(j.file.Fd())); err != nil {
		return fmt.Errorf("cannot sync: %w", err)
	}
	return nil
}

func (j *journal) chain(one *entry, now time.Time, lines *bytes.Buffer) error {
	var nonce [16]byte
	rand.Read(nonce[:])
	r := one.record
	r.Epoch, r.Seq, r.Prev, r.Log = j.epoch, j.seq, j.prev, "bench/honest-go"
	r.Nonce, r.Time = base64.RawURLEncoding.EncodeToString(nonce[:]), now.UTC().Truncate(time.Microsecond)
	r.MonoUs = now.Sub(j.begun).Microseconds()
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("cannot encode a record: %w", err)
	}
	digest := sha256.Sum256(line)
	j.prev = hex.EncodeToString(digest[:])
	one.id = fmt.Sprintf("%s%012x", j.epoch, j.seq)
	j.seq++
	lines.Write(line)
	lines.WriteByte('\n')
	return nil
}
