package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"testing"

	"golang.org/x/net/http2"
)

// answerStubbornly answers each question with more than a socket's buffer holds, and reads nothing while it writes.
func answerStubbornly(server net.Conn) {
	reader := bufio.NewReader(server)
	framer := http2.NewFramer(server, reader)
	if _, err := reader.Discard(len(preface)); err != nil {
		return
	}
	if framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30}) != nil {
		return
	}
	if framer.WriteWindowUpdate(0, 1<<30) != nil {
		return
	}
	body := make([]byte, 5+1<<20)
	binary.BigEndian.PutUint32(body[1:], 1<<20)
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return
		}
		data, ok := frame.(*http2.DataFrame)
		if !ok {
			continue
		}
		if framer.WriteHeaders(http2.HeadersFrameParam{StreamID: data.StreamID, BlockFragment: []byte{0x88}, EndHeaders: true}) != nil {
			return
		}
		for left := body; len(left) > 0; left = left[min(len(left), maxFrame):] {
			if framer.WriteData(data.StreamID, false, left[:min(len(left), maxFrame)]) != nil {
				return
			}
		}
	}
}

func TestAServerThatDoesNotReadWhileItWritesIsNotWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		if server, err := listener.Accept(); err == nil {
			answerStubbornly(server)
		}
	}()
	transport, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	const questions = 64
	asked := &messages{all: []message{{framed: framed(string(bytes.Repeat([]byte("q"), 15000)))}}}
	one := newClient(0, transport, "/p", asked, 1000, extProc)
	one.due = newSchedule(questions*1000, "constant", 0)
	told, err := run([]*client{one}, 0.001)
	if err != nil {
		t.Fatal(err)
	}
	// What it says is no answer of ours, and that is told of every one of them.
	if told.Failed != questions || told.Reasons["an answer that neither routes nor refuses"] != questions {
		t.Errorf("%+v", told)
	}
}

func TestALostConnectionIsQuestionsWithoutAnAnswer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		if server, err := listener.Accept(); err == nil {
			framer := http2.NewFramer(server, server)
			if _, err := io.ReadFull(server, make([]byte, len(preface))); err == nil && framer.WriteSettings() == nil {
				for range 6 { // settings, window update, acknowledgement, and a question
					_, _ = framer.ReadFrame()
				}
			}
			server.Close()
		}
	}()
	transport, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	asked := &messages{all: []message{{framed: framed("q")}}}
	one := newClient(0, transport, "/p", asked, 10, extProc)
	one.due = newSchedule(100, "constant", 0)
	told, err := run([]*client{one}, 0.1)
	if err != nil {
		return // the write that found the connection gone says so
	}
	if told.Answered != 0 || told.Failed == 0 {
		t.Errorf("%+v", told)
	}
}
