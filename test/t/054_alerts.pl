# 32 clients use, roll back, and cross: the alerts are exactly those that the ledger implies, each raised by the transaction that
# crossed, and told once; also after a crash in the midst of it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovSession;
use GovTest;

use constant { CLIENTS => 32, LEAVES => 20, TRANSACTIONS => 40 };

# No round but those asked for: what is there before is what commits have raised.
my $node = gov_node('alerts', conf => <<CONF);
governance.rollup_interval = '1h'
max_connections = 60
fsync = off
restart_after_crash = on
CONF
my $dir = PostgreSQL::Test::Utils::tempdir;

# A root that everybody shares; leaves for ever and, of the same entities, for each second.
$node->safe_psql('postgres', <<SQL);
insert into gov_entity_types (id) values ('org'), ('user');
insert into gov_capabilities (id) values ('tokens');
insert into gov_entities (owner_id, id, type_id) values ('acme', 'root', 'org');
insert into gov_entities (owner_id, id, type_id, parent_id) select 'acme', 'leaf-' || n, 'user', 'root' from generate_series(1, ${\LEAVES}) n;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, alert_thresholds) values ('acme', 'root', 'tokens', 3000, '{1,2,5,10,20,50,90,100,150,400}');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) select 'acme', 'leaf-' || n, 'tokens', 10 * n from generate_series(1, ${\LEAVES}) n;
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence) select 'acme', 'leaf-' || n, 'tokens', 'second', n, 'PT1S' from generate_series(1, ${\LEAVES}) n;
select gov_set_alert_policy(null, '{10,33.333333333,80,100,200,1000,1500,2000,2500,3000}');

-- Nothing is ever given back: a threshold was crossed if it is reached now.
create view implied as
select a.id as assignment_id, u.window_start, t.threshold
from (
	select x.counter_id, x.window_start, sum(e.amount) as amount
	from gov_events e, unnest(e.counter_ids, e.window_starts) x (counter_id, window_start)
	group by 1, 2
) u
join gov_assignments a on a.counter_id = u.counter_id
cross join lateral unnest(coalesce(a.alert_thresholds, (select thresholds from gov_alert_policies where owner_id is null))) t (threshold)
where u.amount >= a.usage_limit * t.threshold / 100;

create view raised as select assignment_id, window_start, threshold from gov_alerts;

-- What one transaction has used of a budget in a window; each has a name of its own.
create view used as
select e.caller, a.id as assignment_id, x.window_start, sum(e.amount) as amount
from gov_events e, unnest(e.counter_ids, e.window_starts) x (counter_id, window_start)
join gov_assignments a using (counter_id)
group by 1, 2, 3;
SQL

append_to_file("$dir/use.sql", <<'EOS');
\set a random(1, 20)
\set b random(1, 20)
\set x random(0, 4)
\set how random(1, 10)
begin;
select set_config('governance.caller', :client_id || ' ' || txid_current(), true);
select event_id from gov_ingest('acme', 'tokens', :x + 0.25, null, array['leaf-' || :a]);
savepoint s;
select event_id from gov_ingest('acme', 'tokens', :x * 3, null, array['leaf-' || :b]);
select count(*) from gov_ingest_many('acme', '[{"capabilityId": "tokens", "amount": 1, "entityIds": ["leaf-1"]}, {"capabilityId": "nonsense"}, {"capabilityId": "tokens", "amount": 1.5, "entityIds": ["leaf-2", "leaf-3"]}]');
\if :how < 4
rollback to s;
\endif
select is_granted from gov_consume('acme', 'tokens', 1, null, array['leaf-' || :b]);
\if :how = 1
rollback;
\elif :how = 10
do $$ begin perform gov_ingest('acme', 'tokens', 2, null, '{leaf-20}'); perform 1 / 0; exception when division_by_zero then null; end $$;
end;
\else
commit;
\endif
EOS

sub load
{
	my ($meanwhile) = @_;
	my $handle = IPC::Run::start(
		[ 'pgbench', '-n', '-c', CLIENTS, '-j', 2, $meanwhile ? ('-T', 60) : ('-t', TRANSACTIONS), '-f', "$dir/use.sql", $node->connstr('postgres') ],
		'>', \my $out, '2>', \my $err);
	$meanwhile->() if $meanwhile;
	$handle->finish;
	return ($handle->result(0), $err);
}

sub difference
{
	my ($where) = @_;
	return $node->safe_psql('postgres', qq{
		(select 'missing', i.* from implied i join gov_assignments a on a.id = i.assignment_id where $where except select 'missing', r.* from raised r)
		union all
		(select 'false', r.* from raised r except select 'false', i.* from implied i)});
}

# ---------------------------------------------------------------- who has crossed, and who was told

