-- What a budget carries over from one window to the next, with a clock that stands still.
set time zone 'UTC';
insert into gov_entity_types (id, attribution_keys) values ('cy-org', '{}'), ('cy-user', '{cyUser}');
insert into gov_capabilities (id) values ('cy-tokens');
insert into gov_entities (owner_id, id, type_id, parent_id, created_at) values ('cy', 'acme', 'cy-org', null, '2026-01-01Z'), ('cy', 'ann', 'cy-user', 'acme', '2026-01-01Z');

create function pg_temp.at(timestamptz) returns text language sql as
$$ select set_config('governance.fault_clock', (extract(epoch from $1 - timestamptz '2000-01-01 00:00Z') * 1000000)::bigint::text, false) $$;
create function pg_temp.shown() returns text language sql as
$$ select string_agg(format('%s: %s of %s, carried %s, left %s', h.entity_id, h.current_usage, h.usage_limit, h.carried, h.remaining), '; ' order by h.entity_id) from gov_headroom('cy', 'cy-tokens', 0, null, '{ann}') h $$;
create function pg_temp.everywhere() returns table (headroom text, query text, view text, tree text) language sql as
$$
    select
        (select string_agg(format('%s/%s/%s', h.usage_limit, h.current_usage, h.carried), ' ') from gov_headroom('cy', 'cy-tokens', 0, null, '{ann}') h),
        (select string_agg(format('%s/%s/%s', r ->> 'usageLimit', r ->> 'currentUsage', r ->> 'carried'), ' ') from jsonb_array_elements(gov_query('cy', '{cy-tokens}') -> 'data') r),
        (select string_agg(format('%s/%s/%s', b.usage_limit, b.current_usage, b.carried), ' ') from gov_budgets b where b.owner_id = 'cy'),
        (select string_agg(format('%s/%s/%s', t.usage_limit, t.current_usage, t.carried), ' ') from gov_tree('cy', '{cy-tokens}') t)
$$;

select pg_temp.at('2026-01-10Z') is not null;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, carry_unused_max, created_at) values ('cy', 'ann', 'cy-tokens', 100, 'P1M', 60, '2026-01-05Z');
select pg_temp.shown();
select is_granted, remaining from gov_consume('cy', 'cy-tokens', 70, null, '{ann}');
select * from pg_temp.everywhere();
-- unused: 30
select pg_temp.at('2026-02-10Z') is not null;
select * from pg_temp.everywhere();
select is_granted, denied_reason, remaining from gov_consume('cy', 'cy-tokens', 131, null, '{ann}');
select is_granted, remaining from gov_consume('cy', 'cy-tokens', 40, null, '{ann}');
-- what was carried is used first: 90 of its own are left, of which 60 are carried
select pg_temp.at('2026-03-10Z') is not null;
select * from pg_temp.everywhere();
-- a late use of February, a correction, and one of January
select event_id is not null from gov_ingest('cy', 'cy-tokens', 50, null, '{ann}', null, '2026-02-20Z');
select * from pg_temp.everywhere();
select event_id is not null from gov_ingest('cy', 'cy-tokens', -20, null, '{ann}', null, '2026-02-20Z');
select * from pg_temp.everywhere();
select event_id is not null from gov_ingest('cy', 'cy-tokens', 25, null, '{ann}', null, '2026-01-20Z');
select * from pg_temp.everywhere();
select gov_refresh();
select * from pg_temp.everywhere();
-- nothing used in March and April
select pg_temp.at('2026-05-10Z') is not null;
select * from pg_temp.everywhere();
select gov_refresh();
select * from pg_temp.everywhere();
select count(*) from gov_verify('cy');
