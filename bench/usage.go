package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// usage is what a process has used since it began.
type usage struct {
	peak int64 // bytes of memory, resident
	cpu  time.Duration
}

// clockTick is the unit of CPU times in /proc, fixed by Linux's interface to programs (USER_HZ).
const clockTick = time.Second / 100

// usageOf reads /proc/pid (proc(5)): VmHWM, and utime + stime.
func usageOf(pid int) (usage, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return usage{}, fmt.Errorf("read a process's memory (Linux only): %w", err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, fmt.Errorf("read a process's CPU time (Linux only): %w", err)
	}
	return parseUsage(status, stat)
}

// residentOf is the memory that the process has now.
func residentOf(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read a process's memory (Linux only): %w", err)
	}
	return kilobytes(status, "VmRSS")
}

func kilobytes(status []byte, name string) (int64, error) {
	kb, err := strconv.ParseInt(strings.TrimSuffix(attribute(status, name), " kB"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", name, err)
	}
	return kb << 10, nil
}

func parseUsage(status, stat []byte) (usage, error) {
	peak, err := kilobytes(status, "VmHWM")
	if err != nil {
		return usage{}, err
	}
	cpu, _, _, err := parseStat(stat)
	return usage{peak: peak, cpu: cpu}, err
}

// parseStat returns the process's own CPU time, that of its children which have ended, and its parent.
func parseStat(stat []byte) (own, ended time.Duration, parent int, err error) {
	// The second field is the program's name in parentheses, and may hold anything.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 15 {
		return 0, 0, 0, fmt.Errorf("read CPU time: %q", stat)
	}
	var n [5]int64
	for i, f := range [][]byte{fields[11], fields[12], fields[13], fields[14], fields[1]} {
		if n[i], err = strconv.ParseInt(string(f), 10, 64); err != nil {
			return 0, 0, 0, fmt.Errorf("read CPU time: %w", err)
		}
	}
	return time.Duration(n[0]+n[1]) * clockTick, time.Duration(n[2]+n[3]) * clockTick, int(n[4]), nil
}

// familyOf is the CPU time of a process and all its children, those that have ended too: of a server with a process for each connection.
func familyOf(pid int) (time.Duration, error) {
	var sum time.Duration
	list, err := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range list {
		stat, err := os.ReadFile(name)
		if err != nil { // it has ended meanwhile, and its parent knows of it
			continue
		}
		own, ended, parent, err := parseStat(stat)
		switch {
		case err != nil:
			return 0, err
		case name == fmt.Sprintf("/proc/%d/stat", pid):
			sum += own + ended
		case parent == pid:
			sum += own
		}
	}
	return sum, err
}

// attribute returns the value of the first line "name : value" of a file of such lines, "" if there is none.
func attribute(text []byte, name string) string {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if k, v, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// machine describes where the bench runs, as far as the system tells.
func machine() [][2]string {
	system := runtime.GOOS + "/" + runtime.GOARCH
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		system += ", kernel " + strings.TrimSpace(string(release))
	}
	cpu := fmt.Sprintf("%d × ", runtime.NumCPU())
	info, _ := os.ReadFile("/proc/cpuinfo")
	if model := attribute(info, "model name"); model != "" {
		cpu += model
	} else {
		cpu += "unknown"
	}
	list := [][2]string{{"Machine", system}, {"CPU", cpu}}
	memory, _ := os.ReadFile("/proc/meminfo")
	if kb, err := strconv.ParseInt(strings.TrimSuffix(attribute(memory, "MemTotal"), " kB"), 10, 64); err == nil {
		list = append(list, [2]string{"Memory", fmt.Sprintf("%.1f GiB", float64(kb)/(1<<20))})
	}
	return append(list, [2]string{"Go", strings.TrimPrefix(runtime.Version(), "go")})
}
