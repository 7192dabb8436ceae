package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	extproc "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	limits "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	"golang.org/x/net/http2"
	"google.golang.org/protobuf/proto"
)

func encoded(t *testing.T, message proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func routed(key, cluster string) *extproc.ProcessingResponse {
	option := &core.HeaderValueOption{Header: &core.HeaderValue{Key: key, RawValue: []byte(cluster)}}
	return &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_RequestHeaders{
		RequestHeaders: &extproc.HeadersResponse{Response: &extproc.CommonResponse{
			Status:         extproc.CommonResponse_CONTINUE,
			HeaderMutation: &extproc.HeaderMutation{SetHeaders: []*core.HeaderValueOption{option}},
		}},
	}}
}

func TestAnswersAreReadByTheirMeaning(t *testing.T) {
	refused := &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_ImmediateResponse{
		ImmediateResponse: &extproc.ImmediateResponse{Body: []byte("no")},
	}}
	option := &core.HeaderValueOption{Header: &core.HeaderValue{Key: clusterHeader, Value: "eu"}}
	allowed := &auth.CheckResponse{HttpResponse: &auth.CheckResponse_OkResponse{
		OkResponse: &auth.OkHttpResponse{Headers: []*core.HeaderValueOption{option}},
	}}
	denied := &auth.CheckResponse{HttpResponse: &auth.CheckResponse_DeniedResponse{
		DeniedResponse: &auth.DeniedHttpResponse{Body: "no"},
	}}
	within := &limits.RateLimitResponse{OverallCode: limits.RateLimitResponse_OK}
	over := &limits.RateLimitResponse{OverallCode: limits.RateLimitResponse_OVER_LIMIT}
	for name, one := range map[string]struct {
		message proto.Message
		door    door
		cluster string
		wrong   bool
	}{
		"route":        {routed(clusterHeader, "eu"), extProc, "eu", false},
		"refusal":      {refused, extProc, "", false},
		"check":        {allowed, extAuthz, "eu", false},
		"denial":       {denied, extAuthz, "", false},
		"other header": {routed("x-other", "eu"), extProc, "", true},
		"no cluster":   {routed(clusterHeader, ""), extProc, "", true},
		"within":       {within, rateLimit, "within-limit", false},
		"over":         {over, rateLimit, "", false},
		"no code":      {&limits.RateLimitResponse{}, rateLimit, "", true},
		"nothing":      {&extproc.ProcessingResponse{}, extProc, "", true},
	} {
		said, err := readAnswer(encoded(t, one.message), one.door)
		if (err != nil) != one.wrong || string(said.cluster) != one.cluster {
			t.Errorf("%s: %q, %v", name, said.cluster, err)
		}
	}
	if _, err := readAnswer([]byte{0xff, 0xff}, extProc); err == nil {
		t.Error("garbage is an answer")
	}
}

func framed(payload string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(payload))), payload...)
}

func TestEachQuestionCarriesItsNumberWhereverAMarkerStands(t *testing.T) {
	path := filepath.Join(t.TempDir(), "messages")
	data := append(framed("id "+string(marker)+" trace "+string(marker)), framed("plain")...)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	read, err := readMessages(path)
	if err != nil {
		t.Fatal(err)
	}
	made := read.append([]byte("before"), 0xabc0)
	if want := append([]byte("before"), framed("id 00000000abc0 trace 00000000abc0")...); !bytes.Equal(made, want) {
		t.Errorf("%q", made)
	}
	if again := read.append(nil, 2); !bytes.Contains(again, []byte("id 000000000002 trace 000000000002")) {
		t.Errorf("a number is left of the one before: %q", again)
	}
	if got := read.append(nil, 1); !bytes.Equal(got, framed("plain")) || read.size(1) != len(got) {
		t.Errorf("%q", got)
	}
}

func TestAddressesAreTakenInTurn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "messages")
	if err := os.WriteFile(path, framed("[2a01:4f8::"+string(addressMarker)+"]:1"), 0o600); err != nil {
		t.Fatal(err)
	}
	read, err := readMessages(path)
	if err != nil {
		t.Fatal(err)
	}
	read.addresses = 0x12345
	for number, want := range map[uint64]string{
		0: "0000:0000", 0xabc: "0000:0abc", 0x12344: "0001:2344", 0x12345: "0000:0000", 0x12346: "0000:0001",
	} {
		if made := read.append(nil, number); !bytes.Contains(made, []byte("[2a01:4f8::"+want+"]:1")) {
			t.Errorf("%x: %q", number, made)
		}
	}
}

