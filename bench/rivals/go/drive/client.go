package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	preface     = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	frameHeader = 9
	maxFrame    = 16384 // what every peer takes (RFC 9113, section 4.2)
	// What Envoy 1.40 announces for its gRPC clients: 16 MiB a stream, and the connection's window made 24 MiB larger.
	streamWindow     = 16 << 20
	connectionWindow = 0x017f0001
	// Envoy ends an ext_proc stream so once it has its answer (tried); it is no fault.
	endCode = uint32(http2.ErrCodeInternal)
	// No answer is longer in coming, or something hangs.
	patience = 10 * time.Second
	// Connections number their questions apart.
	numbersEach = 1 << 40
)

type question struct {
	sent    time.Time
	body    []byte // of an answer that came in pieces; nil while there is none
	whole   bool   // the answer has come and is counted
	started bool   // response headers have come
}

// client is one connection. Everything in it belongs to the goroutine that drives it.
type client struct {
	transport net.Conn
	path      string
	messages  *messages
	door      door
	reader    *bufio.Reader
	out       []byte // frames to write at the next flush
	payload   []byte

	encoder *hpack.Encoder
	block   bytes.Buffer
	decoder *hpack.Decoder
	status  string // of the header block just decoded
	grpc    string

	open       map[uint32]*question
	spare      []*question
	inFlight   int
	nextStream uint32
	number     uint64
	sendWindow int64
	initial    int64 // the peer's window of a new stream
	streamsMax int
	received   int
	due        *schedule // of an open loop, else nil

	late      []uint32 // nanoseconds, of an open loop
	latencies []uint32 // nanoseconds
	clusters  map[string]*int
	refused   int
	failures  map[string]int
}

func newClient(number int, transport net.Conn, path string, messages *messages, inFlight int, asked door) *client {
	made := &client{
		transport: transport, path: path, messages: messages, door: asked, inFlight: inFlight,
		reader: bufio.NewReaderSize(transport, 1<<16), payload: make([]byte, maxFrame),
		open: map[uint32]*question{}, nextStream: 1, number: uint64(number) * numbersEach,
		sendWindow: 65535, initial: 65535, streamsMax: math.MaxInt32,
		latencies: make([]uint32, 0, 1<<20), clusters: map[string]*int{}, failures: map[string]int{},
	}
	made.encoder = hpack.NewEncoder(&made.block)
	made.decoder = hpack.NewDecoder(4096, func(field hpack.HeaderField) {
		switch field.Name {
		case ":status":
			made.status = field.Value
		case "grpc-status":
			made.grpc = field.Value
		}
	})
	return made
}

// greet opens the connection and waits for the server's settings, so that the first header block obeys them.
func (c *client) greet() error {
	c.out = append(c.out, preface...)
	c.frame(http2.FrameSettings, 0, 0, 30)
	for _, setting := range []http2.Setting{
		{ID: http2.SettingEnablePush, Val: 0}, {ID: http2.SettingHeaderTableSize, Val: 4096},
		{ID: 8, Val: 0}, // SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441)
		{ID: http2.SettingMaxConcurrentStreams, Val: 1024}, {ID: http2.SettingInitialWindowSize, Val: streamWindow},
	} {
		c.out = binary.BigEndian.AppendUint16(c.out, uint16(setting.ID))
		c.out = binary.BigEndian.AppendUint32(c.out, setting.Val)
	}
	c.windowUpdate(connectionWindow)
	if err := c.flush(); err != nil {
		return err
	}
	if err := c.transport.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	for {
		kind, flags, stream, payload, err := c.read()
		if err != nil {
			return err
		}
		if err := c.handle(kind, flags, stream, payload, time.Now()); err != nil {
			return err
		}
		if kind == http2.FrameSettings && flags&http2.FlagSettingsAck == 0 {
			return c.flush()
		}
	}
}

// drive keeps the questions in flight until the time is over, then waits for the last answers.
func (c *client) drive(until time.Time) error {
	now := time.Now()
	if err := c.transport.SetReadDeadline(until.Add(patience)); err != nil {
		return err
	}
	c.ask(now)
	for len(c.open) > 0 {
		// One write for all that one read brought, as an event loop would.
		if c.reader.Buffered() < frameHeader {
			if err := c.flush(); err != nil {
				return err
			}
		}
		kind, flags, stream, payload, err := c.read()
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF) {
			c.failures["no answer"] += len(c.open)
			return nil
		}
		if err != nil {
			return err
		}
		if now = time.Now(); now.Before(until) {
			err = c.handle(kind, flags, stream, payload, now)
			c.ask(now)
		} else {
			err = c.handle(kind, flags, stream, payload, now)
		}
		if err != nil {
			return err
		}
	}
	return c.flush()
}

