--
-- gov_freeze_owner, gov_thaw_owner: an owner that is being moved takes no calls
--
create function pg_temp.error_of(call text)
returns text
language plpgsql
as $$
begin
    execute call;
    return 'done';
exception when others then
    return sqlstate || ': ' || sqlerrm;
end
$$;
select gov_upsert_entity_types('[{"id": "ice-org"}, {"id": "ice-team", "attributionKeys": ["iceTeam"], "onUnknown": "create", "parentKey": "iceOrg"}]') is not null as types,
    gov_upsert_capabilities('[{"id": "ice-calls"}, {"id": "ice-jobs", "kind": "concurrency"}]') is not null as capabilities;
select count(gov_upsert_entities(o, '[{"id": "o", "typeId": "ice-org"}, {"id": "t", "typeId": "ice-team", "parentId": "o"}]')) as owners,
    count(gov_upsert_assignments(o, '[{"entityId": "o", "capabilityId": "ice-calls", "usageLimit": 100, "cadence": "P1M"}]')) as budgets
from unnest(array['ice-1', 'ice-2']) as o;
select gov_upsert_default_assignments('ice-1', '[{"typeId": "ice-team", "capabilityId": "ice-calls", "usageLimit": 50, "cadence": null}]') is not null as default_made,
    gov_boost('ice-1', 'o', 'ice-calls', 5) is not null as boosted;
insert into gov_prices (owner_id, capability_id, quantity, price, valid_from) values ('ice-1', 'ice-calls', 'tokens', 1, '2026-01-01Z');
select event_id as use from gov_ingest('ice-1', 'ice-calls', 3, null, '{t}') \gset
select reservation_id as held from gov_reserve('ice-1', 'ice-calls', 2, null, '{t}') \gset
select reservation_id as settled from gov_reserve('ice-1', 'ice-calls', 1, null, '{t}') \gset
select is_duplicate from gov_settle(:'settled');
select gov_request_increase('ice-1', 'o', 'ice-calls', 10) as asked \gset
insert into gov_assignments (owner_id, entity_id, capability_id, name, is_pool) values ('ice-1', 'o', 'ice-calls', 'pool', true);
select gov_grant_credits('ice-1', 'o', 'ice-calls', 20, name => 'pool') as grant_id \gset
select id as budget from gov_assignments where owner_id = 'ice-1' and name = '' and capability_id = 'ice-calls' \gset

select gov_freeze_owner('ice-1') as is_new;
select gov_freeze_owner('ice-1') as is_new;
select owner_id, frozen_by = session_user as by_me, frozen_at <= clock_timestamp() as at from gov_frozen_owners where owner_id like 'ice-%';

-- Checks say so, before all other reasons; another owner's are none the wiser.
select is_granted, denied_reason, retry_at, jsonb_array_length(chains) as chains from gov_check('ice-1', 'ice-calls', 1, null, '{t}');
select is_granted, denied_reason from gov_check('ice-1', 'ice-calls', 1000, null, '{t}');
select is_granted, denied_reason from gov_check('ice-1', 'ice-calls', 1, '{"iceTeam": "new"}');
select is_granted, denied_reason from gov_check('ice-1', 'ice-calls', 1);
select is_granted, denied_reason, denied_capability_id from gov_check_all('ice-1', '{"ice-calls": 1}', null, '{t}');
select gov_allowed('ice-1', 'ice-calls', 1, null, '{t}') as frozen, gov_allowed('ice-2', 'ice-calls', 1, null, '{t}') as other;
set governance.use_cache = off;
select is_granted, denied_reason from gov_check('ice-1', 'ice-calls', 1, null, '{t}');
reset governance.use_cache;

