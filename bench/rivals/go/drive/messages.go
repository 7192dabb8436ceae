package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
)

// marker stands in a message wherever it must differ from every other one: in the request id, the trace, the span.
// Each is overwritten by the question's number in hex.
var marker = []byte("%%%%%%%%%%%%")

const hexDigits = "0123456789abcdef"

type message struct {
	framed []byte // with the five bytes of gRPC before it
	marks  []int
}

// messages are sent in turn by each connection. All connections share them: nobody writes to them.
type messages struct {
	all []message
}

// readMessages reads a file of gRPC-framed messages (one byte 0, four bytes of length, the message).
func readMessages(path string) (*messages, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	read := &messages{}
	for len(data) > 0 {
		if len(data) < 5 || data[0] != 0 {
			return nil, fmt.Errorf("%s: not a file of uncompressed gRPC messages", path)
		}
		size := 5 + int(binary.BigEndian.Uint32(data[1:5]))
		if size > len(data) || size > maxFrame {
			return nil, fmt.Errorf("%s: a message of %d bytes", path, size)
		}
		one := message{framed: data[:size:size]}
		for at := 0; ; {
			found := bytes.Index(one.framed[at:], marker)
			if found < 0 {
				break
			}
			one.marks = append(one.marks, at+found)
			at += found + len(marker)
		}
		read.all = append(read.all, one)
		data = data[size:]
	}
	if len(read.all) == 0 {
		return nil, fmt.Errorf("%s: no messages", path)
	}
	return read, nil
}

// append adds the message of a question to a buffer, its number in it.
func (m *messages) append(to []byte, number uint64) []byte {
	one := &m.all[number%uint64(len(m.all))]
	start := len(to)
	to = append(to, one.framed...)
	for _, at := range one.marks {
		rest := number
		for digit := len(marker) - 1; digit >= 0; digit-- {
			to[start+at+digit] = hexDigits[rest&15]
			rest >>= 4
		}
	}
	return to
}

// size is the length of a question's message with its frame.
func (m *messages) size(number uint64) int {
	return len(m.all[number%uint64(len(m.all))].framed)
}
