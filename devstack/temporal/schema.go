package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/postgresql"
	"go.temporal.io/server/tools/common/schema"
	sqltool "go.temporal.io/server/tools/sql"
)

// Names of the stores and of the schemas the server embeds for them.
const (
	mainStore        = "default"
	visibilityStore  = "visibility"
	mainSchema       = "postgresql/v12/temporal"
	visibilitySchema = "postgresql/v12/visibility"
	visibilityConns  = 10
)

// persistence returns the configuration of the server's two databases.
func persistence(o options) config.Persistence {
	main := sqlConfig(o, o.database, o.maxConns)
	visibility := sqlConfig(o, o.database+"_visibility", min(visibilityConns, o.maxConns))
	return config.Persistence{
		DefaultStore:     mainStore,
		VisibilityStore:  visibilityStore,
		NumHistoryShards: int32(o.shards),
		DataStores: map[string]config.DataStore{
			mainStore:       {SQL: &main},
			visibilityStore: {SQL: &visibility},
		},
	}
}

// sqlConfig returns the configuration of one database, with a bound on its
// connections.
func sqlConfig(o options, database string, conns int) config.SQL {
	return config.SQL{
		PluginName:      postgresql.PluginNamePGX,
		ConnectAddr:     net.JoinHostPort(o.pgHost, strconv.Itoa(o.pgPort)),
		ConnectProtocol: "tcp",
		User:            o.pgUser,
		Password:        o.pgPassword,
		DatabaseName:    database,
		MaxConns:        conns,
		MaxIdleConns:    conns,
		MaxConnLifetime: time.Hour,
	}
}

// prepareDatabases creates both databases when missing and brings their schemas
// to the version of this server. It may run repeatedly.
func prepareDatabases(ctx context.Context, o options, logger log.Logger) error {
	stores := persistence(o).DataStores
	if err := prepareDatabase(ctx, *stores[mainStore].SQL, mainSchema, logger); err != nil {
		return fmt.Errorf("prepare the main database: %w", err)
	}
	if err := prepareDatabase(ctx, *stores[visibilityStore].SQL, visibilitySchema, logger); err != nil {
		return fmt.Errorf("prepare the visibility database: %w", err)
	}
	return nil
}

// prepareDatabase does the same for one database.
func prepareDatabase(ctx context.Context, cfg config.SQL, schemaName string, logger log.Logger) error {
	if err := createDatabase(ctx, cfg); err != nil {
		return err
	}
	conn, err := sqltool.NewConnection(&cfg, logger)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()
	if _, err := conn.ReadSchemaVersion(); err != nil {
		setup := schema.NewSetupSchemaTask(conn, &schema.SetupConfig{InitialVersion: "0.0"}, logger)
		if err := setup.Run(); err != nil {
			return fmt.Errorf("set up the schema: %w", err)
		}
	}
	update := schema.NewUpdateSchemaTask(conn, &schema.UpdateConfig{SchemaName: schemaName}, logger)
	if err := update.Run(); err != nil {
		return fmt.Errorf("update the schema: %w", err)
	}
	return nil
}

// createDatabase creates the database unless it exists.
func createDatabase(ctx context.Context, cfg config.SQL) error {
	conn, err := pgx.Connect(ctx, maintenanceURL(cfg))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(ctx)
	var exists bool
	query := "select exists (select from pg_database where datname = $1)"
	if err := conn.QueryRow(ctx, query, cfg.DatabaseName).Scan(&exists); err != nil {
		return fmt.Errorf("list databases: %w", err)
	}
	if exists {
		return nil
	}
	if _, err := conn.Exec(ctx, "create database "+pgx.Identifier{cfg.DatabaseName}.Sanitize()); err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	return nil
}

// maintenanceURL returns the URL of the database that every PostgreSQL has.
func maintenanceURL(cfg config.SQL) string {
	address := url.URL{
		Scheme: "postgres", Host: cfg.ConnectAddr, Path: "/postgres",
		User: url.UserPassword(cfg.User, cfg.Password), RawQuery: "sslmode=disable",
	}
	return address.String()
}
