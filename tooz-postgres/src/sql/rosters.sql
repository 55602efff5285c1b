-- The verbs of rosters. Each is one transaction. A verb that finds a session of the namespace over does nothing and returns
-- EXPIRED: the client then removes that session in a transaction of its own and repeats the verb.

-- What blocks an entry of mode `m` and capacity `most` that precedes `before`: the nearest of `most` conflicting entries.
CREATE FUNCTION blocker(ns bytea, k text, n bytea, before bigint, m text, most bigint) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    IF m = 'm' THEN RETURN NULL; END IF;
    RETURN (SELECT CASE WHEN count(*) >= most THEN max(seq) END FROM (
        (SELECT seq FROM entry WHERE namespace = ns AND kind = k AND name = n AND mode = 'x' AND seq < before
            ORDER BY seq DESC LIMIT most)
        UNION ALL
        (SELECT seq FROM entry WHERE namespace = ns AND kind = k AND name = n AND mode = 's' AND seq < before AND m = 'x'
            ORDER BY seq DESC LIMIT most)
    ) AS conflicting);
END $$;

-- An entry as text: to the followers of a roster when it enters, and in the reply to a reader.
CREATE FUNCTION entry_text(seq bigint, nonce bytea, m text, most bigint, unique_key bytea, content bytea) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT concat_ws(' ', 'entered', seq, encode(nonce, 'hex'), m, most, coalesce(encode(unique_key, 'hex'), '-'),
        encode(content, 'hex'))
$$;

