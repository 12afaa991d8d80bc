/* ---------------------------------------------------------------------------------------------------------------- */
/* Helpers of the catalog functions                                                                                 */
/*                                                                                                                  */
/* They are called by the functions below under their search_path and with the caller's rights.                     */
/* ---------------------------------------------------------------------------------------------------------------- */

create function @extschema@._gov_texts(items jsonb)
returns text[]
language sql
immutable
parallel safe
strict
return array(select jsonb_array_elements_text(items));

comment on function @extschema@._gov_texts(jsonb) is 'internal: a JSON array of strings as text[]';

create function @extschema@._gov_has_form(value jsonb, form text)
returns boolean
language sql
immutable
parallel safe
strict
return case form
    when 'a string' then jsonb_typeof(value) = 'string'
    when 'a string or null' then jsonb_typeof(value) in ('string', 'null')
    when 'a number' then jsonb_typeof(value) = 'number'
    when 'a number or null' then jsonb_typeof(value) in ('number', 'null')
    when 'a whole number' then jsonb_typeof(value) = 'number' and value::numeric % 1 = 0 and abs(value::numeric) < 9223372036854775808
    when 'true or false' then jsonb_typeof(value) = 'boolean'
    when 'an array of strings' then jsonb_typeof(value) = 'array'
        and not jsonb_path_exists(value, 'strict $[*] ? (@.type() != "string")', silent => true)
    when 'an array of numbers or null' then jsonb_typeof(value) = 'null' or jsonb_typeof(value) = 'array'
        and not jsonb_path_exists(value, 'strict $[*] ? (@.type() != "number")', silent => true)
    when 'an object of strings' then jsonb_typeof(value) = 'object'
        and not jsonb_path_exists(value, 'strict $.* ? (@.type() != "string")', silent => true)
    when 'an object of dimensions' then jsonb_typeof(value) = 'object'
        and not jsonb_path_exists(value, 'strict $.* ? (@.type() != "string" && @.type() != "number" && @.type() != "boolean")', silent => true)
end;

comment on function @extschema@._gov_has_form(jsonb, text) is 'internal: whether a JSON value has the form that the words name';

create function @extschema@._gov_form_example(form text)
returns text
language sql
immutable
parallel safe
strict
return case form
    when 'a string' then '"..."'
    when 'a string or null' then '"..." or null'
    when 'a number' then '1.25'
    when 'a number or null' then '1000 or null'
    when 'a whole number' then '1000000'
    when 'true or false' then 'true'
    when 'an array of strings' then '["...", "..."]'
    when 'an array of numbers or null' then '[80, 100] or null'
    when 'an object of strings' then '{"...": "..."}'
    when 'an object of dimensions' then '{"model": "..."}'
end;

comment on function @extschema@._gov_form_example(text) is 'internal: what a JSON value of the form looks like';

create function @extschema@._gov_require_list(argument text, dimensions int)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if dimensions > 1 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('argument "%s" must be a one-dimensional array', argument),
            hint = 'Write it like {a,b}.';
    end if;
end
$$;

comment on function @extschema@._gov_require_list(text, int) is 'internal: refuses an array of two and more dimensions (22023); an empty one has none';

create function @extschema@._gov_items(payload jsonb, wrapper text, forms jsonb, max_items int default 100)
returns table (n int, item jsonb)
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    items jsonb := payload;
    key text;
    value jsonb;
