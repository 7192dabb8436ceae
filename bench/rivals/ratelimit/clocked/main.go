// Command clocked is envoyproxy/ratelimit with two things that a comparison of answers needs: the clock stands where the
// caller puts it (clock.go), and its counters can be read at any time (counters.go). Matching, counting, Redis and
// answers are the program's own, put together as its runner does; settings come from the environment as there.
package main

import (
	"log"
	"math/rand"

	pb "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	"github.com/envoyproxy/ratelimit/src/redis"
	"github.com/envoyproxy/ratelimit/src/server"
	ratelimit "github.com/envoyproxy/ratelimit/src/service"
	"github.com/envoyproxy/ratelimit/src/settings"
	"github.com/envoyproxy/ratelimit/src/stats"
	gostats "github.com/lyft/gostats"
	logger "github.com/sirupsen/logrus"
)

func main() {
	chosen, clock, counters := settings.NewSettings(), &clock{}, newCounters()
	level, err := logger.ParseLevel(chosen.LogLevel)
	if err != nil {
		log.Fatal(err)
	}
	logger.SetLevel(level)
	store := gostats.NewStore(counters, false)
	manager := stats.NewStatManager(store, chosen)
	serving := server.NewServer(chosen, "ratelimit", manager, nil, settings.GrpcUnaryInterceptor(clock.intercept))
	cache, closer := redis.NewRateLimiterCacheImplFromSettings(
		chosen, nil, serving, clock, rand.New(longest{}), chosen.ExpirationJitterMaxSeconds, manager)
	defer closer.Close()
	service := ratelimit.NewService(
		cache, serving.Provider(), manager, serving.HealthChecker(), clock, chosen.GlobalShadowMode,
		chosen.ForceStartWithoutInitialConfig, chosen.HealthyWithAtLeastOneConfigLoaded)
	serving.AddDebugHttpEndpoint("/counters", "all counters as JSON", counters.serve(store))
	serving.AddJsonHandler(service)
	pb.RegisterRateLimitServiceServer(serving.GrpcServer(), service)
	serving.Start() // until SIGTERM, SIGINT or SIGHUP
}
