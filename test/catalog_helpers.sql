-- What the tests of the catalog share: included by each of them, so that each can run alone.
--
-- A test is one transaction that is rolled back, so it meets no other test's rows in the vendor's shared tables and leaves none.
-- Statements that fail run in pg_temp.outcome(). Answers are printed unaligned: a longer value then changes one line of the
-- expected output and not the whole table.
\a
\pset footer off
\pset null NULL
\set VERBOSITY terse
set client_encoding = 'UTF8';
set timezone = 'UTC';
set datestyle = 'ISO';
set client_min_messages = warning;

begin;

-- What a statement came to: 'ok', or the SQLSTATE and the message. What it did is kept when it succeeds.
create function pg_temp.outcome(statement text) returns text
language plpgsql
as $$
begin
    execute statement;
    return 'ok';
exception
    when others then
        return sqlstate || ' ' || sqlerrm;
end
$$;

-- A document without what differs from run to run: times, and ids that are drawn.
create function pg_temp.steady(document jsonb) returns jsonb
language sql
as $$
    select case jsonb_typeof(document)
        when 'array' then (
            select coalesce(jsonb_agg(pg_temp.steady(item) order by n), '[]')
            from jsonb_array_elements(document) with ordinality i (item, n))
        when 'object' then (
            select coalesce(jsonb_object_agg(key, pg_temp.steady(value)), '{}')
            from jsonb_each(document)
            where key not in ('createdAt', 'updatedAt')
                and not (key = 'id' and value #>> '{}' ~ '^[0-9a-f]{8}-[0-9a-f]{4}-'))
        else document
    end
$$;

-- One line per item of an answer.
create function pg_temp.items(document jsonb) returns setof jsonb
language sql
as $$
    select pg_temp.steady(item)
    from jsonb_array_elements(coalesce(document -> 'data', document)) with ordinality i (item, n)
    order by n
$$;

-- Every page of a list, forth by "next" and then back by "prev": the values at a path, pages separated by '|'.
-- The call is the text of one with a %s where the cursor argument goes.
create function pg_temp.pages(call text, path text[]) returns table (forth text, back text)
language plpgsql
as $$
declare
    page jsonb;
    shown text;
begin
    execute format(call, '') into page;
    for i in 1..50 loop
        shown := (select string_agg(coalesce(item #>> path, item::text), ' ' order by n) from jsonb_array_elements(page -> 'data') with ordinality i (item, n));
        forth := concat_ws(' | ', forth, shown);
        exit when page #>> '{pagination,next}' is null;
        execute format(call, format(', after => %L', page #>> '{pagination,next}')) into page;
    end loop;
    for i in 1..50 loop
        shown := (select string_agg(coalesce(item #>> path, item::text), ' ' order by n) from jsonb_array_elements(page -> 'data') with ordinality i (item, n));
        back := concat_ws(' | ', shown, back);
        exit when page #>> '{pagination,prev}' is null;
        execute format(call, format(', before => %L', page #>> '{pagination,prev}')) into page;
    end loop;
    return next;
end
$$;

-- What a call did to updated_at: 'kept', or 'moved'.
create function pg_temp.updated(call text, row_of text) returns text
language plpgsql
as $$
declare
    earlier timestamptz;
    later timestamptz;
begin
    execute 'select updated_at from ' || row_of into strict earlier;
    execute call;
    execute 'select updated_at from ' || row_of into strict later;
    return case when later = earlier then 'kept' when later > earlier then 'moved' else 'went back' end;
end
$$;
