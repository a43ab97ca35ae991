package config

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"go.yaml.in/yaml/v3"

	"syncline/internal/javascript"
	"syncline/internal/transform"
)

// scriptStep reads {code: …, fields: {name: kind}} and {file: path, fields: [name]}.
func (l *loader) scriptStep(v value) transform.Step {
	step := transform.Script{Timeout: 100 * time.Millisecond, BatchTimeout: 5 * time.Second, Memory: 128 << 20}
	seen := l.object(v, "a script", fields{
		"code":          func(v value) { step.Code = l.script(v) },
		"file":          func(v value) { step.Code = l.scriptFile(v) },
		"fields":        func(v value) { l.outputs(v, &step.Fields) },
		"timeout":       func(v value) { l.duration(v, &step.Timeout, time.Millisecond) },
		"batch_timeout": func(v value) { l.duration(v, &step.BatchTimeout, time.Millisecond) },
		"memory":        func(v value) { l.size(v, &step.Memory, 64<<20) },
	}, nil)
	_, code := seen["code"]
	_, file := seen["file"]
	if l.isMapping(v) && code == file {
		l.report(v, BadValue, "code: | with the script below it, or file: ./script.js", "%s needs either code or file", v.path)
	}
	return step
}

// script returns the text of a script. References are not resolved in it: ${name} is JavaScript.
func (l *loader) script(v value) string {
	if !l.enter(&v) {
		return ""
	}
	if v.node.Kind != yaml.ScalarNode || v.node.Tag == "!!null" {
		l.report(v, WrongType, "", "%s must be a script, not %s", v.path, typeName(v.node))
		return ""
	}
	var at *javascript.Error
	if _, err := javascript.Compile(v.node.Value); errors.As(err, &at) {
		line, column := v.at(at.Line, at.Column)
		l.reportAt(v, line, column, BadScript, "", "%s", at.Message)
	}
	return v.node.Value
}

func (l *loader) scriptFile(v value) string {
	var path string
	l.path(v, &path)
	if path == "" {
		return ""
	}
	info, err := os.Stat(path)
	if err == nil && info.Size() > javascript.MaxCode {
		l.report(v, BadValue, "", "%s: a script has %d bytes at most", v.path, javascript.MaxCode)
		return ""
	}
	var code []byte
	if err == nil {
		code, err = os.ReadFile(path)
	}
	if err != nil {
		if cause := (*fs.PathError)(nil); errors.As(err, &cause) {
			err = cause.Err
		}
		l.report(v, BadValue, "a path is relative to the file that it stands in", "%s cannot be read: %v", v.path, err)
		return ""
	}
	var at *javascript.Error
	if _, err := javascript.Compile(string(code)); errors.As(err, &at) {
		l.report(v, BadScript, "", "line %d, column %d of the file: %s", at.Line, at.Column, at.Message)
	}
	return string(code)
}

// outputs reads [name] and {name: kind}; a name without a kind keeps that of the field.
func (l *loader) outputs(v value, dst *[]transform.Output) {
	if !l.isMapping(v) {
		l.list(v, v.path, true, func(v value) {
			if name, ok := l.text(v); ok {
				*dst = append(*dst, transform.Output{Field: name})
			}
		})
		return
	}
	l.entries(v, v.path, func(key, val value) {
		o := transform.Output{Field: key.node.Value}
		if val.node.Tag != "!!null" {
			l.kind(val, &o.Kind)
		}
		*dst = append(*dst, o)
	})
}
