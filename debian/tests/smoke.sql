-- A new extension: a use within a budget is granted, one past it is denied, and the worker rolls up what was used.

create schema governance;
create extension governance schema governance;
set search_path = governance;

insert into gov_entity_types (id)
values ('team');

insert into gov_capabilities (id, kind, unit)
values ('tokens', 'credit', 'token');

insert into gov_entities (owner_id, id, type_id)
values ('acme', 'team-1', 'team');

insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('acme', 'team-1', 'tokens', 100, 'P1D');

do $$
begin
    assert (select is_granted from gov_consume('acme', 'tokens', 60, null, '{team-1}')), 'a use within the budget is granted';
    assert (select denied_reason = 'BudgetExceeded' from gov_consume('acme', 'tokens', 60, null, '{team-1}')),
        'a use past the budget is denied';
end
$$;

-- The use above is committed now, and has started the worker.
do $$
declare
    deadline constant timestamptz := clock_timestamp() + '1 minute';
begin
    while not exists (select from gov_usage where amount = 60) loop
        assert clock_timestamp() < deadline, 'the worker rolls up within a minute';
        perform pg_sleep(0.05);
    end loop;
    assert (select value > 0 from gov_stats where name = 'worker_pid'), 'the worker is alive';
    assert not exists (select from gov_setup_check()), 'nothing of the extension is missing';
end
$$;

-- Who has 1.0.0 can update.
do $$
begin
    assert (select path = '1.0.0--' || target
            from pg_extension_update_paths('governance')
            where source = '1.0.0'
            and target = (select extversion from pg_extension where extname = 'governance')), 'the upgrade script is there';
end
$$;
