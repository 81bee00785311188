package server

import (
	"context"
	"errors"
	"strings"

	"github.com/ClickHouse/ch-go/proto"

	"dnsmonster-sensor/outputs/secure"
)

// optionNames are the options of a connection.
var optionNames = secure.OptionNames{
	CA: "--clickhousecafile", Cert: "--clickhousecertfile and --clickhousekeyfile", Server: "--clickhouseaddress",
}

const check = "`dnsmonster-sensor clickhouse check` shows what is missing"

// Target is what an error was about.
type Target struct{ User, Database, Table string }

// Advice says how to put right what an error needs: the option, the statement or the
// command that helps. It is "" if nothing is known to help but time.
func Advice(err error, t Target) string {
	var said *Error
	var setup *setupError
	var silent *silentPort
	var failed *failure
	switch {
	case err == nil:
		return ""
	case errors.As(err, &said):
		return said.advice(t)
	case errors.As(err, &setup):
		return setup.advice
	case errors.As(err, &silent):
		return silent.advice
	case errors.As(err, new(*changedError)):
		return check
	case errors.As(err, &failed) && failed.doing == inserting && errors.Is(err, context.DeadlineExceeded):
		return "if it does so each time, a batch takes longer than --clickhousetimeout: set that higher, or --clickhousebatchsize lower; on a slow network --clickhousecompression=zstd helps"
	}
	return secure.Advice(err, optionNames)
}

func (e *Error) advice(t Target) string {
	if t.User == "" {
		t.User = "default"
	}
	if t.Database == "" {
		t.Database = "default"
	}
	if e.View != "" && e.class() == Setup {
		return "repair or drop the materialized view " + e.View + ": the table has the rows, the view has not"
	}
	grants := "`dnsmonster-sensor clickhouse sql --grants` prints the statements"
	switch proto.Error(e.Code) {
	case proto.ErrUnknownTable, proto.ErrTableIsDropped:
		if strings.HasPrefix(e.Message, "Target table ") {
			return "a materialized view writes to that table: create it with `dnsmonster-sensor clickhouse init`, or drop the view"
		}
		return "create it with `dnsmonster-sensor clickhouse init`, or set another one with --clickhousetable and --clickhousedatabase"
	case proto.ErrUnknownDatabase:
		return "create it with `dnsmonster-sensor clickhouse init`, or set another one with --clickhousedatabase"
	case proto.ErrAuthenticationFailed, proto.ErrUnknownUser, proto.ErrWrongPassword, proto.ErrRequiredPassword:
		return "correct --clickhouseusername and --clickhousepassword, or let user " + t.User + " log in from this host"
	case proto.ErrIPAddressNotAllowed:
		return "let user " + t.User + " log in from this host: ALTER USER ... HOST, or <networks> in users.xml"
	case proto.ErrUserExpired:
		return "ALTER USER " + t.User + " VALID UNTIL a later time"
	case proto.ErrAccessDenied:
		return "as administrator: GRANT the right to " + t.User + "; " + grants
	case proto.ErrDatabaseAccessDenied:
		return "let user " + t.User + " use database " + t.Database + ": <allow_databases> in users.xml"
	case proto.ErrReadonly, proto.ErrSettingConstraintViolation, proto.ErrReadonlySetting, proto.ErrUnknownSetting, proto.ErrInvalidSettingValue:
		if e.aboutSetting() {
			return "the sensor needs this setting so that no row is stored twice: let user " + t.User + " change it, without readonly and without a constraint on it, in <profiles> of users.xml or by ALTER SETTINGS PROFILE"
		}
		return "user " + t.User + " may only read: give the user another profile, or set another user with --clickhouseusername"
	case proto.ErrQuotaExceeded:
		return "the quota of user " + t.User + " is used up: raise it, or wait for its next interval"
	case proto.ErrQuotaRequiresClientKey:
		return "give user " + t.User + " a quota without a client key"
	case proto.ErrClientHasConnectedToWrongPort:
		return "set the port of the native protocol, 9000, or 9440 with TLS, in --clickhouseaddress"
	case proto.ErrClusterDoesntExist, proto.ErrBadGet:
		return "SELECT DISTINCT cluster FROM system.clusters shows the server's clusters: set one of them"
	case proto.ErrNoElementsInConfig:
		return "add what is missing to the server's configuration: a replicated table needs Keeper, and the macros shard and replica"
	case proto.ErrReplicaAlreadyExists:
		return "drop the old replica with SYSTEM DROP REPLICA, or correct the macro replica of this server"
	case proto.ErrTableIsReadOnly, proto.ErrNoZookeeper, proto.ErrKeeperException:
		return "the server has lost Keeper, or ZooKeeper: it takes rows again when it is connected"
	case proto.ErrNotEnoughSpace:
		return "free disk space on the server, or shorten the retention with `dnsmonster-sensor clickhouse ttl`"
	case proto.ErrTooManyParts:
		if e.class() == Parts {
			return "partition the table by a longer time, or raise max_partitions_per_insert_block for user " + t.User
		}
		return "merges do not keep up: use larger batches with --clickhousebatchsize and --clickhousedelay"
	case proto.ErrNotImplemented:
		return "set a table that stores rows with --clickhousetable"
	case proto.ErrViolatedConstraint:
		return "ALTER TABLE " + t.Database + "." + t.Table + " DROP CONSTRAINT, or let the constraint permit these rows"
	}
	if e.class() == Setup && strings.Contains(e.Message, "experimental") {
		return "let the profile of user " + t.User + " have the setting that the server names"
	}
	if c := e.class(); c == Setup || c == Changed || c == Rows {
		return check
	}
	return ""
}

// aboutSetting reports whether a setting is refused, not a statement.
func (e *Error) aboutSetting() bool {
	return proto.Error(e.Code) != proto.ErrReadonly || strings.Contains(e.Message, "setting")
}
