package main

import (
	"errors"
	"net/netip"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	extproc "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/oschwald/maxminddb-golang/v2"
)

const (
	attributesKey = "envoy.filters.http.ext_proc"
	clientHeader  = "x-borderpost-client" // the trusted address on the ext_authz door, without a port
)

// facts are what the law and the record need of one request.
type facts struct {
	address                     netip.Addr
	country                     string // inferred from the address, empty if unknown
	residency                   string // asserted by x-data-residency
	class, model, tenant, route string
	requestID, trace            string
}

var errNotAQuestion = errors.New("not a question of this door")

// processFacts reads a ProcessingRequest in its request-headers phase.
func processFacts(question *extproc.ProcessingRequest) (*facts, error) {
	phase := question.GetRequestHeaders()
	if phase == nil || question.GetObservabilityMode() {
		return nil, errNotAQuestion
	}
	read := headerFacts(phase.GetHeaders().GetHeaders())
	fields := question.GetAttributes()[attributesKey].GetFields()
	read.route = fields["xds.route_name"].GetStringValue()
	if address, err := netip.ParseAddrPort(fields["source.address"].GetStringValue()); err == nil {
		read.address = address.Addr().Unmap()
	}
	return read, nil
}

// checkFacts reads a CheckRequest.
func checkFacts(question *auth.CheckRequest) (*facts, error) {
	http := question.GetAttributes().GetRequest().GetHttp()
	if http == nil {
		return nil, errNotAQuestion
	}
	found := http.GetHeaderMap().GetHeaders()
	read := headerFacts(found)
	for _, header := range found {
		if header.GetKey() == clientHeader {
			if address, err := netip.ParseAddr(text(header)); err == nil {
				read.address = address.Unmap()
			}
		}
	}
	return read, nil
}

func headerFacts(headers []*core.HeaderValue) *facts {
	read := &facts{class: defaultClass}
	for _, header := range headers {
		switch header.GetKey() {
		case "x-data-residency":
			read.residency = text(header)
		case "x-data-class":
			read.class = text(header)
		case "x-model":
			read.model = text(header)
		case "x-tenant":
			read.tenant = text(header)
		case "x-request-id":
			read.requestID = text(header)
		case "traceparent":
			if parts := strings.Split(text(header), "-"); len(parts) == 4 {
				read.trace = parts[1]
			}
		}
	}
	return read
}

func text(header *core.HeaderValue) string {
	if raw := header.GetRawValue(); len(raw) > 0 {
		return string(raw)
	}
	return header.GetValue()
}

// locate adds the country of the address: `country_code` in flat databases, `country.iso_code` in nested ones.
func (f *facts) locate(database *maxminddb.Reader) error {
	if !f.address.IsValid() {
		return nil
	}
	found := database.Lookup(f.address)
	if !found.Found() {
		return found.Err()
	}
	if err := found.DecodePath(&f.country, "country_code"); err != nil || f.country != "" {
		return err
	}
	return found.DecodePath(&f.country, "country", "iso_code")
}
