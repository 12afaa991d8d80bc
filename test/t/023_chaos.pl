# Sessions that do everything at once: usage, batches, keys, several capabilities, prices, windows of first uses, catalog changes, savepoints, rollbacks, rounds and dropped caches,
# with statements cancelled among them. When they have ended, the counts are what the ledger says, and every answer is the oracle's.
#     CHAOS_CALLS=n prove ...    n times as long for each session (40 unless told)
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $calls = $ENV{CHAOS_CALLS} // 40;

my $node = PostgreSQL::Test::Cluster->new('chaos');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'governance'
governance.cache_size = '4MB'
governance.rollup_interval = '10ms'
deadlock_timeout = '50ms'
});
$node->start;
$node->safe_psql('postgres', 'create extension governance');
$node->safe_psql('postgres', slurp_file('test/oracle.sql'));
$node->safe_psql('postgres', <<'SQL');
insert into gov_entity_types (id, attribution_keys) values ('org', '{}'), ('user', '{userId}');
insert into gov_capabilities (id) values ('tokens'), ('requests');
insert into gov_prices (capability_id, quantity, price, per, valid_from) values ('tokens', 'in', 1, 3, '2020-01-01');
insert into gov_entities (owner_id, id, type_id) select 'chaos', 'r' || n, 'org' from generate_series(0, 2) as n;
insert into gov_entities (owner_id, id, type_id, parent_id) select 'chaos', 'u' || n, 'user', 'r' || n % 3 from generate_series(0, 60) as n;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
select 'chaos', e.id, 'tokens', 1000, case when e.id like 'r%' then 'P1M' when hashtext(e.id) % 2 = 0 then 'PT10S' end from gov_entities as e where e.owner_id = 'chaos';
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, window_kind)
select 'chaos', e.id, 'requests', 500, case when e.id like 'r%' then 'PT3S' else 'PT1S' end, 'first_use' from gov_entities as e where e.owner_id = 'chaos';

create procedure step()
language plpgsql
as $$
declare
    what float := random();
    one text := 'u' || (random() * 60)::int;
    other text := 'u' || (random() * 60)::int;
    hold uuid;
begin
    if what < 0.08 then
        perform gov_consume_all('chaos', '{"tokens": {"in": 4}, "requests": 1}', null, array[one, other], case when random() < 0.3 then 'call-' || (random() * 500)::int end);
    elsif what < 0.12 then
        select reservation_id into hold from gov_reserve_all('chaos', '{"tokens": {"in": 9}, "requests": 1}', null, array[one]);
        if hold is not null and random() < 0.8 then
            perform gov_settle_all(hold, jsonb_build_object('tokens', jsonb_build_object('in', (random() * 20)::int)));
        elsif hold is not null then
            perform gov_release(hold);
        end if;
    elsif what < 0.16 then
        perform gov_consume_many(jsonb_build_array(
            jsonb_build_object('ownerId', 'chaos', 'capabilityId', 'requests', 'amount', 1, 'entityIds', array[one]),
            jsonb_build_object('ownerId', 'chaos', 'capabilityId', 'tokens', 'amount', 3, 'entityIds', array[other], 'idempotencyKey', 'call-' || (random() * 500)::int),
            jsonb_build_object('ownerId', 'chaos', 'capabilityId', 'requests', 'amount', 2, 'entityIds', array[other, one])));
    elsif what < 0.18 then
        perform gov_ingest_all('chaos', '{"tokens": -1, "requests": 3}', null, array[one], null, now() - random() * interval '5 seconds');
    elsif what < 0.45 then
        perform gov_ingest('chaos', 'tokens', (random() * 10 - 3)::numeric, null, array[one, other]);
    elsif what < 0.55 then
        perform gov_ingest('chaos', 'tokens', 1, null, '{u1,u2}', 'key-' || (random() * 500)::int);
    elsif what < 0.65 then
        perform gov_allowed('chaos', 'tokens', 1, jsonb_build_object('userId', other), array[one]);
    elsif what < 0.70 then
        update gov_assignments set usage_limit = (random() * 1000)::int where owner_id = 'chaos' and entity_id = one;
        perform gov_ingest('chaos', 'tokens', 1, null, array[one, other]);
    elsif what < 0.73 then
        update gov_assignments set cadence = case when cadence is null then 'PT2S' end where owner_id = 'chaos' and entity_id = one and capability_id = 'tokens';
        perform gov_ingest('chaos', 'tokens', 2, null, array[one]);
    elsif what < 0.76 then
        update gov_entities set parent_id = 'r' || (random() * 2)::int where owner_id = 'chaos' and id = one;
        perform gov_ingest('chaos', 'tokens', 3, null, array[one]);
    elsif what < 0.79 then
        delete from gov_assignments where owner_id = 'chaos' and entity_id = one;
        perform gov_ingest('chaos', 'tokens', 3, null, array[one]);
    elsif what < 0.83 then
        insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
        values ('chaos', one, 'tokens', 100, case when random() < 0.5 then 'PT5S' end)
        on conflict do nothing;
        perform gov_ingest('chaos', 'tokens', 3, null, array[one]);
    elsif what < 0.85 then
        update gov_entities set archived_at = case when archived_at is null then now() end where owner_id = 'chaos' and id = one;
        perform gov_ingest('chaos', 'tokens', 3, null, array[one]);
    elsif what < 0.86 then
        perform gov_refresh();
    elsif what < 0.88 then
        perform gov_maintain();
    elsif what < 0.92 then
        perform gov_ingest_many('chaos', jsonb_build_array(
            jsonb_build_object('capabilityId', 'tokens', 'amount', 2, 'entityIds', array[one]),
            jsonb_build_object('capabilityId', 'nonsense'),
            jsonb_build_object('capabilityId', 'tokens', 'amount', -1, 'entityIds', array[other], 'idempotencyKey', 'many-' || (random() * 300)::int)));
    else
        perform gov_ingest('chaos', 'tokens', 5, null, array[one]);
        begin
            perform gov_ingest('chaos', 'tokens', 7, null, array[other]);
            perform gov_ingest('chaos', 'tokens', -7, null, array[one]);
            if random() < 0.5 then
                raise exception 'no';
            end if;
        exception
            when raise_exception then
                null;
        end;
        if random() < 0.3 then
            raise exception 'no';
        end if;
    end if;