begin
    if payload is null then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = format('argument "%s" must not be null', wrapper),
            hint = format('Write [{...}, ...] or {"%s": [{...}, ...]}.', wrapper);
    end if;

    if jsonb_typeof(payload) = 'object' then
        for key in select k from jsonb_object_keys(payload) k where k <> wrapper loop
            raise exception using
                errcode = 'invalid_parameter_value',
                message = format('unknown key "%s" beside "%s"', left(key, 200), wrapper),
                hint = format('Write [{...}, ...] or {"%s": [{...}, ...]}.', wrapper);
        end loop;
        items := payload -> wrapper;
    end if;
    if jsonb_typeof(items) is distinct from 'array' then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('"%s" must be an array of objects', wrapper),
            hint = format('Write [{...}, ...] or {"%s": [{...}, ...]}.', wrapper);
    end if;
    if jsonb_array_length(items) = 0 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('"%s" must not be empty', wrapper),
            hint = format('Give 1 to %s items.', max_items);
    end if;
    if jsonb_array_length(items) > max_items then
        raise exception using
            errcode = 'program_limit_exceeded',
            message = format('"%s" has too many items', wrapper),
            detail = format('There are %s, at most %s are allowed.', jsonb_array_length(items), max_items),
            hint = 'Split them over several calls.';
    end if;

    for n, item in select o.ordinality, o.value from jsonb_array_elements(items) with ordinality o loop
        if jsonb_typeof(item) <> 'object' then
            raise exception using
                errcode = 'invalid_parameter_value',
                message = format('item %s of "%s" must be an object', n, wrapper),
                hint = format('Its keys are %s.', (select string_agg(k, ', ') from jsonb_object_keys(forms) k));
        end if;
        for key, value in select e.key, e.value from jsonb_each(item) e loop
            if not forms ? key then
                raise exception using
                    errcode = 'invalid_parameter_value',
                    message = format('unknown key "%s" in item %s of "%s"', left(key, 200), n, wrapper),
                    hint = format('Its keys are %s.', (select string_agg(k, ', ') from jsonb_object_keys(forms) k));
            end if;
            if not @extschema@._gov_has_form(value, forms ->> key) then
                raise exception using
                    errcode = 'invalid_parameter_value',
                    message = format('"%s" in item %s of "%s" must be %s', key, n, wrapper, forms ->> key),
                    detail = format('It is %s.', left(value::text, 100)),
                    hint = format('Write "%s": %s.', key, @extschema@._gov_form_example(forms ->> key));
            end if;
        end loop;
        return next;
    end loop;
end
$$;

comment on function @extschema@._gov_items(jsonb, text, jsonb, int) is
    'internal: the numbered items of a payload, an array or an object that wraps one; every key must be known and of its form (22004, 22023, 54000)';

create function @extschema@._gov_one_key(item jsonb, n int, keys text[], is_required boolean)
returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    present constant text[] := array(select k from unnest(keys) k where item ? k);
begin
    if cardinality(present) > 1 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('item %s has both "%s" and "%s"', n, present[1], present[2]),
            hint = format('Give one of %s.', array_to_string(keys, ', '));
    end if;
    if cardinality(present) = 0 and is_required then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('"%s" is missing in item %s', keys[1], n),
            hint = case cardinality(keys)
                when 1 then format('Give every item its "%s".', keys[1])
                else format('Give one of %s.', array_to_string(keys, ', '))
            end;
    end if;
    return item ->> present[1];
end
$$;

comment on function @extschema@._gov_one_key(jsonb, int, text[], boolean) is
    'internal: the value of the one of the keys that an item has; null if it has none (22023 for two, or for none when required)';

create function @extschema@._gov_time(item jsonb, n int, key text)
returns timestamptz
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    value constant text := item ->> key;
begin
    if length(value) > 100 or value !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?)?$' then
        raise invalid_datetime_format;
    end if;
    if value ~ '[T ].*(Z|[+-][0-9]{2}(:?[0-9]{2})?)$' then
        return value::timestamptz;
    end if;
    return value::timestamp at time zone 'UTC';
exception
    when data_exception then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('"%s" in item %s must be an ISO 8601 time or null', key, n),
            detail = format('It is "%s".', left(value, 100)),
            hint = 'Write a time such as "2025-01-31T00:00:00Z".';
end
$$;

comment on function @extschema@._gov_time(jsonb, int, text) is
    'internal: the ISO 8601 time at a key of an item, UTC when it names no zone; null for null (22023)';

