-- The tables of tooz. Everything is found by the search path, so the schema can have any name.
--
-- Numbers begin at the time of the installation in microseconds, so that they also rise after the schema was dropped and
-- installed again. Autovacuum visits the tables after a fixed number of changes, since their size says nothing about use.

CREATE SEQUENCE number;
SELECT setval('number', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);

-- One row: the version of the schema, and a random name of its data.
CREATE TABLE installation (version integer NOT NULL, history text NOT NULL DEFAULT gen_random_uuid());
INSERT INTO installation (version) VALUES (1);

-- A session is over when `expires` has passed. `backend` is the process that serves its present connection: requests that
-- an earlier connection has left behind are refused. Ids are random, so that a server that was restored from a backup gives
-- none of them to another session.
CREATE TABLE session (
    id bigint PRIMARY KEY DEFAULT hashtextextended(gen_random_uuid()::text, 0),
    namespace bytea NOT NULL, member bytea NOT NULL,
    ttl interval NOT NULL, expires timestamptz NOT NULL,
    backend integer NOT NULL, by_connection boolean NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX session_expiry ON session (namespace, expires);
CREATE INDEX session_any_expiry ON session (expires);

CREATE TABLE entry (
    namespace bytea NOT NULL, kind text NOT NULL, name bytea NOT NULL, mode text NOT NULL, seq bigint NOT NULL,
    session bigint NOT NULL, nonce bytea NOT NULL, key bytea,
    capacity bigint NOT NULL, waiting boolean NOT NULL, value bytea NOT NULL,
    PRIMARY KEY (namespace, kind, name, mode, seq)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX entry_of_session ON entry (session, nonce);
CREATE UNIQUE INDEX entry_key ON entry (namespace, kind, name, key) WHERE key IS NOT NULL;
CREATE INDEX entry_waiting ON entry (namespace, kind, name, seq) WHERE waiting;
CREATE INDEX entry_capacity ON entry (namespace, kind, name, capacity) WHERE waiting;

-- Rosters that exist without entries.
CREATE TABLE declared (namespace bytea, kind text, name bytea, PRIMARY KEY (namespace, kind, name));

-- Sessions that are notified when a roster or a topic changes.
CREATE TABLE watch (
    namespace bytea, kind text, name bytea, session bigint,
    PRIMARY KEY (namespace, kind, name, session)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX watch_of_session ON watch (session);

-- Messages up to `trimmed` were removed; `size` are left.
CREATE TABLE topic (
    namespace bytea, name bytea, id bigint NOT NULL DEFAULT nextval('number'),
    newest bigint NOT NULL, trimmed bigint NOT NULL DEFAULT 0, size bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (namespace, name)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE TABLE message (topic bigint, position bigint, payload bytea NOT NULL, PRIMARY KEY (topic, position))
    WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