// ask sends as many questions as may be in flight and as the peer's windows take.
func (c *client) ask(now time.Time) {
	for c.mayAsk() {
		c.askOne(now)
	}
}

// mayAsk says whether another question may be sent now; if it is for a window, a WINDOW_UPDATE will come.
func (c *client) mayAsk() bool {
	size := int64(c.messages.size(c.number))
	return len(c.open) < min(c.inFlight, c.streamsMax) && size <= c.sendWindow && size <= c.initial
}

// askOne sends the next question; its latency counts from `since`.
func (c *client) askOne(since time.Time) {
	size := c.messages.size(c.number)
	c.sendWindow -= int64(size)
	block := c.headers()
	c.frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, c.nextStream, len(block))
	c.out = append(c.out, block...)
	var flags http2.Flags
	if c.door != extProc {
		flags = http2.FlagDataEndStream
	}
	c.frame(http2.FrameData, flags, c.nextStream, size)
	c.out = c.messages.append(c.out, c.number)
	c.open[c.nextStream] = c.question(since)
	c.nextStream += 2
	c.number++
}

// headers encodes a question's header block as Envoy's codec does: all fields are indexed, if the peer has a table,
// but the path, which nghttp2 never indexes.
func (c *client) headers() []byte {
	c.block.Reset()
	for _, field := range []hpack.HeaderField{
		{Name: ":method", Value: "POST"},
		{Name: ":path", Value: c.path, Sensitive: true},
		{Name: ":authority", Value: "borderpost"},
		{Name: ":scheme", Value: "http"},
		{Name: "te", Value: "trailers"},
		{Name: "content-type", Value: "application/grpc"},
		{Name: "x-envoy-expected-rq-timeout-ms", Value: "50"},
	} {
		if err := c.encoder.WriteField(field); err != nil {
			panic(err) // a bytes.Buffer takes everything
		}
	}
	return c.block.Bytes()
}

func (c *client) question(now time.Time) *question {
	if last := len(c.spare) - 1; last >= 0 {
		reused := c.spare[last]
		c.spare = c.spare[:last]
		*reused = question{sent: now, body: reused.body[:0]}
		return reused
	}
	return &question{sent: now}
}

// handle takes in one frame.
func (c *client) handle(kind http2.FrameType, flags http2.Flags, stream uint32, payload []byte, now time.Time) error {
	switch kind {
	case http2.FrameData:
		return c.data(flags, stream, payload, now)
	case http2.FrameHeaders:
		return c.answerHeaders(flags, stream, payload)
	case http2.FrameRSTStream:
		if one := c.open[stream]; one != nil && !one.whole {
			c.failures["reset "+http2.ErrCode(binary.BigEndian.Uint32(payload)).String()]++
		}
		c.forget(stream)
	case http2.FrameWindowUpdate:
		if stream == 0 {
			c.sendWindow += int64(binary.BigEndian.Uint32(payload) & math.MaxInt32)
		}
	case http2.FrameSettings:
		if flags&http2.FlagSettingsAck == 0 {
			c.settings(payload)
		}
	case http2.FramePing:
		if flags&http2.FlagPingAck == 0 {
			c.frame(http2.FramePing, http2.FlagPingAck, 0, len(payload))
			c.out = append(c.out, payload...)
		}
	case http2.FrameGoAway:
		return fmt.Errorf("the server went away: %q", payload)
	case http2.FrameContinuation, http2.FramePushPromise:
		return fmt.Errorf("a frame of type %v, which no answer needs", kind)
	}
	return nil
}

func (c *client) settings(payload []byte) {
	for ; len(payload) >= 6; payload = payload[6:] {
		value := binary.BigEndian.Uint32(payload[2:6])
		switch http2.SettingID(binary.BigEndian.Uint16(payload)) {
		case http2.SettingHeaderTableSize:
			c.encoder.SetMaxDynamicTableSizeLimit(value)
			c.encoder.SetMaxDynamicTableSize(min(value, 4096))
		case http2.SettingInitialWindowSize:
			c.initial = int64(value)
		case http2.SettingMaxConcurrentStreams:
			c.streamsMax = int(min(value, math.MaxInt32))
		}
	}
	c.frame(http2.FrameSettings, http2.FlagSettingsAck, 0, 0)
}

