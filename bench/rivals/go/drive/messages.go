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

// addressMarker stands for the last two groups of an IPv6 address: the driver asks from as many as it is told.
var addressMarker = []byte("$$$$:$$$$")

const hexDigits = "0123456789abcdef"

type message struct {
	framed []byte // with the five bytes of gRPC before it
	marks  []int
	hosts  []int // where the address marker stands
}

// messages are sent in turn by each connection. All connections share them: nobody writes to them.
type messages struct {
	all       []message
	addresses uint64 // how many the address marker takes in turn
}

// readMessages reads a file of gRPC-framed messages (one byte 0, four bytes of length, the message).
func readMessages(path string) (*messages, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	read := &messages{addresses: 1}
	for len(data) > 0 {
		if len(data) < 5 || data[0] != 0 {
			return nil, fmt.Errorf("%s: not a file of uncompressed gRPC messages", path)
		}
		size := 5 + int(binary.BigEndian.Uint32(data[1:5]))
		if size > len(data) || size > maxFrame {
			return nil, fmt.Errorf("%s: a message of %d bytes", path, size)
		}
		one := message{framed: data[:size:size]}
		one.marks, one.hosts = places(one.framed, marker), places(one.framed, addressMarker)
		read.all = append(read.all, one)
		data = data[size:]
	}
	if len(read.all) == 0 {
		return nil, fmt.Errorf("%s: no messages", path)
	}
	return read, nil
}

// places returns where a marker stands in a message.
func places(framed, marker []byte) []int {
	var all []int
	for at := 0; ; {
		found := bytes.Index(framed[at:], marker)
		if found < 0 {
			return all
		}
		all = append(all, at+found)
		at += found + len(marker)
	}
}

// append adds the message of a question to a buffer, its number in it.
func (m *messages) append(to []byte, number uint64) []byte {
	one := &m.all[number%uint64(len(m.all))]
	start := len(to)
	to = append(to, one.framed...)
	for _, at := range one.marks {
		writeHex(to[start+at:start+at+len(marker)], number)
	}
	for _, at := range one.hosts {
		host := number % m.addresses
		writeHex(to[start+at+5:start+at+9], host)
		writeHex(to[start+at:start+at+4], host>>16)
	}
	return to
}

// writeHex fills a place with the last digits of a number.
func writeHex(place []byte, number uint64) {
	for digit := len(place) - 1; digit >= 0; digit-- {
		place[digit] = hexDigits[number&15]
		number >>= 4
	}
}

// size is the length of a question's message with its frame.
func (m *messages) size(number uint64) int {
	return len(m.all[number%uint64(len(m.all))].framed)
}
