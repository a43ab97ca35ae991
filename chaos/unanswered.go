package main

import (
	"bytes"

	"github.com/Shopify/toxiproxy/v2/toxics"
)

// unansweredToxic is the name by which proxies know unansweredCommits.
const unansweredToxic = "unanswered_commits"

// unansweredCommits cuts a connection to a PostgreSQL server instead of passing on that a transaction was committed. Connections that are cut by
// chance are hardly ever cut just then, which is when a client has to ask what became of its transaction.
type unansweredCommits struct {
	After int `json:"after"` // so many commits of each connection are answered before
}

// commitComplete is how the server says that it has committed.
var commitComplete = []byte("C\x00\x00\x00\x0bCOMMIT\x00")

// Pipe is called for each connection, and again when another toxic comes or goes.
func (t *unansweredCommits) Pipe(stub *toxics.ToxicStub) {
	answered := stub.State.(*int)
	for {
		select {
		case <-stub.Interrupt:
			return
		case c := <-stub.Input:
			if c == nil || bytes.Contains(c.Data, commitComplete) && t.lose(answered) {
				stub.Close()
				return
			}
			stub.Output <- c
		}
	}
}

func (t *unansweredCommits) lose(answered *int) bool {
	*answered++
	return *answered > t.After
}

// NewState makes the toxic one with a state for each connection.
func (t *unansweredCommits) NewState() any { return new(int) }