end
$$;

-- Errors that a retry answers are part of it; any other ends the session's run.
create procedure steps(n int)
language plpgsql
as $$
begin
    for i in 1..n loop
        begin
            call step();
        exception
            -- a key may be that of a call of another kind
            when raise_exception or deadlock_detected or query_canceled or unique_violation then
                null;
        end;
        if random() < 0.5 then
            commit;
        elsif random() < 0.2 then
            rollback;
        end if;
    end loop;
end
$$;
SQL

# A cancelled call ends alone; what it had committed stays.
my $script = ("call steps(40);\n" x $calls) . "\\q\n";
my @sessions = map { { in => $script, out => '', err => '' } } 1 .. 5;
for my $session (@sessions)
{
	$session->{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$session->{in}, '>', \$session->{out}, '2>', \$session->{err});
}
my $cancelled = 0;
while (my @running = grep { $_->{run}->pumpable } @sessions)
{
	$_->{run}->pump_nb for @running;
	$cancelled++ if 't' eq $node->safe_psql('postgres', q{
		select pg_cancel_backend(pid) from (select pid from pg_stat_activity where query like 'call steps%' and state = 'active' order by random() limit 1) as one});
	select(undef, undef, undef, 0.05);
}
for my $session (@sessions)
{
	IPC::Run::finish($session->{run});
	my @errors = grep { /ERROR|FATAL|PANIC/ && !/canceling statement due to user request/ } split(/\n/, $session->{err});
	is(join("\n", @errors), '', 'nothing failed but what was cancelled');
}

cmp_ok($node->safe_psql('postgres', 'select count(*) from gov_events'), '>', 40 * $calls, 'much was used');
cmp_ok($cancelled, '>', 0, 'and something was cancelled');
note "$cancelled cancels were sent";

sub agrees
{
	my ($when) = @_;
	is($node->safe_psql('postgres', q{select string_agg(v::text, E'\n') from gov_verify() as v}), '', "gov_verify finds nothing: $when");
	is($node->safe_psql('postgres', q{
		select string_agg(e.id::text, ' ') from gov_events as e
		where e.call_event_ids is not null and (select count(*) from gov_events as o where o.id = any (e.call_event_ids) and o.call_event_ids = e.call_event_ids) <> cardinality(e.call_event_ids)}),
		'', "each call is there as a whole: $when");
	is($node->safe_psql('postgres', q{
		select string_agg(d.difference, E'\n')
		from gov_entities as e, lateral (select oracle.difference('chaos', 'tokens', 1, null, array[e.id]) as difference) as d}), '', "the oracle agrees: $when");
	return;
}

is($node->safe_psql('postgres', q{select count(distinct call_event_ids) > 50, count(*) filter (where quantities is not null) > 50 from gov_events}), 't|t', 'of several capabilities, and by quantities, too');
agrees('at the end');
$node->safe_psql('postgres', 'select gov_refresh()');
agrees('with nothing cached');
$node->restart;
agrees('restarted');
$node->stop;
done_testing();
