package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
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
	// The second field is the program's name in parentheses, and may hold anything.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return usage{}, fmt.Errorf("read CPU time: %q", stat)
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return usage{}, fmt.Errorf("read CPU time: %w", err)
		}
		ticks += n
	}
	return usage{peak: peak, cpu: time.Duration(ticks) * clockTick}, nil
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
