package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// stamp is a time as the tables hold it: microseconds since 1970, 0 for never.
func stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// moment scans a time.
type moment struct{ to *time.Time }

// Scan reads microseconds.
func (m moment) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return fmt.Errorf("%T is no time", v)
	}
	if *m.to = (time.Time{}); n != 0 {
		*m.to = time.UnixMicro(n).UTC()
	}
	return nil
}

// document scans JSON into a value.
type document struct{ to any }

// Scan reads text; an empty one leaves the value as it is.
func (d document) Scan(v any) error {
	var text []byte
	switch v := v.(type) {
	case string:
		text = []byte(v)
	case []byte:
		text = v
	default:
		return fmt.Errorf("%T is no JSON", v)
	}
	if len(text) == 0 {
		return nil
	}
	return json.Unmarshal(text, d.to)
}

// raw scans JSON that is handed on as it is.
type raw struct{ to *json.RawMessage }

// Scan reads text; an empty one is none.
func (r raw) Scan(v any) error {
	*r.to = nil
	switch v := v.(type) {
	case string:
		if v != "" {
			*r.to = json.RawMessage(v)
		}
		return nil
	case []byte:
		if len(v) > 0 {
			*r.to = append(json.RawMessage(nil), v...)
		}
		return nil
	}
	return fmt.Errorf("%T is no JSON", v)
}

// encoded is a value as JSON.
func encoded(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// text scans something that reads itself from text, such as a compat.Version.
type text struct {
	to interface{ UnmarshalText([]byte) error }
}

// Scan reads text.
func (t text) Scan(v any) error {
	switch v := v.(type) {
	case string:
		return t.to.UnmarshalText([]byte(v))
	case []byte:
		return t.to.UnmarshalText(v)
	}
	return fmt.Errorf("%T is no text", v)
}

// signed is a number of a robot as the tables hold it: those beyond all bounds
// are equal.
func signed(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

// ErrJSON says that what is to be kept as JSON is none.
var ErrJSON = errors.New("not JSON")

// given is JSON as the tables hold it; none is an empty text.
func given(j json.RawMessage) (string, error) {
	if len(j) > 0 && !json.Valid(j) {
		return "", fmt.Errorf("%w: %.40q", ErrJSON, string(j))
	}
	return string(j), nil
}

// sound is what a database takes for text: robots and people may say what
// PostgreSQL refuses, bytes that are no UTF-8 and NUL.
func sound(args []any) []any {
	for i, a := range args {
		if s, ok := a.(string); ok && (!utf8.ValidString(s) || strings.ContainsRune(s, 0)) {
			args[i] = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
		}
	}
	return args
}

// row is one of a result.
type row interface{ Scan(into ...any) error }

// each calls f with every row of the result.
func each(ctx context.Context, q querier, f func(row) error, query string, args ...any) (err error) {
	rows, err := q.QueryContext(ctx, query, sound(args)...)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := rows.Close(); err == nil {
			err = cerr
		}
	}()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// all collects every row of the result.
func all[T any](ctx context.Context, q querier, scan func(row) (T, error), query string, args ...any) ([]T, error) {
	var out []T
	err := each(ctx, q, func(r row) error {
		v, err := scan(r)
		out = append(out, v)
		return err
	}, query, args...)
	return out, err
}

// one is the only row of the result; ErrNotFound where there is none.
func one[T any](ctx context.Context, q querier, scan func(row) (T, error), query string, args ...any) (T, error) {
	out, err := all(ctx, q, scan, query, args...)
	if err == nil && len(out) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		var none T
		return none, err
	}
	return out[0], nil
}

// number is the only value of the result.
func number(ctx context.Context, q querier, query string, args ...any) (int64, error) {
	return one(ctx, q, func(r row) (int64, error) {
		var n int64
		err := r.Scan(&n)
		return n, err
	}, query, args...)
}

// changed runs a statement and gives the number of rows that it changed.
func changed(ctx context.Context, q querier, query string, args ...any) (int64, error) {
	res, err := q.ExecContext(ctx, query, sound(args)...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func exec(ctx context.Context, q querier, query string, args ...any) error {
	_, err := q.ExecContext(ctx, query, sound(args)...)
	return err
}

// only runs a statement that has to change one row; ErrNotFound where there is none.
func only(ctx context.Context, q querier, query string, args ...any) error {
	n, err := changed(ctx, q, query, args...)
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	return err
}

// filter collects the conditions of a query.
type filter struct {
	conditions []string
	args       []any
}

// add adds a condition in which ? stands for the argument.
func (f *filter) add(condition string, arg any) {
	f.args = append(f.args, arg)
	f.conditions = append(f.conditions, strings.ReplaceAll(condition, "?", "$"+strconv.Itoa(len(f.args))))
}

// where is all of them; "": there are none.
func (f *filter) where() string {
	if len(f.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(f.conditions, " AND ")
}

// chunk is how many rows go into one statement.
const chunk = 100

// insert puts rows into a table, many at a time. The head is "INSERT INTO t
// (a, b)", the tail what follows the values.
func insert(ctx context.Context, q querier, head string, rows [][]any, tail string) error {
	for len(rows) > 0 {
		n := min(len(rows), chunk)
		args := make([]any, 0, n*len(rows[0]))
		var sql strings.Builder
		sql.WriteString(head)
		sql.WriteString(" VALUES ")
		for i, r := range rows[:n] {
			if i > 0 {
				sql.WriteString(", ")
			}
			sql.WriteString(placeholders(len(args)+1, len(r)))
			args = append(args, r...)
		}
		sql.WriteString(" ")
		sql.WriteString(tail)
		if err := exec(ctx, q, sql.String(), args...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// placeholders is ($3, $4, $5) for n of them from the third on.
func placeholders(from, n int) string {
	out := make([]string, n)
	for i := range out {
		out[i] = "$" + strconv.Itoa(from+i)
	}
	return "(" + strings.Join(out, ", ") + ")"
}
