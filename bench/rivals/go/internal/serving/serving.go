// Package serving is what the servers of this module share: the names both sides of Envoy agree on, where a
// server listens, and how it ends.
package serving

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	extproc "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
)

// ClusterHeader carries the decision to Envoy's router.
const ClusterHeader = "x-borderpost-cluster"

// drain is how long streams that are still open may take once the server has been told to end.
const drain = 2 * time.Second

// Listen says where a server listens. Exactly one is set.
type Listen struct {
	unix, tcp string
	workers   uint
}

// Flags adds the flags of Listen to the command line.
func Flags() *Listen {
	listen := &Listen{}
	flag.StringVar(&listen.unix, "unix", "", "listen on this Unix socket")
	flag.StringVar(&listen.tcp, "tcp", "", "listen on this address, such as 127.0.0.1:9000")
	flag.UintVar(&listen.workers, "stream-workers", 0, "grpc-go's NumStreamWorkers; 0 is its default")
	return listen
}

// Serve answers both of Envoy's doors until SIGTERM or SIGINT.
func (listen *Listen) Serve(process extproc.ExternalProcessorServer, check auth.AuthorizationServer) error {
	if (listen.unix == "") == (listen.tcp == "") {
		return fmt.Errorf("name one of -unix and -tcp")
	}
	network, address := "tcp", listen.tcp
	if listen.unix != "" {
		network, address = "unix", listen.unix
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	options := []grpc.ServerOption{grpc.WaitForHandlers(true)}
	if listen.workers > 0 {
		options = append(options, grpc.NumStreamWorkers(uint32(listen.workers)))
	}
	server := grpc.NewServer(options...)
	extproc.RegisterExternalProcessorServer(server, process)
	auth.RegisterAuthorizationServer(server, check)
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-ended
		time.AfterFunc(drain, server.Stop)
		server.GracefulStop()
	}()
	return server.Serve(listener)
}
