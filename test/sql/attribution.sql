-- gov_attribution: the ledger's sums by entity types, dimensions and time.
set timezone = 'America/New_York';
select count(gov_upsert_entity_types('[{"id": "org"}, {"id": "team", "attributionKeys": ["teamId"]}, {"id": "agent", "attributionKeys": ["agentId"]}, {"id": "model", "attributionKeys": ["model"]}]'));
select count(gov_upsert_capabilities('[{"id": "tokens"}, {"id": "calls"}]'));
insert into gov_entities (owner_id, id, type_id, parent_id) values
('attr', 'acme', 'org', null), ('attr', 'eng', 'team', 'acme'), ('attr', 'ops', 'team', 'acme'),
('attr', 'bot', 'agent', 'eng'), ('attr', 'cat', 'agent', 'ops'), ('attr', 'gpt', 'model', null);

-- Sundays and Mondays, either side of the change to winter time (2025-11-02 02:00 in New York), and of a month's end.
select count(gov_ingest('attr', 'tokens', e.amount, e.dimensions, e.ids, null, e.at))
from (values
    (10, '{"feature": "chat", "model": "gpt"}'::jsonb, '{bot}'::text[], '2025-10-31 23:30'::timestamptz),
    (20, '{"feature": "chat"}', '{bot}', '2025-11-02 00:30'),
    (0.5, '{"feature": "code", "n": 1}', '{bot,cat}', '2025-11-02 01:30-04'),
    (0.25, '{"feature": "code", "n": 1}', '{cat}', '2025-11-02 01:30-05'),
    (40, null, '{acme}', '2025-11-03 00:00'),
    (-4, '{"feature": "chat", "model": "gpt"}', '{cat}', '2025-11-30 23:59'),
    (100, '{"feature": true, "model": "unknown"}', '{nobody}', '2025-12-01 00:00')) as e (amount, dimensions, ids, at);
select count(gov_ingest('attr', 'calls', 1000, null, '{bot}'));
select count(gov_ingest('attr-2', 'tokens', 1000, null, '{bot}'));

select * from gov_attribution('attr', 'tokens', '{}', '-infinity', 'infinity');
select * from gov_attribution('attr', 'tokens', '{team}', '-infinity', 'infinity');
select * from gov_attribution('attr', 'tokens', '{team,agent,feature}', '-infinity', 'infinity');
select * from gov_attribution('attr', 'tokens', '{model}', '-infinity', 'infinity');
select * from gov_attribution('attr', 'tokens', '{feature,feature}', '-infinity', 'infinity');
select * from gov_attribution('attr', 'tokens', '{"n"}', '-infinity', 'infinity');
select * from gov_attribution('attr', 'tokens', '{nothing}', '-infinity', 'infinity');

-- From is included, to is not.
select * from gov_attribution('attr', 'tokens', '{}', '2025-11-02 00:30', '2025-11-03 00:00');
select * from gov_attribution('attr', 'tokens', '{}', '2025-11-03 00:00', '2025-11-03 00:00:00.000001');
select * from gov_attribution('attr', 'tokens', '{}', '2026-01-01', '2025-01-01');

-- Buckets begin in the session's time zone, weeks on Monday.
select * from gov_attribution('attr', 'tokens', '{}', '-infinity', 'infinity', '1 month');
select * from gov_attribution('attr', 'tokens', '{}', '-infinity', 'infinity', '1 year 3 months');
select * from gov_attribution('attr', 'tokens', '{}', '-infinity', 'infinity', '1 week');
select * from gov_attribution('attr', 'tokens', '{}', '-infinity', 'infinity', '1 day');
select * from gov_attribution('attr', 'tokens', '{team}', '-infinity', '2025-11-03', '1 hour');
select * from gov_attribution('attr', 'tokens', '{}', '-infinity', '2025-11-03', '30 minutes');
set timezone = 'UTC';
select * from gov_attribution('attr', 'tokens', '{}', '-infinity', 'infinity', '1 month');

-- In another time zone than the session's, which stays what it is.
select * from gov_attribution('attr', 'tokens', '{}', '-infinity', 'infinity', '1 day', 'Asia/Kolkata');
select * from gov_attribution('attr', 'tokens', '{}', '-infinity', 'infinity', bucket => '1 month', timezone => null);
show timezone;
\set SHOW_CONTEXT never
select * from gov_attribution('attr', 'tokens', '{}', '-infinity', 'infinity', '1 day', 'Asia/Kolkatta');
select * from gov_attribution('attr', 'tokens', '{}', '-infinity', 'infinity', '1 day', 'UTC+5:30');

-- An entity that is gone is unknown, its use is not.
delete from gov_entities where owner_id = 'attr' and id = 'cat';
select * from gov_attribution('attr', 'tokens', '{agent}', '-infinity', 'infinity');

-- A name is a name, whatever is in it.
select * from gov_attribution('attr', 'tokens', array['it''s "a" \ name', '$1', '%s'], '-infinity', 'infinity');

-- With the rollup in any state the sums are the ledger's.
select count(*) filter (where difference <> 0) as wrong
from (
    select (select sum(amount) from gov_events where owner_id = 'attr' and capability_id = 'tokens') - sum(amount) as difference
    from gov_attribution('attr', 'tokens', '{feature,n}', '-infinity', 'infinity', '1 day')
) as d;

select gov_attribution(null, 'tokens', '{}', '-infinity', 'infinity');
select gov_attribution('attr', null, '{}', '-infinity', 'infinity');
select gov_attribution('attr', 'tokens', null, '-infinity', 'infinity');
select gov_attribution('attr', 'tokens', '{team,null}', '-infinity', 'infinity');
select gov_attribution('attr', 'tokens', '{}', null, 'infinity');
select gov_attribution('attr', 'tokens', '{}', '-infinity', null);
select gov_attribution('attr', 'tokens', '{}', '-infinity', 'infinity', '0');
select gov_attribution('attr', 'tokens', '{}', '-infinity', 'infinity', '-1 day');
select gov_attribution('attr', 'tokens', '{}', '-infinity', 'infinity', '1 month 1 day');
select gov_attribution('attr', 'tokens', '{}', '-infinity', 'infinity', '1 day 1 hour');
select gov_delete_owner('attr'), gov_delete_owner('attr-2');