# The worker makes one round when it starts, which the first use has it do.
$node->safe_psql('postgres', q{select gov_ingest('acme', 'tokens', 1, null, '{nobody}')});
$node->poll_query_until('postgres', 'select exists (select from gov_rollup_state where watermark > 0)') or die;
my $listener = GovSession->new($node, 'listener');
$listener->ask('listen governance_alerts');
my ($status, $err) = load();
is($status, 0, 'the clients have done their work') or diag($err);
is(difference('a.cadence is null'), '', 'commits have raised what the ledger implies, of windows that did not end');
cmp_ok($node->safe_psql('postgres', 'select count(*) from gov_alerts'), '>', 50, 'that is something');
is($node->safe_psql('postgres', q{
	select l.*, u.amount
	from gov_alerts l
	join gov_assignments a on a.id = l.assignment_id
	left join gov_events e on e.id = l.event_id
	left join used u on u.caller = e.caller and u.assignment_id = l.assignment_id and u.window_start = l.window_start
	where not coalesce(l.usage >= l.usage_limit * l.threshold / 100 and l.usage - u.amount < l.usage_limit * l.threshold / 100, false)}),
	'', 'each by the transaction that crossed');
is($node->safe_psql('postgres', q{
	select l.*
	from gov_alerts l
	join gov_events e on e.id = l.event_id
	where e.id is distinct from (
		select s.id
		from (
			select v.id, sum(v.amount) over (order by v.id) + l.usage - u.amount as usage
			from used u
			join gov_events v on v.caller = u.caller
			cross join unnest(v.counter_ids, v.window_starts) x (counter_id, window_start)
			join gov_assignments a on a.counter_id = x.counter_id and a.id = u.assignment_id
			where u.caller = e.caller and u.assignment_id = l.assignment_id and u.window_start = l.window_start and x.window_start = l.window_start) s
		where s.usage >= l.usage_limit * l.threshold / 100
		order by s.id limit 1)}),
	'', 'and the event is the one that reached the threshold');

# Every alert is told once, and each transaction tells once.
sub told
{
	my $answer = $listener->ask('select 1');
	return $answer =~ /payload "\{"alertIds": \[([0-9, ]+)\]\}"/g;
}

my @told = told();
is(join(' ', sort { $a <=> $b } map { split /, / } @told),
	$node->safe_psql('postgres', q{select string_agg(id::text, ' ' order by id) from gov_alerts}), 'every alert was told, once');
is(scalar @told, $node->safe_psql('postgres', 'select count(distinct e.caller) from gov_alerts l join gov_events e on e.id = l.event_id'), 'in one notification of each transaction');

gov_roll_up($node, 'postgres');
is(difference('true'), '', 'the rollup has raised the rest');
@told = (@told, told());
is(join(' ', sort { $a <=> $b } map { split /, / } @told),
	$node->safe_psql('postgres', q{select string_agg(id::text, ' ' order by id) from gov_alerts}), 'and told it');

# ---------------------------------------------------------------- more than a notification holds

$node->safe_psql('postgres', <<'SQL');
insert into gov_entities (owner_id, id, type_id) values ('many', 'root', 'org');
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, alert_thresholds)
select 'many', 'root', 'tokens', n, 1, '{1,2,3,4,5,6,7,8,9,10}' from generate_series(1, 250) n;
select gov_ingest('many', 'tokens', 1, null, '{root}');
SQL
my @long = told();
is(scalar(map { split /, / } @long), 2500, '2,500 alerts of one event');
cmp_ok(scalar @long, '>', 1, 'in several notifications');
cmp_ok((sort { $a <=> $b } map { length("{\"alertIds\": [$_]}") } @long)[-1], '<', 8000, 'none of which is too long');
cmp_ok((sort { $a <=> $b } map { length } @long)[-1], '>', 7900, 'and the first is full');

# ---------------------------------------------------------------- a crash

$node->safe_psql('postgres', q{select gov_delete_owner('many')});
gov_roll_up($node, 'postgres');
load(sub {
	$node->poll_query_until('postgres', q{select count(*) > 200 from gov_events where id > (select watermark from gov_rollup_state)}) or die 'no load';
	kill 9, $node->safe_psql('postgres', q{select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid() limit 1});
});
gov_await($node, 'postgres', 'select 1');

# What was about to commit had been booked, and those whose commits came before the crash raised their alerts with it: such an alert
# stands, as it does when a commit fails. So it was raised a few transactions before the crash, of six events each.
$node->safe_psql('postgres', <<SQL);
create view stands as
select r.*
from raised r
join gov_alerts l using (assignment_id, window_start, threshold)
left join implied i using (assignment_id, window_start, threshold)
where i.assignment_id is null and (select count(*) from gov_events e where e.id > l.event_id) <= 6 * 5 * ${\CLIENTS};
create table counted_too_much as table stands;
create or replace view raised as
select assignment_id, window_start, threshold from gov_alerts
except
(select * from counted_too_much except select * from implied);
SQL
is(difference('a.cadence is null'), '', 'after a crash: what the ledger implies');
gov_roll_up($node, 'postgres');
is(difference('true'), '', 'after a crash, rolled up');
load();
is(difference('a.cadence is null'), '', 'and from there on');
is($node->safe_psql('postgres', 'select * from gov_verify()'), '', 'the counts equal the ledger');
$node->stop;
done_testing();
