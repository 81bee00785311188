package schema

import (
	"errors"
	"fmt"
	"strings"
)

// PasswordPlaceholder stands where an administrator writes the password.
const PasswordPlaceholder = "<password>"

// systemTables are what the sensor reads about its table: columns, engine, windows,
// shards, replicas.
var systemTables = []string{"clusters", "columns", "databases", "replicas", "tables"}

// Grants returns what gives a user the least rights that the sensor needs: to insert into
// the log, and to see how the tables of the database are defined, no record in them. The
// views need no right of their own: they run with those of the user who created them.
func Grants(o Options, user string) (list []Statement) {
	list = append(list, o.createUser(user),
		o.grant(user, "INSERT", o.table(o.Table)),
		o.grant(user, "SHOW TABLES, SHOW COLUMNS", identifier(o.Database)+".*"))
	return append(list, o.grantSystem(user)...)
}

// InitGrants returns what gives a user the rights of `clickhouse init` and `clickhouse ttl`:
// to create the tables, and to change their retention. Whoever creates a view needs the
// rights that it uses: to select from the log, and to insert into the aggregates. With
// dictGet, init tries the dictionaries.
func InitGrants(o Options, user string) (list []Statement) {
	list = append(list, o.createUser(user),
		o.grant(user, "CREATE DATABASE, CREATE TABLE, CREATE VIEW, CREATE DICTIONARY, ALTER TTL, ALTER MATERIALIZE TTL, SELECT, INSERT, SHOW, dictGet", identifier(o.Database)+".*"))
	if o.Cluster != "" {
		list = append(list, o.grant(user, "CLUSTER, REMOTE", "*.*"))
	}
	return append(list, o.grantSystem(user)...)
}

// CheckUser reports a user's name that cannot stand in a statement. Unlike a table's, it
// stands nowhere but between quotes, and may have any character that can be read.
func CheckUser(name string) error {
	switch {
	case name == "":
		return errors.New("clickhouseusername: is empty: set the name of the user to create")
	case len(name) > 200:
		return fmt.Errorf("clickhouseusername: the name has %d bytes: 200 at most", len(name))
	case strings.ContainsFunc(name, unreadable):
		return fmt.Errorf("clickhouseusername: %q: characters that cannot be printed are not used in a name here", name)
	}
	return nil
}

func (o Options) createUser(user string) Statement {
	return Statement{user, fmt.Sprintf("CREATE USER IF NOT EXISTS %s%s IDENTIFIED WITH sha256_password BY %s", identifier(user), o.onCluster(), literal(PasswordPlaceholder))}
}

func (o Options) grant(user, rights, on string) Statement {
	return Statement{strings.ReplaceAll(on, "`", ""), fmt.Sprintf("GRANT%s %s ON %s TO %s", o.onCluster(), rights, on, identifier(user))}
}

func (o Options) grantSystem(user string) (list []Statement) {
	for _, table := range systemTables {
		list = append(list, o.grant(user, "SELECT", "system."+table))
	}
	return list
}
