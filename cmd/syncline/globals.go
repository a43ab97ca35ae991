package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
	"golang.org/x/term"

	"syncline/internal/config"
	"syncline/internal/ops"
)

// globals are the flags that every command has.
type globals struct {
	config, output, server, token, ca, reason string
	// named: the configuration was named, and not left to its default.
	named func() bool
}

// load reads the configuration; its problems are the error.
func (g *globals) load() (*config.Config, error) {
	c, _, err := g.read()
	return c, err
}

// read reads the configuration, and its files as they are written; its problems are the error.
func (g *globals) read() (*config.Config, []config.File, error) {
	files, err := g.files()
	if err != nil {
		return nil, nil, err
	}
	c, problems := config.Read(files, "", nil)
	return c, files, problems.Err()
}

// remote returns the URL of the server that was named, "" where none was.
func (g *globals) remote() string { return cmp.Or(g.server, os.Getenv("SYNCLINE_SERVER")) }

// client returns a client of the running server: the one that was named, else the one that the configuration is of.
func (g *globals) client() (*ops.Client, error) {
	server := g.remote()
	if server == "" {
		files, problems := config.Files(g.config)
		if g.named() && len(problems) > 0 {
			return nil, problems.Err()
		}
		server = local(config.Endpoint(files))
	}
	c, err := ops.Connect(ops.ClientOptions{Server: server,
		Token: cmp.Or(g.token, os.Getenv("SYNCLINE_TOKEN")), CA: cmp.Or(g.ca, os.Getenv("SYNCLINE_CA")), Reason: g.reason})
	if err != nil {
		return nil, usage(err)
	}
	return c, nil
}

// local is the URL of a server on this machine that listens so.
func local(h config.HTTP) string {
	host, port, err := net.SplitHostPort(h.Listen)
	if err != nil { // whoever reads the whole configuration says so
		return "http://127.0.0.1:8484"
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		if host = "127.0.0.1"; ip != nil && ip.To4() == nil {
			host = "::1"
		}
	}
	scheme := "http://"
	if h.TLS != nil {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port)
}

// ask asks the server.
func ask[T any](g *globals, cmd *cobra.Command, what func(*ops.Client, context.Context) (T, error)) (answer T, err error) {
	client, err := g.client()
	if err != nil {
		return answer, err
	}
	return what(client, cmd.Context())
}

// show asks the server for something, and prints it.
func show[T any](g *globals, cmd *cobra.Command, what func(*ops.Client, context.Context) (T, error), table func(w *tabwriter.Writer, answer T)) error {
	answer, err := ask(g, cmd, what)
	if err != nil {
		return err
	}
	return g.print(cmd, answer, func(w *tabwriter.Writer) { table(w, answer) })
}

// begin has the server begin something, and prints the id by which it is asked for.
func begin(g *globals, cmd *cobra.Command, what func(*ops.Client, context.Context) (id string, err error)) error {
	id, err := ask(g, cmd, what)
	if err != nil {
		return err
	}
	return g.begun(cmd, id)
}

// begun prints the id of what the server has begun.
func (g *globals) begun(cmd *cobra.Command, id string) error {
	return g.print(cmd, map[string]string{"id": id}, func(w *tabwriter.Writer) { row(w, "%s", id) })
}

// each has the server do something with each of the things that were named, up to the first with which it cannot.
func (g *globals) each(cmd *cobra.Command, names []string, do func(*ops.Client, context.Context, string) error) error {
	client, err := g.client()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := do(client, cmd.Context(), name); err != nil {
			return err
		}
	}
	return nil
}

// saying says what was done to a thing once it is, in a line that names it as %[1]s.
func saying(cmd *cobra.Command, format string, do func(*ops.Client, context.Context, string) error) func(*ops.Client, context.Context, string) error {
	return func(c *ops.Client, ctx context.Context, name string) error {
		err := do(c, ctx, name)
		if err == nil {
			fmt.Fprintf(cmd.ErrOrStderr(), format, visible(name)) //nolint:errcheck // talk
		}
		return err
	}
}

// formats are those of data, the default first. What is none of them is refused before anything is done.
var formats = []string{"table", "json", "yaml"}

// done writes what a command has to say for scripts, where it has done what it was asked and people need no more than the talk.
func (g *globals) done(cmd *cobra.Command, data any) error {
	return g.print(cmd, data, func(*tabwriter.Writer) {})
}

// print writes data in the format that was asked for; table prints it for people.
func (g *globals) print(cmd *cobra.Command, data any, table func(w *tabwriter.Writer)) error {
	out := cmd.OutOrStdout()
	switch g.output {
	case "json":
		enc := json.NewEncoder(jsonScreen{out})
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(data)
	case "yaml":
		text, err := json.Marshal(data)
		if err != nil {
			return err
		}
		var doc yaml.Node // keeps numbers as they are written
		if err := yaml.Unmarshal([]byte(escapeJSON(text)), &doc); err != nil {
			return err
		}
		unstyled(&doc)
		return yaml.NewEncoder(out).Encode(&doc)
	}
	w := tabwriter.NewWriter(screen{out}, 0, 0, 2, ' ', 0)
	table(w)
	return w.Flush()
}

// unstyled has YAML write the nodes in its own way, not in that of JSON.
func unstyled(n *yaml.Node) {
	n.Style = 0
	for _, child := range n.Content {
		unstyled(child)
	}
}

// row writes one line of a table. No argument can make another line or column.
func row(w io.Writer, format string, args ...any) {
	args = slices.Clone(args)
	for i, arg := range args {
		switch arg := arg.(type) {
		case string:
			args[i] = visible(arg)
		case error:
			args[i] = visible(arg.Error())
		}
	}
	fmt.Fprintf(w, format+"\n", args...) //nolint:errcheck // the writer's Flush tells
}

// cells writes one line of a table that has as many columns as there are cells.
func cells(w io.Writer, list []string) {
	args := make([]any, len(list))
	for i, text := range list {
		args[i] = text
	}
	row(w, strings.TrimSuffix(strings.Repeat("%s\t", len(list)), "\t"), args...)
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(f.Fd()))
}

// logger writes to stderr: text for people, JSON where asked for.
func logger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usage(fmt.Errorf("log level %q is none of debug, info, warn, error", level))
	}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: l})), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: l})), nil
	}
	return nil, usage(fmt.Errorf("log format %q is neither text nor json", format))
}