create function @extschema@._gov_json(moment timestamptz)
returns jsonb
language sql
stable
parallel safe
return to_jsonb(to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'));

comment on function @extschema@._gov_json(timestamptz) is 'internal: a time as ISO 8601 in UTC with milliseconds';

create function @extschema@._gov_exact_json(moment timestamptz)
returns jsonb
language sql
stable
parallel safe
return case
    when moment = date_trunc('milliseconds', moment) then @extschema@._gov_json(moment)
    else to_jsonb(to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
end;

comment on function @extschema@._gov_exact_json(timestamptz) is
    'internal: a time as ISO 8601 in UTC that means the same when it is read again: with microseconds where there are any';

create function @extschema@._gov_raise_broken_rule(relation regclass, constraint_name text, failing_row text)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    column_name text;
    is_reference boolean;
    table_name text;
    rule text;
begin
    -- A check is named after the column that it is of, and may read others. The last column of a foreign key is the one that is
    -- named; the owner comes before it.
    select a.attname, c.contype = 'f', obj_description(c.oid, 'pg_constraint'), r.relname
    into column_name, is_reference, rule, table_name
    from pg_constraint c
    join pg_class r on r.oid = c.conrelid
    cross join lateral unnest(c.conkey) with ordinality k (attnum, n)
    join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.attnum
    where c.conrelid = relation
        and c.conname = constraint_name
        and c.contype in ('c', 'f')
    order by c.conname = format('%s_%s_check', r.relname, a.attname) desc, k.n desc
    limit 1;

    -- An error that does not come from a column's rule, such as a cycle, is raised unchanged.
    if rule is null then
        return;
    end if;

    -- The owner is an argument of the function; the other columns are keys of its items.
    if column_name <> 'owner_id' then
        column_name := replace(initcap(replace(column_name, '_', ' ')), ' ', '');
        column_name := lower(left(column_name, 1)) || substr(column_name, 2);
    end if;
    raise exception using
        errcode = case when is_reference then 'foreign_key_violation' else 'invalid_parameter_value' end,
        message = format(case when is_reference then '"%s" does not exist' else 'invalid value for "%s"' end, column_name),
        detail = failing_row,
        hint = rule,
        table = table_name,
        constraint = constraint_name;
end
$$;

comment on function @extschema@._gov_raise_broken_rule(regclass, text, text) is
    'internal: reports a broken check constraint as a bad argument (22023) and a broken reference (23503) in the words of the comment on it; returns for what has none';

create function @extschema@._gov_raise_seen_twice()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception using
        errcode = 'serialization_failure',
        message = 'could not serialize access due to concurrent delete',
        detail = 'The transaction has inserted anew what others have deleted, and still sees that too.',
        hint = 'Retry the transaction.';
end
$$;

comment on function @extschema@._gov_raise_seen_twice() is
    'internal: what an upsert says that meets a row twice (40001), as it can above READ COMMITTED';

create function @extschema@._gov_lock_hierarchy(owner_id text, is_move boolean)
returns void
language c
strict
as 'MODULE_PATHNAME', 'gov_lock_hierarchy_1_0';

comment on function @extschema@._gov_lock_hierarchy(text, boolean) is
    'internal: takes an owner''s lock on the shape of its trees to the end of the transaction, shared to place entities, alone to move them';

create function @extschema@._gov_allow_move(owner_id text, id text, parent_id text)
returns void
language c
as 'MODULE_PATHNAME', 'gov_allow_move_1_1';

comment on function @extschema@._gov_allow_move(text, text, text) is
    'internal: the next change of the parent of an entity, in this transaction, moves it with what is below it, unless that is too deep (54000); takes the lock on the shape of the owner''s trees';

/* ---------------------------------------------------------------------------------------------------------------- */
/* Pages of lists                                                                                                   */
/*                                                                                                                  */
/* A cursor is the key of a row, written as a JSON array that starts with the name of the list, in base64.          */
/* ---------------------------------------------------------------------------------------------------------------- */

create function @extschema@._gov_cursor(list text, key jsonb)
returns text
language sql
immutable
parallel safe
strict
return translate(encode(convert_to((jsonb_build_array(list) || key)::text, 'UTF8'), 'base64'), e'\n', '');

comment on function @extschema@._gov_cursor(text, jsonb) is 'internal: the cursor of a row, given its key as a JSON array';

create function @extschema@._gov_cursor_key(list text, forms text[], argument text, cursor text)
returns jsonb
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    key jsonb;
begin
    -- Longer than any key, and perhaps than what can be decoded.
    if length(cursor) > 1048576 then
        raise invalid_parameter_value;
    end if;
    key := convert_from(decode(cursor, 'base64'), 'UTF8')::jsonb;
    if jsonb_typeof(key) = 'array' and jsonb_array_length(key) = cardinality(forms) + 1 and key ->> 0 = list then
        key := key - 0;
        if (select bool_and(@extschema@._gov_has_form(key -> (f.n::int - 1), f.form)) from unnest(forms) with ordinality f (form, n)) then
            return key;
        end if;
    end if;
    raise invalid_parameter_value;
exception
    when data_exception or untranslatable_character then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('"%s" is not a cursor of this list', argument),
            hint = 'Give "next" or "prev" of the "pagination" of an earlier page, or nothing for the first page.';
end
$$;

comment on function @extschema@._gov_cursor_key(text, text[], text, text) is 'internal: the key that a cursor of a list stands for, as a JSON array (22023)';

create function @extschema@._gov_list
(
    list text,
    source text,
    keys text[],
    forms text[],
    document text,
    owner_id text,
    filters jsonb,
    after text,
    before text,
    page_size int
)
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
-- The rows of a page are neighbours in the index of its order. Where the planner expects to find a row soon, and there is none,
-- as before the first page, another plan looks cheap to it and reads the table.
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    columns constant text := array_to_string(keys, ', ');
    cursor_values constant text := (
        select string_agg(
            case when f.form = 'a string' then format('$3 ->> %s', f.n - 1) else '@extschema@._gov_texts($3 -> ' || (f.n - 1) || ')' end,
            ', ' order by f.n)
        from unnest(forms) with ordinality f (form, n));
    is_backward constant boolean := before is not null;
    -- The first key is compared by itself too: so it bounds the index for roles subject to row-level security, because the
    -- planner takes the comparison of arrays for leaky.
    forward constant text := format('%s >= $3 ->> 0 and (%s) > (%s)', keys[1], columns, cursor_values);
    backward constant text := format('%s <= $3 ->> 0 and (%s) < (%s)', keys[1], columns, cursor_values);
    ascending constant text := columns;
    descending constant text := array_to_string(keys, ' desc, ') || ' desc';
    start jsonb;
    documents jsonb[];
    row_keys jsonb[];
    has_more boolean;
    has_behind boolean := false;
begin
    if page_size is null or page_size not between 1 and 100 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = '"page_size" must be between 1 and 100',
            hint = 'Give a number of that range, or leave it out for 20.';
    end if;
    if after is not null and before is not null then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = '"after" and "before" exclude each other',
            hint = 'Give "after" for the next page or "before" for the preceding one.';
    end if;
    if after is not null then
        start := @extschema@._gov_cursor_key(list, forms, 'after', after);
    elsif before is not null then
        start := @extschema@._gov_cursor_key(list, forms, 'before', before);
    end if;

    -- The page, read away from the cursor, and one row more.
    execute format(
        'select array_agg(p.document), array_agg(p.key)
         from (select %1$s as document, jsonb_build_array(%2$s) as key
               from %3$s
                   and ($3 is null or %4$s)
               order by %5$s
               limit $4 + 1) p',
        document,
        columns,
        source,
        case when is_backward then backward else forward end,
        case when is_backward then descending else ascending end)
    into documents, row_keys
    using owner_id, filters, start, page_size;

    if documents is null then
        return jsonb_build_object('data', '[]'::jsonb, 'pagination', jsonb_build_object('next', null, 'prev', null));
    end if;
    has_more := cardinality(documents) > page_size;
    documents := documents[:page_size];
    row_keys := row_keys[:page_size];

    -- Without a cursor there is nothing on that side of the page.
    if start is not null then
        execute format('select (select true from %s and %s order by %s limit 1) is not null',
            source,
            case when is_backward then forward else backward end,
            case when is_backward then ascending else descending end)
        into has_behind
        using owner_id, filters, row_keys[1];
    end if;

    if is_backward then
        documents := array(select d.document from unnest(documents) with ordinality d (document, n) order by d.n desc);
        row_keys := array(select k.key from unnest(row_keys) with ordinality k (key, n) order by k.n desc);
    end if;
    return jsonb_build_object(
        'data', to_jsonb(documents),
        'pagination', jsonb_build_object(
            'next', case when case when is_backward then has_behind else has_more end then @extschema@._gov_cursor(list, row_keys[cardinality(row_keys)]) end,
            'prev', case when case when is_backward then has_more else has_behind end then @extschema@._gov_cursor(list, row_keys[1]) end));
end
$$;

comment on function @extschema@._gov_list(text, text, text[], text[], text, text, jsonb, text, text, int) is
    'internal: a page of a list. source is a FROM and WHERE clause over $1 = owner and $2 = filters, keys are the columns of its order, forms those of their values, document what a row becomes';

