-- Sessions: how they begin, go on and end.
--
-- A transaction locks a session's row first and then rosters, several of them in the order of their lock keys, so that
-- transactions do not wait for each other in a circle. A roster's lock is an advisory lock that ends with the transaction.

CREATE FUNCTION channel(sid bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'tooz_' || sid $$;

-- The channel of a roster or a topic: a hash, since names may be longer than channels.
CREATE FUNCTION roster_channel(ns bytea, k text, n bytea) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT 'tooz_' || left(encode(sha256((encode(ns, 'hex') || ' ' || k || ' ' || encode(n, 'hex'))::bytea), 'hex'), 56)
$$;

CREATE FUNCTION lock_key(ns bytea, k text, n bytea) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT hashtextextended(k || encode(n, 'hex'), hashtextextended(encode(ns, 'hex'), 0))
$$;

-- Whether the namespace has a session that is over and has not been removed. The time is that of the request's arrival.
CREATE FUNCTION has_expired(ns bytea) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
    RETURN EXISTS (SELECT FROM session WHERE namespace = ns AND expires <= statement_timestamp());
END $$;

-- Seconds until the next session of the namespace may be over.
CREATE FUNCTION until_expiry(ns bytea) RETURNS float8 LANGUAGE plpgsql AS $$ BEGIN
    RETURN (SELECT extract(epoch FROM min(expires) - clock_timestamp()) FROM session WHERE namespace = ns);
END $$;

CREATE FUNCTION is_over() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'the session is over' USING ERRCODE = 'TZ001';
END $$;

-- The namespace of a session. It is an error if the session is over.
CREATE FUNCTION alive(sid bigint) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE ns bytea;
BEGIN
    SELECT namespace INTO ns FROM session WHERE id = sid AND expires > clock_timestamp();
    IF NOT FOUND THEN PERFORM is_over(); END IF;
    RETURN ns;
END $$;

-- The same for a request that changes a roster or a topic, which it locks. Neither the end of the session nor another
-- connection can intervene until the transaction ends. The names of the namespace are locked last and together with other
-- changes: a watch of the names waits for all changes under way, and changes that come later find the watch.
CREATE FUNCTION begin_change(sid bigint, k text, n bytea) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE s record;
BEGIN
    SELECT namespace, backend INTO s FROM session WHERE id = sid AND expires > clock_timestamp() FOR SHARE;
    IF NOT FOUND THEN PERFORM is_over(); END IF;
    IF s.backend <> pg_backend_pid() THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = 'the session goes on over another connection';
    END IF;
    PERFORM pg_advisory_xact_lock(lock_key(s.namespace, k, n)),
        pg_advisory_xact_lock_shared(lock_key(s.namespace, 'names', 'new'));
    RETURN s.namespace;
END $$;

CREATE FUNCTION open_session(
    ns bytea, who bytea, seconds float8, dies_with_connection boolean,
    OUT status text, OUT sid bigint, OUT history text, OUT last_number bigint, OUT server text
) LANGUAGE plpgsql AS $$ BEGIN
    status := 'OPEN';
    INSERT INTO session (namespace, member, ttl, expires, backend, by_connection)
        VALUES (ns, who, make_interval(secs => seconds), clock_timestamp() + make_interval(secs => seconds),
            pg_backend_pid(), dies_with_connection)
        RETURNING id INTO sid;
    IF dies_with_connection THEN PERFORM pg_advisory_lock(sid); END IF;
    EXECUTE format('LISTEN %I', channel(sid));
    SELECT i.history, s.last_value INTO history, last_number FROM installation i, number s;
    server := 'PostgreSQL ' || current_setting('server_version');
END $$;

-- Continues a session on another connection. Returns the nonces of its entries, so that the client finds those it lost.
CREATE FUNCTION attach(of_session bigint, OUT status text, OUT history text, OUT last_number bigint, OUT nonces bytea[])
LANGUAGE plpgsql AS $$ BEGIN
    UPDATE session SET backend = pg_backend_pid()
        WHERE id = of_session AND expires > clock_timestamp() AND NOT by_connection;
    status := CASE WHEN FOUND THEN 'OPEN' ELSE 'LOST' END;
    EXECUTE format('LISTEN %I', channel(of_session));
    SELECT i.history, s.last_value INTO history, last_number FROM installation i, number s;
    SELECT array_agg(nonce) INTO nonces FROM entry WHERE session = of_session;
END $$;

CREATE FUNCTION renew(sid bigint) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
    UPDATE session SET expires = clock_timestamp() + ttl WHERE id = sid AND expires > clock_timestamp();
    IF NOT FOUND THEN PERFORM is_over(); END IF;
    RETURN 'DONE';
END $$;

-- Removes at most 100 entries of a session that is over, and the session when it has none left. Returns whether it has
-- removed the session. The caller has locked the session's row.
CREATE FUNCTION finish(sid bigint, ns bytea) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE r record;
BEGIN
    FOR r IN SELECT kind, name, array_agg(nonce) AS nonces, string_agg('left ' || seq, E'\n') AS change
            FROM (SELECT kind, name, nonce, seq FROM entry WHERE session = sid ORDER BY seq DESC LIMIT 100) AS newest
            GROUP BY kind, name ORDER BY lock_key(ns, kind, name) LOOP
        PERFORM pg_advisory_xact_lock(lock_key(ns, r.kind, r.name));
        DELETE FROM entry WHERE session = sid AND nonce = ANY (r.nonces) AND kind = r.kind AND name = r.name;
        PERFORM removed(ns, r.kind, r.name, r.change);
    END LOOP;
    DELETE FROM watch WHERE ctid = ANY (ARRAY (SELECT ctid FROM watch WHERE session = sid LIMIT 1000));
    IF EXISTS (SELECT FROM entry WHERE session = sid) OR EXISTS (SELECT FROM watch WHERE session = sid) THEN
        RETURN false;
    END IF;
    DELETE FROM session WHERE id = sid;
    PERFORM pg_notify(channel(sid), 'ended');
    RETURN true;
END $$;

-- Ends a session. The client repeats it while it returns MORE.
CREATE FUNCTION close_session(sid bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE ns bytea;
BEGIN
    UPDATE session SET expires = 'epoch' WHERE id = sid RETURNING namespace INTO ns;
    RETURN CASE WHEN ns IS NULL OR finish(sid, ns) THEN 'DONE' ELSE 'MORE' END;
END $$;

-- Removes one session of the namespace that is over, or a part of it. The client repeats it while it returns MORE.
CREATE FUNCTION reap(ns bytea, OUT status text, OUT rest float8) LANGUAGE plpgsql AS $$
DECLARE dead bigint;
BEGIN
    SELECT id INTO dead FROM session WHERE namespace = ns AND expires <= statement_timestamp()
        ORDER BY expires, id LIMIT 1 FOR UPDATE;
    IF dead IS NOT NULL THEN PERFORM finish(dead, ns); END IF;
    status := CASE WHEN has_expired(ns) THEN 'MORE' ELSE 'DONE' END;
    rest := until_expiry(ns);
END $$;

-- The same for any namespace, except that it leaves alone what another client is removing.
CREATE FUNCTION reap_any() RETURNS text LANGUAGE plpgsql AS $$
DECLARE dead record;
BEGIN
    SELECT id, namespace INTO dead FROM session WHERE expires <= statement_timestamp()
        ORDER BY expires, id LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN RETURN 'DONE'; END IF;
    PERFORM finish(dead.id, dead.namespace);
    RETURN 'MORE';
END $$;

-- Waits at most `patience` milliseconds for the end of another session's connection, which holds the lock with the number
-- of that session, and ends that session. Sessions form a ring: each one watches the one before it.
CREATE FUNCTION watch_neighbour(sid bigint, patience text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE other bigint;
BEGIN
    SELECT id INTO other FROM session WHERE namespace = alive(sid) AND by_connection AND id <> sid
        ORDER BY id < sid DESC, id DESC LIMIT 1;
    IF NOT FOUND THEN RETURN 'ALONE'; END IF;
    PERFORM set_config('lock_timeout', patience, true);
    PERFORM pg_advisory_xact_lock_shared(other);
    RETURN close_session(other);
END $$;
