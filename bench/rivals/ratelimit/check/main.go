// Command check says of each limits file named whether envoyproxy/ratelimit loads it, each by itself: one line of JSON a
// file, with the error or null, and with what it has read as its /rlconfig shows it, in no order.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"

	"github.com/envoyproxy/ratelimit/src/config"
	"github.com/envoyproxy/ratelimit/src/settings"
	"github.com/envoyproxy/ratelimit/src/stats"
	gostats "github.com/lyft/gostats"
)

type verdict struct {
	File  string  `json:"file"`
	Error *string `json:"error"`
	Rules string  `json:"rules"`
}

func main() {
	manager := stats.NewStatManager(gostats.NewStore(gostats.NewNullSink(), false), settings.NewSettings())
	out := json.NewEncoder(os.Stdout)
	for _, path := range os.Args[1:] {
		text, err := os.ReadFile(path)
		if err != nil {
			log.Fatal(err)
		}
		if err := out.Encode(load(path, string(text), manager)); err != nil {
			log.Fatal(err)
		}
	}
}

// load reads one file. The program panics with what is wrong with it.
func load(path, text string, manager stats.Manager) (said verdict) {
	said.File = path
	defer func() {
		if wrong := recover(); wrong != nil {
			told := fmt.Sprint(wrong)
			said.Error = &told
		}
	}()
	root := config.ConfigFileContentToYaml(path, text)
	read := config.NewRateLimitConfigImpl([]config.RateLimitConfigToLoad{{Name: path, ConfigYaml: root}}, manager, false)
	said.Rules = read.Dump()
	return said
}
