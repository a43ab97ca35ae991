package ops

import (
	"net"
	"sync"
)

// maxConnections bounds the connections at once, of which most do nothing. Further ones wait in the system's queue.
const maxConnections = 4096

// bounded is a listener that accepts a connection only once there is room for it.
type bounded struct {
	net.Listener
	// slots has room for the connections: Accept puts one in, closing the connection takes it out.
	slots chan struct{}
	// closed is closed by the first Close, so that an Accept which waits for room ends.
	closed chan struct{}
	once   sync.Once
}

func newBounded(l net.Listener, connections int) *bounded {
	return &bounded{Listener: l, slots: make(chan struct{}, connections), closed: make(chan struct{})}
}

// Accept waits for room, then for a connection.
func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.slots <- struct{}{}:
	case <-b.closed:
		return nil, net.ErrClosed
	}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.slots
		return nil, err
	}
	return &boundedConn{Conn: c, leave: sync.OnceFunc(func() { <-b.slots })}, nil
}

// Close ends Accept.
func (b *bounded) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Listener.Close()
}

type boundedConn struct {
	net.Conn
	leave func()
}

func (c *boundedConn) Close() error {
	err := c.Conn.Close()
	c.leave()
	return err
}
