package main

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/google/uuid"
	"github.com/mattn/go-sqlite3"
)

// sqlite is SQLite itself, as the C compiler makes it: the drivers in pure Go
// need no compiler, but are slower, and the fastest one is what counts here.
// It is used without database/sql, which would cost it more.
func sqlite() contender {
	return contender{
		name: nameSQLite,
		what: "github.com/mattn/go-sqlite3, WAL, one transaction a group; power: synchronous=FULL; process: OFF",
		open: openSQLite, read: readSQLite,
	}
}

type sqliteStore struct {
	conn       driver.Conn
	partitions int
	begin, end driver.Stmt
	undo       driver.Stmt
	addID      driver.Stmt
	addRows    driver.Stmt
	numbers    []int64 // of the next rows, by partition
	slots      []blocks
	group      grouped
	args       []driver.NamedValue
}

// sqliteShift leaves room for the number of a partition's groups behind the
// partition, so that the row ids sort by both.
const sqliteShift = 40

func openSQLite(dir string, c cell, inFlight int) (_ store, err error) {
	conn, err := (&sqlite3.SQLiteDriver{}).Open(filepath.Join(dir, "sqlite.db"))
	if err != nil {
		return nil, err
	}
	s := &sqliteStore{conn: conn, partitions: c.partitions, slots: make([]blocks, inFlight)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	synchronous := "FULL"
	if c.durability == process {
		synchronous = "OFF"
	}
	for _, statement := range []string{
		"PRAGMA locking_mode = EXCLUSIVE", // no shared memory for the log's index
		"PRAGMA journal_mode = WAL",
		"PRAGMA synchronous = " + synchronous,
		"PRAGMA wal_autocheckpoint = 16384", // 64 MiB, as much as the library's journal
		"PRAGMA cache_size = -262144",       // 256 MiB
		"CREATE TABLE IF NOT EXISTS ids (id BLOB PRIMARY KEY) WITHOUT ROWID",
		"CREATE TABLE IF NOT EXISTS rows (number INTEGER PRIMARY KEY, rows BLOB)",
	} {
		if err := s.do(statement); err != nil {
			return nil, err
		}
	}
	for statement, to := range map[string]*driver.Stmt{
		"BEGIN IMMEDIATE": &s.begin, "COMMIT": &s.end, "ROLLBACK": &s.undo,
		"INSERT OR IGNORE INTO ids VALUES (?)": &s.addID,
		"INSERT INTO rows VALUES (?, ?)":       &s.addRows,
	} {
		if *to, err = conn.Prepare(statement); err != nil {
			return nil, fmt.Errorf("%s: %w", statement, err)
		}
	}
	for p := range int64(c.partitions) {
		next := p << sqliteShift
		err := query(conn, fmt.Sprintf("SELECT max(number) FROM rows WHERE number >= %d AND number < %d", next, (p+1)<<sqliteShift), 1, func(row []driver.Value) error {
			if last, there := row[0].(int64); there {
				next = last + 1
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		s.numbers = append(s.numbers, next)
	}
	return s, nil
}

// do runs a statement, whatever it returns.
func (s *sqliteStore) do(statement string) error {
	return query(s.conn, statement, 1, func([]driver.Value) error { return nil })
}

// query calls f for every row of a result, which has at most so many columns.
func query(conn driver.Conn, statement string, columns int, f func(row []driver.Value) error) error {
	prepared, err := conn.Prepare(statement)
	if err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	rows, err := prepared.(driver.StmtQueryContext).QueryContext(context.Background(), nil)
	if err != nil {
		return fmt.Errorf("%s: %w", statement, errors.Join(err, prepared.Close()))
	}
	row := make([]driver.Value, columns)
	for err == nil {
		if err = rows.Next(row); err == nil {
			err = f(row)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err := errors.Join(err, rows.Close(), prepared.Close()); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

func (s *sqliteStore) prepare(slot int, d *data, c chunk) { s.slots[slot].split(d, c, s.partitions) }

func (s *sqliteStore) commit(slots []int) (duplicates int, err error) {
	if _, err := s.exec(s.begin); err != nil {
		return 0, err
	}
	if duplicates, err = s.write(slots); err != nil {
		_, undoing := s.exec(s.undo)
		return 0, errors.Join(err, undoing)
	}
	_, err = s.exec(s.end)
	return duplicates, err
}

func (s *sqliteStore) write(slots []int) (duplicates int, err error) {
	s.group.reset(s.partitions)
	for _, slot := range slots {
		id := uuid.MustParse(s.slots[slot].id)
		added, err := s.exec(s.addID, id[:])
		if err != nil {
			return 0, err
		}
		if added == 0 {
			duplicates++
			continue
		}
		s.group.add(&s.slots[slot])
	}
	for _, p := range s.group.touched {
		if _, err := s.exec(s.addRows, s.numbers[p], s.group.data[p]); err != nil {
			return 0, err
		}
		s.numbers[p]++
	}
	return duplicates, nil
}

// exec returns how many rows were changed.
func (s *sqliteStore) exec(statement driver.Stmt, args ...driver.Value) (int64, error) {
	s.args = s.args[:0]
	for i, value := range args {
		s.args = append(s.args, driver.NamedValue{Ordinal: i + 1, Value: value})
	}
	result, err := statement.(driver.StmtExecContext).ExecContext(context.Background(), s.args)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (s *sqliteStore) close() error {
	var failures []error
	for _, statement := range []driver.Stmt{s.begin, s.end, s.undo, s.addID, s.addRows} {
		if statement != nil {
			failures = append(failures, statement.Close())
		}
	}
	return errors.Join(append(failures, s.conn.Close())...)
}

func readSQLite(dir string, _ cell, f func(partition int, rows []byte) error) error {
	conn, err := (&sqlite3.SQLiteDriver{}).Open("file:" + filepath.Join(dir, "sqlite.db") + "?mode=ro")
	if err != nil {
		return err
	}
	err = query(conn, "SELECT number, rows FROM rows ORDER BY number", 2, func(row []driver.Value) error {
		return f(int(row[0].(int64)>>sqliteShift), row[1].([]byte))
	})
	return errors.Join(err, conn.Close())
}
