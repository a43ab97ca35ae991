package pgerror

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

func TestWhatIsShown(t *testing.T) {
	for _, c := range []struct {
		pg     pgconn.PgError
		quoted bool
	}{
		{pgconn.PgError{Code: "42703", Position: 8}, true}, // of the statement
		{pgconn.PgError{Code: "42P01", Position: 15}, true},
		{pgconn.PgError{Code: "42501"}, true},
		{pgconn.PgError{Code: "42P10"}, true},
		{pgconn.PgError{Code: "428C9"}, true},
		{pgconn.PgError{Code: "3D000"}, true},
		{pgconn.PgError{Code: "57014", Where: `PL/pgSQL function f() line 3`}, true},
		{pgconn.PgError{Code: "55P03", Where: `while locking tuple (0,1)`}, true},
		{pgconn.PgError{Code: "40P01", Where: `while locking tuple (0,1)`}, true},

		{pgconn.PgError{Code: "42P01"}, false}, // '…'::regclass
		{pgconn.PgError{Code: "42704"}, false}, // current_setting('…')
		{pgconn.PgError{Code: "42601"}, false}, // to_tsquery('…')
		{pgconn.PgError{Code: "42703", Where: `PL/pgSQL function f() line 3 at EXECUTE`}, false},
		{pgconn.PgError{Code: "42501", Where: `PL/pgSQL function f() line 3 at EXECUTE`}, false},
		{pgconn.PgError{Code: "58P01", Where: `PL/pgSQL function f() line 3 at EXECUTE`}, false},
		{pgconn.PgError{Code: "22P02"}, false},
		{pgconn.PgError{Code: "22P02", Position: 8}, false},
		{pgconn.PgError{Code: "23514"}, false},
		{pgconn.PgError{Code: "P0001", Routine: "exec_stmt_raise"}, false},
		{pgconn.PgError{Code: "57014", Routine: "exec_stmt_raise"}, false},
	} {
		c.pg.Severity, c.pg.Message, c.pg.Detail, c.pg.Hint = "ERROR", "what is hunter2", "hunter2", "hunter2"
		err := Told(fmt.Errorf("around it: %w", &c.pg))
		if said := err.Error(); strings.Contains(said, "hunter2") != c.quoted || !strings.HasSuffix(said, "(SQLSTATE "+c.pg.Code+")") {
			t.Errorf("of %s at %d (%s): %q, want that the message is shown: %t", c.pg.Code, c.pg.Position, c.pg.Where, said, c.quoted)
		}
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != c.pg.Code || strings.Contains(fmt.Sprintf("%+v", *pg), "hunter2") != c.quoted {
			t.Errorf("%v comes from %+v", err, pg)
		}
		if again := Told(err); again.Error() != err.Error() {
			t.Errorf("told again it is %q, was %q", again, err)
		}
	}
	if err := Told(errors.New("no answer")); err.Error() != "no answer" || Told(nil) != nil {
		t.Errorf("Told changes what is not the server's: %v, %v", err, Told(nil))
	}
}

// TestAServerThatRepeatsThePassword: what it says at a login is shown as long as that is not in it.
func TestAServerThatRepeatsThePassword(t *testing.T) {
	for said, shown := range map[string]bool{"wrong: hunter2": false, `no database "shop"`: true} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1) // one send
		go func() {
			conn, err := listener.Accept()
			if err != nil {
				done <- err
				return
			}
			b := pgproto3.NewBackend(conn, conn)
			_, err1 := b.ReceiveStartupMessage()
			b.Send(&pgproto3.AuthenticationCleartextPassword{})
			err2 := b.Flush()
			err3 := b.SetAuthType(pgproto3.AuthTypeCleartextPassword)
			_, err4 := b.Receive()
			b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "3D000", Message: said})
			done <- errors.Join(err1, err2, err3, err4, b.Flush(), conn.Close())
		}()
		_, err = pgconn.Connect(t.Context(), "postgres://u:hunter2@"+listener.Addr().String()+"/shop?sslmode=disable")
		if served := errors.Join(<-done, listener.Close()); served != nil {
			t.Error(served)
		}
		err = OfLogin(err)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "3D000" || !strings.Contains(err.Error(), "3D000") || strings.Contains(err.Error(), said) != shown || strings.Contains(err.Error(), "hunter2") || strings.Contains(pg.Message, "hunter2") {
			t.Errorf("a server that says %q: %v, want that it is shown: %t", said, err, shown)
		}
	}
}
