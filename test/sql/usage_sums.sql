-- gov_usage_sums: what was used by days, months and hours of a time zone, from the sums of gov_usage_by_time; test/t/110_zones.pl asks in all zones.
set timezone = 'UTC';
\set SHOW_CONTEXT never
insert into gov_entity_types (id) values ('sums-team');
insert into gov_capabilities (id) values ('sums-tokens'), ('sums-calls');
insert into gov_entities (owner_id, id, type_id) select o, e, 'sums-team' from unnest('{sums,sums-2}'::text[]) o, unnest('{eng,ops}'::text[]) e;
insert into gov_usage_by_time (owner_id, capability_id, entity_id, hour, amount, event_count, minute, grain_minutes)
values
    ('sums', 'sums-tokens', 'eng', '2026-03-01 00:00Z', 1, 1, null, null),
    ('sums', 'sums-tokens', 'eng', '2026-03-01 23:00Z', 20.50, 2, null, null),
    ('sums', 'sums-tokens', 'eng', '2026-03-02 00:00Z', 300, 3, null, null),
    ('sums', 'sums-tokens', 'eng', '2026-03-31 22:00Z', 4000, 4, 0, 30),
    ('sums', 'sums-tokens', 'eng', '2026-03-31 22:00Z', 50000, 5, 30, 15),
    ('sums', 'sums-tokens', '', '2026-03-01 00:00Z', 7, 1, null, null),
    ('sums', 'sums-calls', 'ops', '2026-03-02 00:00Z', -1, 1, null, null),
    ('sums-2', 'sums-tokens', 'eng', '2026-03-02 00:00Z', 9, 1, null, null);

-- The hours have no parts.
select entity_id, hour, amount, event_count from gov_usage_hourly where owner_id = 'sums' and capability_id = 'sums-tokens' order by hour, entity_id;

select * from gov_usage_sums('2026-03-01', owner_ids => '{sums}');
select * from gov_usage_sums('2026-03-02', '2026-03-03', owner_ids => '{sums,sums-2}', capability_ids => '{sums-tokens}');
select * from gov_usage_sums('2026-03-01', bucket => '1 day', owner_ids => '{sums}', capability_ids => '{sums-tokens}');
select * from gov_usage_sums('2026-03-01', bucket => '1 month', timezone => 'Europe/Berlin', owner_ids => '{sums}');
select * from gov_usage_sums('-infinity', 'infinity', '2 hours', 'UTC', '{sums}', '{sums-tokens}');
select * from gov_usage_sums('2026-03-02', '2026-03-01', owner_ids => '{sums}');
select * from gov_usage_sums('infinity', owner_ids => '{sums}');
select * from gov_usage_sums('-infinity', '-infinity', '1 day');
select count(*) from gov_usage_sums('-infinity', owner_ids => '{}');

-- The session's time zone is that of the buckets, and stays what it is.
set timezone = 'Asia/Tokyo';
select bucket_start, local_start, amount from gov_usage_sums('2026-03-01 00:00Z', '2026-03-03 00:00Z', '1 day', owner_ids => '{sums}', capability_ids => '{sums-tokens}');
select bucket_start, local_start, amount from gov_usage_sums('2026-03-01 00:00Z', '2026-03-03 00:00Z', '1 day', 'Europe/Berlin', '{sums}', '{sums-tokens}');
show timezone;
set timezone = 'UTC';

-- What sums of an hour do not add up to.
select * from gov_usage_sums('2026-03-01', bucket => '1 day', timezone => 'Asia/Kolkata', owner_ids => '{sums}');
select * from gov_usage_sums('2026-03-01', bucket => '1 month', timezone => 'Asia/Kathmandu', owner_ids => '{sums}');
select * from gov_usage_sums('2026-03-01', bucket => '90 minutes', owner_ids => '{sums}');
select * from gov_usage_sums('2026-03-01', bucket => '10 minutes', owner_ids => '{sums}');
select * from gov_usage_sums('2026-03-01 00:30', owner_ids => '{sums}');
select * from gov_usage_sums('2026-03-01', '2026-03-02 00:00:01', owner_ids => '{sums}');
-- Although nothing was used there.
select * from gov_usage_sums('2020-03-01', '2020-04-01', bucket => '1 day', timezone => 'Asia/Kolkata', owner_ids => '{sums}');
-- Amsterdam was 19 minutes and 32 seconds ahead until 1937.
insert into gov_usage_by_time (owner_id, capability_id, entity_id, hour, amount, event_count) values ('sums-2', 'sums-tokens', 'eng', '1930-03-01 23:00Z', 1, 1);
select local_start, amount from gov_usage_sums('1970-01-01', bucket => '1 day', timezone => 'Europe/Amsterdam', owner_ids => '{sums-2}');
select local_start, amount from gov_usage_sums('-infinity', bucket => '1 day', timezone => 'Europe/Amsterdam', owner_ids => '{sums-2}');

select * from gov_usage_sums(null);
select * from gov_usage_sums('-infinity', null);
select * from gov_usage_sums('-infinity', bucket => '0');
select * from gov_usage_sums('-infinity', bucket => '1 day 1 hour');
select * from gov_usage_sums('-infinity', timezone => 'Mars/Olympus');
select * from gov_usage_sums('-infinity', owner_ids => '{null}');
select gov_delete_owner('sums'), gov_delete_owner('sums-2');
select count(*) from gov_usage_by_time where owner_id in ('sums', 'sums-2');