func TestWhatIsNoFileOfMessagesIsAnError(t *testing.T) {
	for name, data := range map[string][]byte{
		"empty": {}, "short": {0, 0}, "compressed": {1, 0, 0, 0, 0}, "cut off": framed("whole")[:7],
	} {
		path := filepath.Join(t.TempDir(), "messages")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readMessages(path); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestPercentilesAreNearestRank(t *testing.T) {
	values := make([]uint32, 1000)
	for at := range values {
		values[at] = uint32(at+1) * 1000
	}
	for percent, want := range map[float64]float64{50: 500, 99: 990, 99.9: 999, 100: 1000} {
		if got := percentile(values, percent); got != want {
			t.Errorf("%g %%: %g", percent, got)
		}
	}
	if percentile(nil, 50) != 0 || percentile(values[:1], 1) != 1 {
		t.Error("of none and of one")
	}
}

func TestASchedulesGapsHaveTheirMean(t *testing.T) {
	for arrivals, spread := range map[string]float64{"constant": 0, "poisson": 1} {
		due := newSchedule(1000, arrivals, 7)
		var last time.Duration
		var gaps, squares float64
		const count = 20000
		for range count {
			gap := (due.next - last).Seconds() * 1000
			gaps, squares, last = gaps+gap, squares+gap*gap, due.next
			due.advance()
		}
		mean := gaps / count
		if variance := squares/count - mean*mean; math.Abs(mean-1) > 0.03 || math.Abs(variance-spread) > 0.1 {
			t.Errorf("%s: mean %f ms, variance %f", arrivals, mean, variance)
		}
	}
	one, same, other := newSchedule(1, "poisson", 1), newSchedule(1, "poisson", 1), newSchedule(1, "poisson", 2)
	if one.next != same.next || one.next == other.next {
		t.Error("a seed gives a schedule")
	}
}

// answerLate reads what the client sends and answers each question after a pause in which it reads nothing.
func answerLate(t *testing.T, server net.Conn, pause time.Duration) {
	framer := http2.NewFramer(server, server)
	preface := make([]byte, len(preface))
	if _, err := io.ReadFull(server, preface); err != nil {
		t.Error(err)
		return
	}
	if err := framer.WriteSettings(); err != nil {
		t.Error(err)
		return
	}
	message := encoded(t, routed(clusterHeader, "eu"))
	body := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
	headers := []byte{0x88} // :status 200 (RFC 7541, appendix A)
	for first := true; ; {
		frame, err := framer.ReadFrame()
		if err != nil {
			return // the client has what it wants
		}
		if data, ok := frame.(*http2.DataFrame); ok {
			if first {
				time.Sleep(pause)
				first = false
			}
			_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: data.StreamID, BlockFragment: headers, EndHeaders: true})
			_ = framer.WriteData(data.StreamID, false, body)
		}
	}
}

func TestAStallIsChargedToEveryQuestionThatFellDueInIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	const pause = 200 * time.Millisecond
	go func() {
		if server, err := listener.Accept(); err == nil {
			answerLate(t, server, pause)
		}
	}()
	transport, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	asked := &messages{all: []message{{framed: framed("q")}}}
	one := newClient(0, transport, "/p", asked, 1000, extProc)
	one.due = newSchedule(500, "constant", 0)
	told, err := run([]*client{one}, 0.3)
	if err != nil {
		t.Fatal(err)
	}
	if told.Answered != 150 || told.Failed != 0 || told.Clusters["eu"] != 150 {
		t.Fatalf("%+v", told)
	}
	// 100 of 150 questions fell due in the pause: a closed loop would have seen one slow answer.
	slow := 0
	for _, took := range one.latencies {
		if took > uint32(50*time.Millisecond) {
			slow++
		}
	}
	if slow < 70 {
		t.Errorf("%d slow answers", slow)
	}
	if len(one.late) != 150 {
		t.Errorf("%d questions have a lateness", len(one.late))
	}
}
