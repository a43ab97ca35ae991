package jetlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"syncline"
)

// mark remembers beside the server's files which log a source has and how far it got, for the server forgets a log, or cuts
// off its end, where it finds the files damaged, and goes on. It is written after each append and not synced: it can be
// behind the log, after a power cut, but never ahead of it.
type mark struct {
	f  *os.File // nil with a cluster
	id string
	// end is what the mark said when it was opened.
	end syncline.Seq
}

const markFormat = "%s %020d\n"

// openMark returns the source's mark; its id is "" where it had none.
func (s *Server) openMark(source string) (*mark, error) {
	if s.embedded == nil {
		return &mark{}, nil
	}
	dir := filepath.Join(s.opts.Dir, "ends")
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, diskError("make the directory of the logs' ends", err)
	}
	path := filepath.Join(dir, place(source))
	m := &mark{}
	var err error
	if m.id, m.end, err = readMark(path, source); err != nil {
		return nil, err
	}
	if m.f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600); err != nil {
		return nil, diskError("open the end of the log of "+source, err)
	}
	return m, nil
}

// readMark returns what the file says; nothing where there is none.
func readMark(path, source string) (id string, end syncline.Seq, err error) {
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && len(data) == 0:
		return "", 0, nil
	case err != nil:
		return "", 0, diskError("read the end of the log of "+source, err)
	}
	if _, err := fmt.Sscanf(string(data), markFormat, &id, &end); err != nil {
		return "", 0, syncline.Errorf(syncline.Fatal, "log_corrupt", "%s does not tell where the log of %s ends", path, source).
			WithFix("check the disk; if the log is sound, remove the file")
	}
	return id, end, nil
}

// End returns the last sequence that the source's log in the directory is known to have had, 0 for none. It opens nothing, so that it may
// be asked while another process has the directory.
func End(dir, source string) (syncline.Seq, error) {
	_, end, err := readMark(filepath.Join(dir, "ends", place(source)), source)
	return end, err
}

// set writes the mark. It always has the same length, so that it needs no space on a full disk.
func (m *mark) set(id string, end syncline.Seq) error {
	if m.f == nil {
		return nil
	}
	m.id = id
	_, err := m.f.WriteAt(fmt.Appendf(nil, markFormat, id, uint64(end)), 0)
	return err
}

func (m *mark) close() error {
	if m.f == nil {
		return nil
	}
	return m.f.Close()
}
