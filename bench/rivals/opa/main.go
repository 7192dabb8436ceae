// Command opa is OPA-Envoy as a rival: OPA's own runtime with its Envoy plugin, answering ext_authz by the policy
// beside it (decision.rego). It is the engine that people reach for first, in the form in which they run it.
//
// What it does less than the product: it has no GeoIP database, so a header has to say the country; its decision log
// is written to stderr without waiting for the disk; its plugin knows no status 451, so a refusal is 403.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"

	"github.com/open-policy-agent/opa-envoy-plugin/plugin"
	"github.com/open-policy-agent/opa/v1/runtime"
)

// path of the rule in decision.rego.
const path = "borderpost/ingress/decision"

// configuration returns OPA's settings, as on its command line by --set.
func configuration(address string, console bool) []string {
	section := "plugins." + plugin.PluginName
	return []string{
		section + ".addr=" + address,
		section + ".path=" + path,
		section + ".skip-request-body-parse=true",
		fmt.Sprintf("decision_logs.console=%t", console),
	}
}

func run(address, policy, table string, console bool) error {
	runtime.RegisterPlugin(plugin.PluginName, plugin.Factory{})
	params := runtime.NewParams()
	params.Paths = []string{policy, table}
	params.ConfigOverrides = configuration(address, console)
	params.Addrs = &[]string{"127.0.0.1:0"} // OPA's own interface, which nobody asks
	params.Logging.Level = "info"           // what decision logs are written at
	params.GracefulShutdownPeriod = 2
	ctx := context.Background()
	engine, err := runtime.NewRuntime(ctx, params)
	if err != nil {
		return err
	}
	return engine.Serve(ctx) // until SIGTERM or SIGINT
}

func main() {
	unix := flag.String("unix", "", "listen on this Unix socket")
	tcp := flag.String("tcp", "", "listen on this address, such as 127.0.0.1:9000")
	policy := flag.String("policy", "", "the Rego file")
	table := flag.String("table", "", "JSON file with the law and the ranking, below the key `table`")
	console := flag.Bool("console", true, "write the decision log to stderr")
	flag.Parse()
	address := "grpc://" + *tcp
	if *unix != "" {
		address = "unix://" + *unix
	}
	if (*unix == "") == (*tcp == "") {
		log.Fatal("name one of -unix and -tcp")
	}
	if err := run(address, *policy, *table, *console); err != nil {
		log.Fatal(err)
	}
}
