// Command server is envoyproxy/ratelimit as its own main package starts it: settings from the environment, limits files
// below RUNTIME_ROOT, counters in Redis.
package main

import (
	"github.com/envoyproxy/ratelimit/src/service_cmd/runner"
	"github.com/envoyproxy/ratelimit/src/settings"
)

func main() {
	one := runner.NewRunner(settings.NewSettings())
	one.Run() // until SIGTERM, SIGINT or SIGHUP
}