-- Tells the watchers of a roster or a topic, if there are any, of a change: of the transaction's number, and of each entry
-- that has changed in a line of its own. A notification has at most 8,000 bytes, so each one says how many parts follow.
CREATE FUNCTION changed(ns bytea, k text, n bytea, change text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    size constant integer := 6000;
    following integer := greatest(length(change) - 1, 0) / size;
BEGIN
    IF NOT EXISTS (SELECT FROM watch WHERE namespace = ns AND kind = k AND name = n) THEN RETURN; END IF;
    FOR part IN 0..following LOOP
        PERFORM pg_notify(roster_channel(ns, k, n), concat_ws(' ', k, encode(n, 'hex'), pg_current_xact_id(),
            following - part, substr(change, part * size + 1, size)));
    END LOOP;
END $$;

-- Notifies the sessions that watch which names come into use.
CREATE FUNCTION name_added(ns bytea, k text, n bytea) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
    PERFORM changed(ns, 'names', 'new', concat_ws(' ', k, encode(n, 'hex')));
END $$;

-- After a removal: tells the watchers of the change unless it is null, admits waiting entries and notifies their sessions.
-- It ends at the first entry that no later one can pass: as many exclusive entries are up to it as the greatest capacity of
-- a waiting entry.
CREATE FUNCTION removed(ns bytea, k text, n bytea, change text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    greatest_capacity bigint;
    is_watched boolean;
    w record;
BEGIN
    SELECT max(capacity), EXISTS (SELECT FROM watch WHERE namespace = ns AND kind = k AND name = n)
        INTO greatest_capacity, is_watched FROM entry WHERE namespace = ns AND kind = k AND name = n AND waiting;
    IF is_watched AND change IS NOT NULL THEN PERFORM changed(ns, k, n, change); END IF;
    IF greatest_capacity IS NULL THEN RETURN; END IF;
    FOR w IN SELECT session, nonce, mode, seq, capacity FROM entry
            WHERE namespace = ns AND kind = k AND name = n AND waiting ORDER BY seq LOOP
        IF blocker(ns, k, n, w.seq, w.mode, w.capacity) IS NULL THEN
            UPDATE entry SET waiting = false
                WHERE namespace = ns AND kind = k AND name = n AND mode = w.mode AND seq = w.seq;
            PERFORM pg_notify(channel(w.session), 'admitted ' || encode(w.nonce, 'hex'));
        ELSE
            EXIT WHEN blocker(ns, k, n, w.seq + 1, 's', greatest_capacity) IS NOT NULL;
        END IF;
    END LOOP;
END $$;

CREATE FUNCTION enter(
    sid bigint, k text, n bytea, id bytea, unique_key bytea, takes_over boolean, m text, most bigint, waits boolean,
    must_be_declared boolean, content bytea, OUT status text, OUT place bigint, OUT blocked_by bigint
) LANGUAGE plpgsql AS $$
DECLARE
    ns bytea := begin_change(sid, k, n);
    found record;
    are_names_watched boolean;
    change text := '';
BEGIN
    -- One statement for all: each statement costs as much as the insertion.
    SELECT EXISTS (SELECT FROM session WHERE namespace = ns AND expires <= statement_timestamp()) AS expired,
        (SELECT seq FROM entry WHERE session = sid AND nonce = id AND kind = k AND name = n) AS own,
        (SELECT seq FROM entry WHERE namespace = ns AND kind = k AND name = n AND key = unique_key) AS taken,
        EXISTS (SELECT FROM declared WHERE namespace = ns AND kind = k AND name = n) OR NOT must_be_declared AS declared,
        EXISTS (SELECT FROM watch WHERE namespace = ns AND kind = k AND name = n) AS watched
        INTO found;
    IF found.own IS NOT NULL THEN
        status := CASE WHEN found.expired THEN 'EXPIRED' ELSE 'ENTERED' END;
        place := found.own;
        blocked_by := blocker(ns, k, n, place, m, most);
        RETURN;
    END IF;
    status := CASE WHEN found.expired THEN 'EXPIRED' WHEN NOT found.declared THEN 'UNDECLARED'
        WHEN found.taken IS NOT NULL AND NOT takes_over THEN 'TAKEN' END;
    IF status IS NOT NULL THEN RETURN; END IF;
    IF found.taken IS NOT NULL THEN
        PERFORM evict_entry(ns, k, n, found.taken, NULL);
        change := 'left ' || found.taken || E'\n';
    END IF;
    status := 'WITHDRAWN';
    blocked_by := blocker(ns, k, n, 9223372036854775807, m, most);
    IF blocked_by IS NOT NULL AND NOT waits THEN RETURN; END IF;
    status := 'ENTERED';
    place := nextval('number');
    INSERT INTO entry (namespace, kind, name, mode, seq, session, nonce, key, capacity, waiting, value)
        VALUES (ns, k, n, m, place, sid, id, unique_key, most, blocked_by IS NOT NULL, content)
        RETURNING EXISTS (SELECT FROM watch WHERE namespace = ns AND kind = 'names') INTO are_names_watched;
    IF are_names_watched THEN PERFORM name_added(ns, k, n); END IF;
    IF found.watched THEN
        PERFORM changed(ns, k, n, change || entry_text(place, id, m, most, unique_key, content));
    END IF;
END $$;

-- Removes an entry of any session and notifies that session. Returns whether there was one.
CREATE FUNCTION evict_entry(ns bytea, k text, n bytea, place bigint, change text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE e record;
BEGIN
    DELETE FROM entry WHERE namespace = ns AND kind = k AND name = n AND mode = ANY ('{x,s,m}') AND seq = place
        RETURNING session, nonce INTO e;
    IF NOT FOUND THEN RETURN false; END IF;
    PERFORM pg_notify(channel(e.session), 'removed ' || encode(e.nonce, 'hex'));
    PERFORM removed(ns, k, n, change);
    RETURN true;
END $$;

CREATE FUNCTION evict(sid bigint, k text, n bytea, place bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE ns bytea := begin_change(sid, k, n);
BEGIN
    IF has_expired(ns) THEN RETURN 'EXPIRED'; END IF;
    RETURN CASE WHEN evict_entry(ns, k, n, place, 'left ' || place) THEN 'DONE' ELSE 'NONE' END;
END $$;

-- Removes the entry of the session with this nonce and, if one is given, this seq.
CREATE FUNCTION leave(sid bigint, k text, n bytea, place bigint, id bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    ns bytea := begin_change(sid, k, n);
    gone bigint;
BEGIN
    DELETE FROM entry WHERE session = sid AND nonce = id AND seq = coalesce(place, seq) AND kind = k AND name = n
        RETURNING seq INTO gone;
    IF NOT FOUND THEN RETURN 'NONE'; END IF;
    PERFORM removed(ns, k, n, 'left ' || gone);
    RETURN 'DONE';
END $$;

CREATE FUNCTION replace_value(sid bigint, k text, n bytea, place bigint, id bytea, content bytea) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE ns bytea := begin_change(sid, k, n);
BEGIN
    UPDATE entry SET value = content WHERE session = sid AND nonce = id AND seq = place AND kind = k AND name = n;
    IF NOT FOUND THEN RETURN 'NONE'; END IF;
    PERFORM changed(ns, k, n, concat_ws(' ', 'value', place, encode(content, 'hex')));
    RETURN 'DONE';
END $$;

-- Reads a roster at one moment: `seen` are the transactions that are over, as `pg_current_snapshot` names them.
CREATE FUNCTION read_roster(
    sid bigint, k text, n bytea, OUT status text, OUT rest float8, OUT seen text, OUT is_declared boolean, OUT entries text[]
) LANGUAGE plpgsql AS $$
DECLARE ns bytea := alive(sid);
BEGIN
    status := CASE WHEN has_expired(ns) THEN 'EXPIRED' ELSE 'READ' END;
    IF status <> 'READ' THEN RETURN; END IF;
    rest := until_expiry(ns);
    SELECT pg_current_snapshot(), EXISTS (SELECT FROM declared WHERE namespace = ns AND kind = k AND name = n),
        ARRAY (SELECT entry_text(seq, nonce, mode, capacity, key, value) FROM entry
            WHERE namespace = ns AND kind = k AND name = n ORDER BY seq)
        INTO seen, is_declared, entries;
END $$;

CREATE FUNCTION turn(sid bigint, k text, n bytea, place bigint, id bytea, OUT status text, OUT rest float8)
LANGUAGE plpgsql AS $$
DECLARE
    ns bytea := alive(sid);
    is_waiting boolean;
BEGIN
    status := 'EXPIRED';
    IF has_expired(ns) THEN RETURN; END IF;
    SELECT waiting INTO is_waiting FROM entry
        WHERE session = sid AND nonce = id AND seq = place AND kind = k AND name = n;
    status := CASE is_waiting WHEN true THEN 'WAITING' WHEN false THEN 'ADMITTED' ELSE 'NONE' END;
    rest := until_expiry(ns);
END $$;

CREATE FUNCTION declare_roster(sid bigint, k text, n bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE ns bytea := begin_change(sid, k, n);
BEGIN
    INSERT INTO declared (namespace, kind, name) VALUES (ns, k, n) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN RETURN 'NONE'; END IF;
    PERFORM changed(ns, k, n, 'declared'), name_added(ns, k, n);
    RETURN 'DONE';
END $$;

CREATE FUNCTION retract_roster(sid bigint, k text, n bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE ns bytea := begin_change(sid, k, n);
BEGIN
    IF has_expired(ns) THEN RETURN 'EXPIRED'; END IF;
    IF NOT EXISTS (SELECT FROM declared WHERE namespace = ns AND kind = k AND name = n) THEN RETURN 'UNDECLARED'; END IF;
    IF EXISTS (SELECT FROM entry WHERE namespace = ns AND kind = k AND name = n) THEN RETURN 'NOT_EMPTY'; END IF;
    DELETE FROM declared WHERE namespace = ns AND kind = k AND name = n;
    PERFORM changed(ns, k, n, 'retracted');
    RETURN 'DONE';
END $$;

CREATE FUNCTION declared_rosters(sid bigint, k text) RETURNS TABLE (name bytea) LANGUAGE plpgsql AS $$
DECLARE ns bytea := alive(sid);
BEGIN
    RETURN QUERY SELECT d.name FROM declared d WHERE d.namespace = ns AND d.kind = k ORDER BY d.name;
END $$;

-- At most `most` names after `after`: of rosters with entries, or of topics. Each step of the recursion reads one row,
-- however many entries a roster has.
CREATE FUNCTION names(sid bigint, k text, after bytea, most bigint) RETURNS TABLE (name bytea)
LANGUAGE plpgsql AS $$
DECLARE ns bytea := alive(sid);
BEGIN
    RETURN QUERY SELECT t.name FROM topic t
        WHERE k = 'topic' AND t.namespace = ns AND t.name > after ORDER BY t.name LIMIT most;
    RETURN QUERY WITH RECURSIVE r AS (
        (SELECT e.name FROM entry e WHERE e.namespace = ns AND e.kind = k AND e.name > after ORDER BY e.name LIMIT 1)
        UNION ALL
        SELECT (SELECT e.name FROM entry e WHERE e.namespace = ns AND e.kind = k AND e.name > r.name
                ORDER BY e.name LIMIT 1)
            FROM r WHERE r.name IS NOT NULL
    ) SELECT r.name FROM r WHERE r.name IS NOT NULL LIMIT most;
END $$;

-- Has the connection notified of the changes of a roster or a topic, or of new names. A change that is under way is either
-- read after this, or notified, because of the locks.
CREATE FUNCTION begin_watch(sid bigint, k text, n bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE ns bytea := begin_change(sid, k, n);
BEGIN
    INSERT INTO watch (namespace, kind, name, session) VALUES (ns, k, n, sid) ON CONFLICT DO NOTHING;
    EXECUTE format('LISTEN %I', roster_channel(ns, k, n));
    RETURN 'DONE';
END $$;

CREATE FUNCTION end_watch(sid bigint, k text, n bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE ns bytea := alive(sid);
BEGIN
    DELETE FROM watch WHERE namespace = ns AND kind = k AND name = n AND session = sid;
    EXECUTE format('UNLISTEN %I', roster_channel(ns, k, n));
    RETURN 'DONE';
END $$;
