package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var (
	// A command in a line of a code block or a comment of an example, and what is said about it behind some blanks.
	commandLine = regexp.MustCompile(`(?m)^(?:# +)?(?:go run \./cmd/syncline|syncline) (.+?)(?:  +(.*))?$`)
	commandSpan = regexp.MustCompile("`syncline ([^`]*)`")
	flagSpan    = regexp.MustCompile("`(--?[a-z][^`]*)`")
	flagName    = regexp.MustCompile(`--[a-z-]+`)
)

// What the documents show can be typed: each command exists, takes its flags, and takes as many arguments.
func TestCommandsInDocuments(t *testing.T) {
	var lines int
	for _, name := range pages(t) {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range commandLine.FindAllStringSubmatch(string(page), -1) {
			lines++
			if why := wrong(m[1], flagName.FindAllString(m[2], -1), true); why != "" {
				t.Errorf("%s shows `syncline %s`: %s", name, m[1], why)
			}
		}
		for _, m := range commandSpan.FindAllStringSubmatch(string(page), -1) {
			lines++
			// A command may be spoken of without its arguments.
			if why := wrong(m[1], nil, false); why != "" {
				t.Errorf("%s shows `syncline %s`: %s", name, m[1], why)
			}
		}
		for _, m := range flagSpan.FindAllStringSubmatch(string(page), -1) {
			if !someCommandTakes(newRoot(), strings.Fields(m[1])) {
				t.Errorf("%s shows the flag %s, which no command has", name, m[1])
			}
		}
	}
	if lines < 50 {
		t.Errorf("only %d commands were found: they are not read as they should be", lines)
	}
}

var makeLine = regexp.MustCompile("(?m)(?:^|`)make ([a-z]+)")

func TestMakeTargetsInDocuments(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range pages(t) {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range makeLine.FindAllStringSubmatch(string(page), -1) {
			if !strings.Contains(string(makefile), "\n"+m[1]+":") {
				t.Errorf("%s shows `make %s`, which the Makefile does not have", name, m[1])
			}
		}
	}
}

func TestWrongCommandsInDocumentsAreFound(t *testing.T) {
	for _, test := range []struct {
		line string
		also []string
		full bool
		want string
	}{
		{"tasks --status failed", []string{"--rule"}, true, ""},
		{"tasks cancel", nil, false, ""},
		{"tasks cancel ID --reason …", nil, true, ""},
		{"tasks show", nil, true, "accepts 1 arg(s), received 0"},
		{"frobnicate", nil, false, "unknown command"},
		{"tasks frobnicate ID", nil, true, "unknown command"},
		{"run --chek", nil, true, "unknown flag: --chek"},
		{"tasks", []string{"--nonsense"}, true, "no flag --nonsense"},
	} {
		if got := wrong(test.line, test.also, test.full); !strings.Contains(got, test.want) || got != "" && test.want == "" {
			t.Errorf("wrong(%q, %q) = %q, want %q", test.line, test.also, got, test.want)
		}
	}
}

// wrong says why the line would be refused, "" if it would not. The flags in also are to exist, too; the arguments count
// only in a full line.
func wrong(line string, also []string, full bool) string {
	cmd, rest, err := newRoot().Find(strings.Fields(line))
	if err != nil {
		return err.Error()
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err.Error()
	}
	for _, flag := range also {
		if cmd.Flag(strings.TrimPrefix(flag, "--")) == nil {
			return "no flag " + flag
		}
	}
	if args := cmd.Flags().Args(); full || len(args) > 0 {
		if err := cmd.ValidateArgs(args); err != nil {
			return err.Error()
		}
	}
	return ""
}

func someCommandTakes(cmd *cobra.Command, flag []string) bool {
	if len(flag) > 1 {
		if cmd.ParseFlags(flag) == nil {
			return true
		}
	} else if cmd.ParseFlags(nil) == nil { // spoken of without its value
		if cmd.Flag(strings.TrimPrefix(flag[0], "--")) != nil || len(flag[0]) == 2 && cmd.Flags().ShorthandLookup(flag[0][1:]) != nil {
			return true
		}
	}
	for _, sub := range cmd.Commands() {
		if someCommandTakes(sub, flag) {
			return true
		}
	}
	return false
}

// pages returns the documents, and the files that begin with how to use them.
func pages(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, pattern := range []string{"*.md", "docs/*.md", "examples/*.yaml", "internal/demo/*.yaml", "internal/config/*.yaml"} {
		found, err := filepath.Glob(filepath.Join("..", "..", pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(found), err)
		}
		names = append(names, found...)
	}
	return names
}
