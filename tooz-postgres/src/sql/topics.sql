-- Topics. Publishers of one topic wait for each other, so messages become visible in the order of their positions.

-- Removes at most 100 messages that are not among the newest `keep`. Returns whether more are left.
CREATE FUNCTION trim_messages(ns bytea, n bytea, keep bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    t record;
    gone bigint[];
BEGIN
    SELECT id, size INTO t FROM topic WHERE namespace = ns AND name = n;
    IF t.size <= keep THEN RETURN false; END IF;
    gone := ARRAY (SELECT position FROM message WHERE topic = t.id ORDER BY position LIMIT least(t.size - keep, 100));
    DELETE FROM message WHERE topic = t.id AND position = ANY (gone);
    UPDATE topic SET trimmed = gone[cardinality(gone)], size = size - cardinality(gone) WHERE namespace = ns AND name = n;
    RETURN t.size - cardinality(gone) > keep;
END $$;

-- Adds a message, unless there is none: then it continues what an earlier call has left.
CREATE FUNCTION publish(sid bigint, n bytea, content bytea, keep bigint, OUT status text, OUT place bigint)
LANGUAGE plpgsql AS $$
DECLARE
    ns bytea := begin_change(sid, 'topic', n);
    t record;
BEGIN
    IF content IS NOT NULL THEN
        place := nextval('number');
        INSERT INTO topic (namespace, name, newest) VALUES (ns, n, place)
            ON CONFLICT (namespace, name) DO UPDATE SET newest = place, size = topic.size + 1
            RETURNING id, size = 1 AS is_new INTO t;
        INSERT INTO message (topic, position, payload) VALUES (t.id, place, content);
        PERFORM changed(ns, 'topic', n, '');
        IF t.is_new THEN PERFORM name_added(ns, 'topic', n); END IF;
    END IF;
    status := CASE WHEN trim_messages(ns, n, keep) THEN 'MORE' ELSE 'DONE' END;
END $$;

-- One row at least: the bounds, with the messages after `seen` if there are any.
CREATE FUNCTION read_topic(sid bigint, n bytea, seen bigint, most bigint) RETURNS TABLE (
    trimmed bigint, newest bigint, place bigint, payload bytea
) LANGUAGE plpgsql AS $$
DECLARE ns bytea := alive(sid);
BEGIN
    RETURN QUERY SELECT coalesce(t.trimmed, 0), coalesce(t.newest, 0), m.position, m.payload
        FROM (SELECT) AS one
        LEFT JOIN topic t ON t.namespace = ns AND t.name = n
        LEFT JOIN LATERAL (SELECT * FROM message WHERE topic = t.id AND position > seen ORDER BY position LIMIT most)
            AS m ON true
        ORDER BY m.position;
END $$;
