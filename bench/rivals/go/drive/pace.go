package main

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// schedule says when the questions of an open loop are due, whatever becomes of the ones before. Latency counts from
// there: a question that has to wait, for the server or for this driver, has waited.
type schedule struct {
	gap    time.Duration // mean
	chance *rand.Rand    // nil for a constant pace
	next   time.Duration // since the start
}

func newSchedule(rate float64, arrivals string, seed uint64) *schedule {
	made := &schedule{gap: time.Duration(float64(time.Second) / rate)}
	if arrivals == "poisson" {
		made.chance = rand.New(rand.NewPCG(seed, 0))
		made.advance()
	}
	return made
}

// advance moves on to the next question. The gaps of a Poisson process are exponentially distributed.
func (s *schedule) advance() {
	gap := float64(s.gap)
	if s.chance != nil {
		gap *= s.chance.ExpFloat64()
	}
	s.next += time.Duration(gap)
}

// paced is a connection whose reads return when there is something to read; meanwhile it sends what falls due. It
// waits by ppoll, because the runtime's own timers are only good to a millisecond.
type paced struct {
	fd     int
	client *client
	begun  time.Time
	length time.Duration
	late   []uint32 // nanoseconds between when each question was due and when it was sent
}

func (p *paced) Read(into []byte) (int, error) {
	for {
		timeout, err := p.send()
		if err != nil {
			return 0, err
		}
		wait := unix.NsecToTimespec(int64(timeout))
		events := int16(unix.POLLIN)
		if len(p.client.out) > 0 {
			events |= unix.POLLOUT
		}
		polled := []unix.PollFd{{Fd: int32(p.fd), Events: events}}
		if _, err := unix.Ppoll(polled, &wait, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return 0, err
		}
		if polled[0].Revents&^unix.POLLOUT != 0 {
			size, err := unix.Read(p.fd, into)
			if size == 0 && err == nil {
				err = io.EOF
			}
			return max(0, size), err
		}
		if time.Since(p.begun) > p.length+patience {
			return 0, os.ErrDeadlineExceeded
		}
	}
}

// send sends what is due and as much as the peer's windows take, and returns how long nothing else will be due.
func (p *paced) send() (time.Duration, error) {
	c := p.client
	now := time.Since(p.begun)
	for due := c.due.next; due <= now && due < p.length && c.mayAsk(); due = c.due.next {
		c.askOne(p.begun.Add(due))
		p.late = append(p.late, uint32(min(now-due, 1<<32-1)))
		c.due.advance()
	}
	if err := p.flush(); err != nil {
		return 0, err
	}
	if due := c.due.next; due < p.length && c.mayAsk() {
		return max(0, due-time.Since(p.begun)), nil
	}
	return patience, nil
}

// flush writes what the socket takes now and keeps the rest: a server that waits for us to read before it reads on
// would else be waited for, and both would wait for ever.
func (p *paced) flush() error {
	c := p.client
	for len(c.out) > 0 {
		written, err := unix.SendmsgN(p.fd, c.out, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if errors.Is(err, unix.EAGAIN) {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		c.out = c.out[:copy(c.out, c.out[max(0, written):])]
	}
	return nil
}

// drivePaced asks as the schedule says until the time is over, then waits for the last answers.
func (c *client) drivePaced(length time.Duration) error {
	socket, ok := c.transport.(interface{ File() (*os.File, error) })
	if !ok {
		return errors.New("not a socket")
	}
	file, err := socket.File()
	if err != nil {
		return err
	}
	defer file.Close()
	pace := &paced{fd: int(file.Fd()), client: c, begun: time.Now(), length: length}
	already, err := c.reader.Peek(c.reader.Buffered())
	if err != nil {
		return err
	}
	c.reader.Reset(io.MultiReader(bytes.NewReader(bytes.Clone(already)), pace))
	defer func() { c.late = pace.late }()
	for c.due.next < length || len(c.open) > 0 {
		kind, flags, stream, payload, err := c.read()
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF) {
			c.failures["no answer"] += len(c.open)
			return nil
		}
		if err != nil {
			return err
		}
		if err := c.handle(kind, flags, stream, payload, time.Now()); err != nil {
			return err
		}
	}
	return nil
}