// answerHeaders takes in response headers, or the trailers: of an answer that is whole, or of an error without one.
func (c *client) answerHeaders(flags http2.Flags, stream uint32, payload []byte) error {
	if flags&(http2.FlagHeadersPadded|http2.FlagHeadersPriority) != 0 || flags&http2.FlagHeadersEndHeaders == 0 {
		return fmt.Errorf("a HEADERS frame with flags %#x, which no answer needs", flags)
	}
	c.status, c.grpc = "", ""
	if _, err := c.decoder.Write(payload); err != nil { // for streams that are gone too: the table is shared
		return fmt.Errorf("cannot decode a header block: %w", err)
	}
	if err := c.decoder.Close(); err != nil {
		return fmt.Errorf("cannot decode a header block: %w", err)
	}
	one := c.open[stream]
	if one == nil {
		return nil
	}
	if flags&http2.FlagHeadersEndStream == 0 {
		if one.started || c.status != "200" {
			c.failures["status "+c.status]++
			c.end(stream)
			return nil
		}
		one.started = true
		return nil
	}
	if !one.whole {
		c.failures["grpc-status "+c.grpc]++
	} else if c.grpc != "0" {
		return fmt.Errorf("grpc-status %s after an answer", c.grpc)
	}
	if c.door == extProc {
		c.end(stream)
	}
	c.forget(stream)
	return nil
}

// data takes in a piece of an answer, and ends the stream when the answer is whole.
func (c *client) data(flags http2.Flags, stream uint32, payload []byte, now time.Time) error {
	if flags&http2.FlagDataPadded != 0 {
		return fmt.Errorf("padded DATA, which no answer needs")
	}
	if c.received += len(payload); c.received > connectionWindow/2 {
		c.windowUpdate(uint32(c.received))
		c.received = 0
	}
	one := c.open[stream]
	if one == nil || one.whole {
		return nil
	}
	one.body = append(one.body, payload...)
	if len(one.body) < 5 || len(one.body) < 5+int(binary.BigEndian.Uint32(one.body[1:5])) {
		return nil
	}
	one.whole = true
	said, err := readAnswer(one.body[5:], c.door)
	if err != nil {
		c.failures[err.Error()]++
	} else {
		c.count(said, now.Sub(one.sent))
	}
	if c.door == extProc {
		c.end(stream)
	}
	return nil
}

func (c *client) count(said outcome, took time.Duration) {
	c.latencies = append(c.latencies, uint32(min(took, math.MaxUint32)))
	if said.cluster == nil {
		c.refused++
		return
	}
	counter := c.clusters[string(said.cluster)]
	if counter == nil {
		counter = new(int)
		c.clusters[string(said.cluster)] = counter
	}
	*counter++
}

// end resets a stream as Envoy does.
func (c *client) end(stream uint32) {
	c.frame(http2.FrameRSTStream, 0, stream, 4)
	c.out = binary.BigEndian.AppendUint32(c.out, endCode)
	c.forget(stream)
}

func (c *client) forget(stream uint32) {
	if one := c.open[stream]; one != nil {
		delete(c.open, stream)
		c.spare = append(c.spare, one)
	}
}

func (c *client) windowUpdate(by uint32) {
	c.frame(http2.FrameWindowUpdate, 0, 0, 4)
	c.out = binary.BigEndian.AppendUint32(c.out, by)
}

// frame adds a frame's header to what the next flush writes (RFC 9113, section 4.1).
func (c *client) frame(kind http2.FrameType, flags http2.Flags, stream uint32, size int) {
	c.out = append(c.out, byte(size>>16), byte(size>>8), byte(size), byte(kind), byte(flags))
	c.out = binary.BigEndian.AppendUint32(c.out, stream)
}

func (c *client) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.transport.Write(c.out)
	c.out = c.out[:0]
	return err
}

// read returns the next frame; its payload is good until the next call.
func (c *client) read() (http2.FrameType, http2.Flags, uint32, []byte, error) {
	header, err := c.reader.Peek(frameHeader)
	if err != nil {
		return 0, 0, 0, nil, err
	}
	size := int(header[0])<<16 | int(header[1])<<8 | int(header[2])
	kind, flags := http2.FrameType(header[3]), http2.Flags(header[4])
	stream := binary.BigEndian.Uint32(header[5:9]) & math.MaxInt32
	if size > maxFrame {
		return 0, 0, 0, nil, errors.New("a frame of " + strconv.Itoa(size) + " bytes")
	}
	if _, err := c.reader.Discard(frameHeader); err != nil {
		return 0, 0, 0, nil, err
	}
	_, err = io.ReadFull(c.reader, c.payload[:size])
	return kind, flags, stream, c.payload[:size], err
}
