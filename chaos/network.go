package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/rs/zerolog"

	"syncline/internal/testserver"
)

// network is a proxy between the program and each of its servers.
type network struct {
	server *toxiproxy.ApiServer // only for what the proxies count

	mu      sync.Mutex
	proxies map[string]*toxiproxy.Proxy
	ports   map[string]int
}

func newNetwork() *network {
	zerolog.SetGlobalLevel(zerolog.Disabled) // some toxics log to nobody's logger
	toxics.Register(unansweredToxic, new(unansweredCommits))
	toxics.Register(unheardToxic, new(unheardCommits))
	return &network{server: toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()),
		proxies: make(map[string]*toxiproxy.Proxy), ports: make(map[string]int)}
}

// add puts a proxy before the server at the port.
func (n *network) add(name string, port int) error {
	listen, err := testserver.FreePort()
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	p := toxiproxy.NewProxy(n.server, name, fmt.Sprintf("127.0.0.1:%d", listen), fmt.Sprintf("127.0.0.1:%d", port))
	if err := p.Start(); err != nil {
		return err
	}
	n.proxies[name], n.ports[name] = p, listen
	return nil
}

// port is where the program finds the server.
func (n *network) port(name string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ports[name]
}

// disturb adds a toxic to all connections of the server, those that are there and those that come.
func (n *network) disturb(name, toxic, stream string, attributes map[string]int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []string
	for key, value := range attributes {
		list = append(list, fmt.Sprintf("%q: %d", key, value))
	}
	_, err := n.proxies[name].Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(`{"type": %q, "stream": %q, "attributes": {%s}}`,
		toxic, stream, strings.Join(list, ", "))))
	return err
}

// calm takes the toxics away. Connections survive that where they can; a proxy whose connections do not let go of theirs is replaced.
func (n *network) calm(name string) error {
	n.mu.Lock()
	p := n.proxies[name]
	n.mu.Unlock()
	done := make(chan struct{})
	go func() { // ends when the proxy is stopped, if not before
		defer close(done)
		p.Toxics.ResetToxics(context.Background())
	}()
	select {
	case <-done:
		return nil
	case <-time.After(2 * time.Second):
		return n.replace(name)
	}
}

// replace cuts every connection, and begins with a new proxy.
func (n *network) replace(name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.proxies[name]
	p.Stop()
	n.proxies[name] = toxiproxy.NewProxy(n.server, name, p.Listen, p.Upstream)
	return n.proxies[name].Start()
}

// point has the proxy lead elsewhere.
func (n *network) point(name string, port int) error {
	n.mu.Lock()
	n.proxies[name].Upstream = fmt.Sprintf("127.0.0.1:%d", port)
	n.mu.Unlock()
	return n.replace(name)
}

// refuse cuts every connection and takes no new ones.
func (n *network) refuse(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.proxies[name].Stop()
}

func (n *network) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.proxies {
		p.Stop()
	}
}