-- No writing call is taken, whatever it concerns.
select regexp_replace(call, '[0-9a-f]{8}-[0-9a-f-]{27}|(?<=reverse.)\d+', 'ID') as call, pg_temp.error_of(call)
from unnest(array[
    $$select gov_consume('ice-1', 'ice-calls', 1, null, '{t}')$$,
    $$select gov_consume('ice-1', 'ice-calls')$$,
    $$select gov_consume('ice-1', 'ice-calls', 1, '{"iceTeam": "new"}')$$,
    $$select gov_consume_all('ice-1', '{"ice-calls": 1}', null, '{t}')$$,
    $$select gov_require('ice-1', 'ice-calls', 1, null, '{t}')$$,
    $$select gov_ingest('ice-1', 'ice-calls', 1, null, '{t}')$$,
    $$select gov_ingest('ice-1', 'ice-calls', 0)$$,
    $$select gov_ingest('ice-1', 'ice-calls', -1, null, '{t}')$$,
    $$select gov_ingest_all('ice-1', '{"ice-calls": 1}', null, '{t}')$$,
    $$select gov_reserve('ice-1', 'ice-calls', 1, null, '{t}')$$,
    $$select gov_reserve('ice-1', 'ice-jobs', 1, null, '{t}')$$,
    $$select gov_reserve_all('ice-1', '{"ice-calls": 1}', null, '{t}')$$,
    $$select gov_reverse($$ || :use || ')',
    $$select gov_settle('$$ || :'held' || $$')$$,
    $$select gov_settle('$$ || :'settled' || $$')$$,
    $$select gov_settle_all('$$ || :'held' || $$', '{"ice-calls": 1}')$$,
    $$select gov_release('$$ || :'held' || $$')$$,
    $$select gov_extend('$$ || :'held' || $$', '1 hour')$$
]) as call;
-- In a batch it is the item's error.
select position, is_granted, error
from gov_consume_many('[{"ownerId": "ice-2", "capabilityId": "ice-calls", "amount": 1, "entityIds": ["t"]}, {"ownerId": "ice-1", "capabilityId": "ice-calls", "amount": 1, "entityIds": ["t"]}]');
select position, event_id is null as nothing, error
from gov_ingest_each('[{"ownerId": "ice-1", "capabilityId": "ice-calls", "amount": 1}, {"ownerId": "ice-2", "capabilityId": "ice-calls", "amount": 1}]');
select gov_ingest_many('ice-1', '[{"capabilityId": "ice-calls", "amount": 1}]');
select position, event_id is null as nothing, error from gov_settle_many(jsonb_build_array(jsonb_build_object('reservationId', :'held')));

-- No change of the catalog is.
select regexp_replace(call, '[0-9a-f]{8}-[0-9a-f-]{27}|(?<=reverse.)\d+', 'ID') as call, pg_temp.error_of(call)
from unnest(array[
    $$insert into gov_entities (owner_id, id, type_id) values ('ice-1', 'new', 'ice-org')$$,
    $$update gov_entities set display_name = 'x' where owner_id = 'ice-1'$$,
    $$update gov_entities set display_name = 'x' where owner_id like 'ice-%'$$,
    $$delete from gov_entities where owner_id = 'ice-1' and id = 't'$$,
    $$insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('ice-1', 't', 'ice-calls', 1)$$,
    $$update gov_assignments set usage_limit = 1 where owner_id = 'ice-1' and name = ''$$,
    $$delete from gov_assignments where owner_id = 'ice-1'$$,
    $$update gov_default_assignments set usage_limit = 1 where owner_id = 'ice-1'$$,
    $$delete from gov_boosts where owner_id = 'ice-1'$$,
    $$delete from gov_grants where owner_id = 'ice-1'$$,
    $$delete from gov_prices where owner_id = 'ice-1'$$,
    $$insert into gov_alert_policies (owner_id, thresholds) values ('ice-1', '{50}')$$,
    $$insert into gov_increase_requests (owner_id, entity_id, capability_id, amount) values ('ice-1', 'o', 'ice-calls', 1)$$,
    $$insert into gov_boosts (owner_id, entity_id, capability_id, amount) values ('ice-1', 'o', 'ice-calls', 1)$$,
    $$truncate gov_prices$$,
    $$select gov_upsert_entities('ice-1', '[{"id": "o", "displayName": "x"}]')$$,
    $$select gov_archive_entities('ice-1', '{t}')$$,
    $$select gov_move_entity('ice-1', 't', null)$$,
    $$select gov_block('ice-1', 't')$$,
    $$select gov_forget_entity('ice-1', 't')$$,
    $$select gov_upsert_assignments('ice-1', '[{"entityId": "o", "capabilityId": "ice-calls", "usageLimit": 1, "cadence": "P1M"}]')$$,
    $$select gov_upsert_default_assignments('ice-1', '[{"typeId": "ice-team", "capabilityId": "ice-calls", "usageLimit": 1, "cadence": null}]')$$,
    $$select gov_upsert_prices('ice-1', '[{"capabilityId": "ice-calls", "quantity": "tokens", "price": 2, "validFrom": "2026-02-01T00:00:00Z"}]')$$,
    $$select gov_boost('ice-1', 'o', 'ice-calls', 1)$$,
    $$select gov_request_increase('ice-1', 'o', 'ice-calls', 1)$$,
    $$select gov_decide_increase('$$ || :'asked' || $$', true)$$,
    $$select gov_withdraw_increase('$$ || :'asked' || $$')$$,
    $$select gov_grant_credits('ice-1', 'o', 'ice-calls', 1, name => 'pool')$$,
    $$select gov_void_grant('$$ || :'grant_id' || $$')$$,
    $$select gov_set_alert_policy('ice-1', '{50}')$$,
    $$select gov_recount('$$ || :'budget' || $$')$$
]) as call;
-- What concerns everybody, and others, goes on.
select pg_temp.error_of($$update gov_capabilities set unit = 'call' where id = 'ice-calls'$$) as capability,
    pg_temp.error_of($$update gov_entities set display_name = 'x' where owner_id = 'ice-2'$$) as other_owner,
    pg_temp.error_of($$insert into gov_prices (owner_id, capability_id, quantity, price, valid_from) values (null, 'ice-calls', 'tokens', 1, '2026-01-01Z')$$) as price_of_all;
select entity_id, current_usage, reserved_usage from gov_budgets where owner_id = 'ice-1' and name = '' and capability_id = 'ice-calls' order by 1;

-- Reports go on; who is frozen is in gov_exceptions, and who did it in gov_changes.
select owner_id, entity_id, exception, reason like 'frozen by %' as says_who from gov_exceptions where owner_id like 'ice-%' and exception = 'frozen';
select table_name, action, key from gov_changes where owner_id = 'ice-1' and table_name = 'gov_frozen_owners';
select count(*) as denials from gov_denials where owner_id = 'ice-1' and reason = 'Frozen';

-- It is undone as it was done.
begin;
select gov_thaw_owner('ice-1') as was_frozen;
select is_granted from gov_check('ice-1', 'ice-calls', 1, null, '{t}');
rollback;
select is_granted from gov_check('ice-1', 'ice-calls', 1, null, '{t}');
begin;
savepoint before;
select gov_thaw_owner('ice-1') as was_frozen;
select is_granted from gov_consume('ice-1', 'ice-calls', 1, null, '{t}');
rollback to before;
select pg_temp.error_of($$select gov_consume('ice-1', 'ice-calls', 1, null, '{t}')$$);
commit;
begin;
select gov_freeze_owner('ice-2') as is_new;
select is_granted, denied_reason from gov_check('ice-2', 'ice-calls', 1, null, '{t}');
select pg_temp.error_of($$select gov_consume('ice-2', 'ice-calls', 1, null, '{t}')$$);
select pg_temp.error_of($$update gov_entities set display_name = 'y' where owner_id = 'ice-2'$$);
rollback;
select is_granted from gov_consume('ice-2', 'ice-calls', 1, null, '{t}');

-- Deleting an owner goes, and leaves it frozen: nobody is granted what no budget governs any more.
select gov_delete_owner('ice-1');
select count(*) as entities from gov_entities where owner_id = 'ice-1';
select is_granted, denied_reason from gov_check('ice-1', 'ice-calls', 1, null, '{t}');
select pg_temp.error_of($$select gov_consume('ice-1', 'ice-calls', 1, null, '{t}')$$);
select gov_thaw_owner('ice-1') as was_frozen;
select gov_thaw_owner('ice-1') as was_frozen;
select is_granted, denied_reason from gov_check('ice-1', 'ice-calls', 1, null, '{t}');
select action from gov_changes where owner_id = 'ice-1' and table_name = 'gov_frozen_owners' order by id;

-- Refused
select regexp_replace(call, '[0-9a-f]{8}-[0-9a-f-]{27}|(?<=reverse.)\d+', 'ID') as call, pg_temp.error_of(call)
from unnest(array[
    $$select gov_freeze_owner(null)$$,
    $$select gov_freeze_owner('')$$,
    $$select gov_freeze_owner(repeat('x', 256))$$,
    $$select gov_thaw_owner(null)$$
]) as call;
begin;
select is_granted from gov_consume('ice-2', 'ice-calls', 1, null, '{t}');
select pg_temp.error_of($$select gov_freeze_owner('ice-2')$$);
rollback;
set governance.owner = 'ice-2';
select pg_temp.error_of($$select gov_freeze_owner('ice-4')$$), pg_temp.error_of($$select gov_thaw_owner('ice-4')$$);
reset governance.owner;

select gov_delete_owner('ice-2');
select gov_delete_owner('ice-1');
delete from gov_prices where capability_id = 'ice-calls';
delete from gov_capabilities where id in ('ice-calls', 'ice-jobs');
delete from gov_entity_types where id in ('ice-org', 'ice-team');
