/* ---------------------------------------------------------------------------------------------------------------- */
/* Forgetting: an entity gets another id, and nothing else has the old one (src/api_forget.c)                       */
/* ---------------------------------------------------------------------------------------------------------------- */

create function @extschema@._gov_renamed_dimensions(dimensions jsonb, keys text[], old_id text, new_id text)
returns jsonb
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select dimensions || coalesce((select jsonb_object_agg(k.key, new_id) from unnest(keys) k (key) where dimensions ->> k.key = old_id), '{}')
$$;

comment on function @extschema@._gov_renamed_dimensions(jsonb, text[], text, text) is 'internal: the dimensions, with another id where one of these keys names the old one';

-- What people have written about the entity goes; what else the row says stays.
create function @extschema@._gov_renamed_change(change jsonb, table_name text, key jsonb, old_id text, new_id text)
returns jsonb
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select
        case
            when table_name = 'gov_entities' and key ->> 'id' = old_id then change - '{display_name, metadata, blocked_reason}'::text[]
            when key ->> 'entity_id' = old_id then change - '{reason, note}'::text[]
            else change
        end
        || coalesce((
            select jsonb_object_agg(n.name, new_id)
            from unnest(case when table_name = 'gov_entities' then '{id, parent_id}' else '{entity_id}'::text[] end) n (name)
            where change ->> n.name = old_id), '{}')
        || coalesce((
            select jsonb_build_object('scope_entity_ids', jsonb_agg(case when s.id = old_id then new_id else s.id end order by s.place))
            from jsonb_array_elements_text(change -> 'scope_entity_ids') with ordinality s (id, place)
            having bool_or(s.id = old_id)), '{}')
        || coalesce((
            select jsonb_build_object('match', jsonb_object_agg(m.key, case when m.value = old_id then new_id else m.value end))
            from jsonb_each_text(case when table_name = 'gov_prices' then change -> 'match' end) m
            having bool_or(m.value = old_id)), '{}')
$$;

comment on function @extschema@._gov_renamed_change(jsonb, text, jsonb, text, text) is 'internal: the key, old or new of a row of gov_changes, with another id in place of the old one';

create function @extschema@._gov_shown_ids(owner_id text, event_id bigint, ids text[])
returns text[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    forgotten record;
begin
    for forgotten in
        select f.entity_id, f.replacement
        from @extschema@.gov_forgotten f
        where f.owner_id = $1
            and f.last_event_id >= event_id
        order by f.last_event_id, f.forgotten_at
    loop
        ids := array_replace(ids, forgotten.entity_id, forgotten.replacement);
    end loop;
    return ids;
end
$$;

comment on function @extschema@._gov_shown_ids(text, bigint, text[]) is 'internal: the entities of an event, with the new ids of those that are being forgotten';

create function @extschema@._gov_shown_dimensions(owner_id text, event_id bigint, dimensions jsonb)
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    forgotten record;
begin
    for forgotten in
        select f.entity_id, f.replacement, f.attribution_keys
        from @extschema@.gov_forgotten f
        where f.owner_id = $1
            and f.last_event_id >= event_id
        order by f.last_event_id, f.forgotten_at
    loop
        dimensions := @extschema@._gov_renamed_dimensions(dimensions, forgotten.attribution_keys, forgotten.entity_id, forgotten.replacement);
    end loop;
    return dimensions;
end
$$;

comment on function @extschema@._gov_shown_dimensions(text, bigint, jsonb) is 'internal: the dimensions of an event, with the new ids of those that are being forgotten';

-- The rollup adds nothing of another one of that name before the hours are rewritten: all that they have is of the first.
create function @extschema@._gov_shown_id(owner_id text, entity_id text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((
        select f.replacement
        from @extschema@.gov_forgotten f
        where f.owner_id = $1
            and f.entity_id = $2
            and f.hours_done_until < 'infinity'
        order by f.last_event_id, f.forgotten_at
        limit 1), $2)
$$;

comment on function @extschema@._gov_shown_id(text, text) is 'internal: an entity of gov_usage_by_time, or the new id of one that is being forgotten';

create function @extschema@.gov_forget_entity(owner_id text, id text, replacement text default null)
returns text
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_forget_entity_1_1';

comment on function @extschema@.gov_forget_entity(text, text, text) is
$$Forgets an entity: a person asks to be erased. It gets another id, and nothing has the old one: what is below it, its budgets with
their counts, its boosts and requests, and the scopes of other budgets go on under the new id; its display name, its metadata
and the reasons that were written about it are gone. The catalog, the holds, gov_denials and gov_changes are rewritten at once; the worker
rewrites the ledger and gov_usage_by_time in batches, the dimensions included that named it by an attribution key (gov_forgotten, and
forgetting of gov_stats, say how far it is), and reports show the new id meanwhile. Sums stay. To the calls that follow the
old id is unknown; who is made with that id later is somebody else. The calls of the owner wait until this commits. Before, while they
go on, it waits for those in flight, and for whoever has changed a row of the catalog that it rewrites, or has placed an entity of the
owner, and not committed that. A row of yours that a foreign key with ON UPDATE CASCADE changes is waited for afterwards.

owner_id: one of the vendor's customers; id: the entity; it need not exist any more; replacement: its new id, 1 to 255 characters
    without control characters; null for a random one
result: the new id
errors: GV003 the owner is frozen; 22004 null owner_id or id; 22023 a malformed argument, or the old id as replacement; 23505 replacement is an entity;
    23503 a foreign key of yours refers to the entity, without ON UPDATE CASCADE;
    42501 not the session's owner; 55000 the transaction has used the owner, or library not preloaded; 25006 in a
    read-only transaction and on a standby
since: 1.1.0$$;
