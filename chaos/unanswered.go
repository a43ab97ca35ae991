package main

import (
	"bytes"

	"github.com/Shopify/toxiproxy/v2/toxics"
)

// Connections that are cut by chance are hardly ever cut just when a transaction is committed, which is when a client has to find out what became
// of it. So two toxics cut one to a PostgreSQL server just then. The client cannot tell them apart: behind one the transaction was committed,
// behind the other it was not.
const (
	unansweredToxic = "unanswered_commits" // the names by which proxies know them
	unheardToxic    = "unheard_commits"
)

// unansweredCommits loses the answer to a COMMIT, which is on its way downstream.
type unansweredCommits struct{ commitCutter }

// commitComplete is how the server says that it has committed.
var commitComplete = []byte("C\x00\x00\x00\x0bCOMMIT\x00")

// Pipe is called for each connection, and again when another toxic comes or goes.
func (t *unansweredCommits) Pipe(stub *toxics.ToxicStub) { t.pipe(stub, commitComplete) }

// unheardCommits loses a COMMIT, which is on its way upstream.
type unheardCommits struct{ commitCutter }

// The COMMIT as a simple query, which is that of the writers, and as a statement that is parsed, which is the program's.
var (
	commitQuery = []byte("Q\x00\x00\x00\x0bcommit\x00")
	commitParse = []byte("P\x00\x00\x00\x0e\x00COMMIT\x00\x00\x00")
)

// Pipe is called for each connection, and again when another toxic comes or goes.
func (t *unheardCommits) Pipe(stub *toxics.ToxicStub) { t.pipe(stub, commitQuery, commitParse) }

// commitCutter cuts a connection instead of passing on that a transaction is, or is to be, committed.
type commitCutter struct {
	After int `json:"after"` // so many of each connection are passed on before
}

// pipe passes on what has none of the messages in it. One that comes in two pieces passes unseen: it is written at once, so that this is rare.
func (t *commitCutter) pipe(stub *toxics.ToxicStub, messages ...[]byte) {
	passed := stub.State.(*int)
	for {
		select {
		case <-stub.Interrupt:
			return
		case c := <-stub.Input:
			if c == nil {
				stub.Close()
				return
			}
			for _, m := range messages {
				*passed += bytes.Count(c.Data, m)
			}
			if *passed > t.After {
				stub.Close()
				return
			}
			stub.Output <- c
		}
	}
}

// NewState makes a toxic one with a state for each connection.
func (t *commitCutter) NewState() any { return new(int) }
