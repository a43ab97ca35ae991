package ops

import (
	"net"
	"sync"
)

const (
	// maxConnections bounds the connections at once, of which most do nothing. Further ones wait in the system's queue.
	maxConnections = 4096
	// maxFromOne bounds those of one address, which could else keep all others out by opening connections alone. Further ones are closed.
	maxFromOne = maxConnections / 4
)

// bounded is a listener that accepts a connection only once there is room for it.
type bounded struct {
	net.Listener
	fromOne int
	// slots has room for the connections: Accept puts one in, closing the connection takes it out.
	slots chan struct{}
	// closed is closed by the first Close, so that an Accept which waits for room ends.
	closed chan struct{}
	once   sync.Once

	mu sync.Mutex
	// open counts the connections by where they come from; it has no more entries than there are connections.
	open map[string]int
}

func newBounded(l net.Listener, connections, fromOne int) *bounded {
	return &bounded{Listener: l, fromOne: fromOne, slots: make(chan struct{}, connections), closed: make(chan struct{}), open: make(map[string]int)}
}

// Accept waits for room, then for a connection.
func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.slots <- struct{}{}:
	case <-b.closed:
		return nil, net.ErrClosed
	}
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			<-b.slots
			return nil, err
		}
		from := callersKey(hostOf(c.RemoteAddr().String()))
		if !b.enter(from) {
			_ = c.Close() // nothing was said
			continue
		}
		return &boundedConn{Conn: c, leave: sync.OnceFunc(func() { b.leave(from) })}, nil
	}
}

func (b *bounded) enter(from string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open[from] >= b.fromOne {
		return false
	}
	b.open[from]++
	return true
}

func (b *bounded) leave(from string) {
	b.mu.Lock()
	if b.open[from]--; b.open[from] == 0 {
		delete(b.open, from)
	}
	b.mu.Unlock()
	<-b.slots
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
