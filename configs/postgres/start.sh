#!/bin/bash
# Starts Postgres as the primary or as its streaming replica, from an empty data directory if need be.
# Runs with any image that has Postgres 15 on the PATH, as the user that owns the data directory.
set -euo pipefail
role=$1
data=/var/lib/postgresql/data/pgdata
# libpq wants its file readable by the owner alone, which a mounted Secret is not on every platform.
export PGPASSFILE=/tmp/pgpass
(umask 077 && printf '*:*:*:*:%s\n' "$(</run/secrets/postgres-password)" >"$PGPASSFILE")

if [[ $role == primary && ! -s $data/PG_VERSION ]]; then
  rm -rf "$data"
  initdb --pgdata="$data" --username=postgres --auth-local=trust --auth-host=scram-sha-256 \
    --pwfile=/run/secrets/postgres-password --encoding=UTF8 --locale=C.UTF-8 --data-checksums
  printf 'host all all all scram-sha-256\nhost replication replicator all scram-sha-256\n' >>"$data/pg_hba.conf"
  # The roles are made before the port opens: nobody meets a half-made database.
  pg_ctl --pgdata="$data" --wait --options="-c listen_addresses='' -c unix_socket_directories=/tmp" start
  password=$(</run/secrets/postgres-password)
  psql --host=/tmp --username=postgres --quiet --set=ON_ERROR_STOP=1 --set=password="$password" <<'SQL'
CREATE ROLE exchange LOGIN PASSWORD :'password';
CREATE ROLE replicator LOGIN REPLICATION PASSWORD :'password';
CREATE ROLE monitoring LOGIN PASSWORD :'password' IN ROLE pg_monitor;
CREATE DATABASE exchange OWNER exchange;
\connect exchange
CREATE EXTENSION pg_stat_statements;
-- The simulated exchange holds its replica back on command.
GRANT EXECUTE ON FUNCTION pg_wal_replay_pause(), pg_wal_replay_resume() TO exchange;
\connect postgres
CREATE EXTENSION pg_stat_statements;
SELECT pg_create_physical_replication_slot('replica');
SQL
  pg_ctl --pgdata="$data" --wait stop
fi

if [[ $role == replica && ! -s $data/PG_VERSION ]]; then
  rm -rf "$data"
  until pg_basebackup --host=postgres-primary --username=replicator --pgdata="$data" --slot=replica \
    --wal-method=stream --checkpoint=fast --write-recovery-conf --no-password; do
    rm -rf "$data"
    echo "waiting for the primary" >&2
    sleep 2
  done
  chmod 0700 "$data"
fi

exec postgres -D "$data" -c config_file=/etc/postgres/postgresql.conf
