package main

import (
	"context"
	"strconv"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// clockHeader carries the time of a request, in seconds since the Unix epoch.
const clockHeader = "borderpost-now"

// clock is the program's time source. It stands where the last request has put it, so requests come one at a time.
type clock struct{ now atomic.Int64 }

func (c *clock) UnixNow() int64 { return c.now.Load() }

// intercept puts the clock where a request says. One that does not say is a mistake of the caller's.
func (c *clock) intercept(
	ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler,
) (any, error) {
	told := metadata.ValueFromIncomingContext(ctx, clockHeader)
	if len(told) != 1 {
		return nil, status.Error(codes.FailedPrecondition, "a request without "+clockHeader)
	}
	now, err := strconv.ParseInt(told[0], 10, 64)
	if err != nil {
		return nil, status.Error(codes.FailedPrecondition, "no time: "+told[0])
	}
	c.now.Store(now)
	return handler(ctx, request)
}

// longest is the source of a jitter of a day less a second, if EXPIRATION_JITTER_MAX_SECONDS is a day: Redis forgets keys
// by its own clock, and none may go while the caller's stands still.
type longest struct{}

func (longest) Int63() int64 { return 24*60*60 - 1 }

func (longest) Seed(int64) {}
