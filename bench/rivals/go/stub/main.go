// Command stub is the least that a grpc-go server can do for Envoy: it gives every question the same answer,
// made once. No facts, no law, no record: what it costs is the cost of grpc-go itself.
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	extproc "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/genproto/googleapis/rpc/status"

	"borderpost/bench/rivals/internal/serving"
)

type stub struct {
	extproc.UnimplementedExternalProcessorServer
	auth.UnimplementedAuthorizationServer
	processed *extproc.ProcessingResponse
	checked   *auth.CheckResponse
}

// Process answers each message of a stream. Envoy resets the stream after the first answer: a normal end.
func (s *stub) Process(stream extproc.ExternalProcessor_ProcessServer) error {
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := stream.Send(s.processed); err != nil {
			return err
		}
	}
}

func (s *stub) Check(context.Context, *auth.CheckRequest) (*auth.CheckResponse, error) {
	return s.checked, nil
}

func constant(cluster string) *stub {
	// ext_proc reads only raw_value of a header, ext_authz only value (Envoy 1.40).
	processed := &core.HeaderValueOption{
		Header:       &core.HeaderValue{Key: serving.ClusterHeader, RawValue: []byte(cluster)},
		AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
	checked := &core.HeaderValueOption{
		Header:       &core.HeaderValue{Key: serving.ClusterHeader, Value: cluster},
		AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
	return &stub{
		processed: &extproc.ProcessingResponse{
			Response: &extproc.ProcessingResponse_RequestHeaders{
				RequestHeaders: &extproc.HeadersResponse{
					Response: &extproc.CommonResponse{
						HeaderMutation:  &extproc.HeaderMutation{SetHeaders: []*core.HeaderValueOption{processed}},
						ClearRouteCache: true,
					},
				},
			},
		},
		checked: &auth.CheckResponse{
			Status: &status.Status{},
			HttpResponse: &auth.CheckResponse_OkResponse{
				OkResponse: &auth.OkHttpResponse{Headers: []*core.HeaderValueOption{checked}},
			},
		},
	}
}

func main() {
	listen := serving.Flags()
	cluster := flag.String("cluster", "", "the cluster of every answer")
	flag.Parse()
	if *cluster == "" {
		log.Fatal("name a -cluster")
	}
	server := constant(*cluster)
	if err := listen.Serve(server, server); err != nil {
		log.Fatal(err)
	}
}
