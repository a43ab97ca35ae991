package demo

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"syncline"
	"syncline/internal/document"
	"syncline/internal/verify"
	"syncline/internal/webhook"
)

// partner is the business partner's side of the webhook: it checks signatures, drops what it has already seen, and keeps the
// last state of each record. An event is answered once it is on disk.
type partner struct {
	listener net.Listener
	secret   string
	db       *sql.DB
	server   *http.Server
	// stopped is closed when the server has ended.
	stopped chan struct{}
}

const partnerTables = `
CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS record (object TEXT NOT NULL, key TEXT NOT NULL, content TEXT NOT NULL, PRIMARY KEY (object, key))`

const (
	partnerPath    = "/in/"
	maxPartnerBody = 1 << 20
)

// newPartner takes a free port and makes a secret. Requests are answered after start.
func newPartner() (*partner, error) {
	key := make([]byte, 32)
	rand.Read(key) //nolint:errcheck // it never fails
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, syncline.Errorf(syncline.Fatal, "listen_failed", "listen on 127.0.0.1 for the partner: %w", err)
	}
	return &partner{listener: listener, secret: "whsec_" + base64.StdEncoding.EncodeToString(key), stopped: make(chan struct{})}, nil
}

func (p *partner) port() string { return strconv.Itoa(p.listener.Addr().(*net.TCPAddr).Port) }

// start opens partner.db in the directory and answers requests until close.
func (p *partner) start(ctx context.Context, dir string) error {
	var err error
	if p.db, err = openDatabase(ctx, dir, "partner", partnerTables); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+partnerPath+"{object...}", p.receive)
	p.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(p.stopped)
		_ = p.server.Serve(p.listener) // it ends by close
	}()
	return nil
}

func (p *partner) close() error {
	if p.server == nil {
		return p.listener.Close()
	}
	err := p.server.Close()
	<-p.stopped
	return errors.Join(err, p.db.Close())
}

// receive takes one event.
func (p *partner) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPartnerBody))
	if err != nil {
		http.Error(w, "the body cannot be read", http.StatusRequestEntityTooLarge)
		return
	}
	if err := webhook.Verify(p.secret, r.Header, body, time.Now(), 0); err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	var event struct {
		Type, Subject string
		Data          struct{ After json.RawMessage }
	}
	if err := json.Unmarshal(body, &event); err != nil || event.Subject == "" {
		http.Error(w, "the body is not an event of a record", http.StatusBadRequest)
		return
	}
	record := event.Data.After
	if strings.HasSuffix(event.Type, "."+syncline.OpDeleted.String()) || string(record) == "null" {
		record = nil
	}
	if err := p.keep(r.Context(), r.Header.Get(webhook.HeaderID), r.PathValue("object"), event.Subject, record); err != nil {
		http.Error(w, "the event could not be kept", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// keep stores what the event left of the record, nil for nothing, unless the event was seen before.
func (p *partner) keep(ctx context.Context, id, object, key string, record []byte) error {
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to take back
	res, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO seen VALUES (?)", id)
	if err != nil {
		return err
	}
	if fresh, err := res.RowsAffected(); err != nil || fresh == 0 {
		return err
	}
	if record == nil {
		_, err = tx.ExecContext(ctx, "DELETE FROM record WHERE object = ? AND key = ?", object, key)
	} else {
		_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO record VALUES (?, ?, ?)", object, key, string(record))
	}
	if err != nil {
		return err
	}
	return tx.Commit()
}

// held lists the records that the partner holds of an object, in the terms of the schema.
func (p *partner) held(object string) func(*syncline.Schema) verify.Each {
	return func(s *syncline.Schema) verify.Each {
		return func(ctx context.Context, f func(syncline.Row) error) error {
			rows, err := p.db.QueryContext(ctx, "SELECT content FROM record WHERE object = ?", object)
			if err != nil {
				return fmt.Errorf("read what the partner holds: %w", err)
			}
			defer rows.Close() //nolint:errcheck // rows.Err has it
			for rows.Next() {
				var content []byte
				if err := rows.Scan(&content); err != nil {
					return err
				}
				values, err := document.Parse(s, content, syncline.Null)
				if err != nil {
					return err
				}
				if err := f(syncline.Row{Schema: s, Values: values}); err != nil {
					return err
				}
			}
			return rows.Err()
		}
	}
}
