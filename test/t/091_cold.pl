# A call that finds nothing in the cache reads what it is about, however long the owner's tail is and however many holds are
# open: counted in shared buffers. And it is as right as before, whatever was taken out of the cache, and when.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;
use GovGrowth;

# Nothing is rolled up, unless a test says so: the tail is as long as the ledger.
my $node = gov_node('cold', conf => "autovacuum = off\nshared_buffers = 64MB\nmax_wal_size = 4GB\ngovernance.rollup_interval = '1h'");
my $session;
my $idle;

sub ask
{
	return gov_ask($session, $_[0]);
}

# A transaction that has drawn an id and stays: no round gets past it.
sub hold_the_tail
{
	$session = $node->background_psql('postgres', on_error_stop => 0);
	$idle = $node->background_psql('postgres', on_error_stop => 0);
	gov_ask($idle, 'begin');
	gov_ask($idle, q{select gov_ingest('idle', 'tokens', 1)});
	return;
}

sub let_go
{
	$_->quit foreach ($idle, $session);
	return;
}

sub allowed
{
	my ($owner, $agent, $amount) = @_;

	return "select gov_allowed('$owner', 'tokens', $amount, null, array['$agent'])";
}

# So many uses of 1 by an agent, in one statement.
sub use_up
{
	my ($owner, $agent, $uses) = @_;

	return ask("select count(gov_consume('$owner', 'tokens', 1, null, array['$agent'])) from generate_series(1, $uses)");
}

gov_grow_owner($node, 'postgres', $_) foreach ('large', 'small', 'wide');
$node->safe_psql('postgres', qq{
	insert into gov_entities (owner_id, id, type_id, parent_id)
	select 'wide', 'leaf-' || n, 'agent', 'team-1' from generate_series(1, 6000) n;
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
	select 'wide', 'leaf-' || n, 'tokens', 1000, 'P1M' from generate_series(1, 6000) n;
	update gov_assignments set usage_limit = 100 where owner_id = 'small' and entity_id like 'agent%';
	vacuum analyze});

# ---------------------------------------------------------------- the tail of an owner

hold_the_tail();
use_up('large', 'agent-1-1', 20000);
use_up('small', 'agent-1-1', 60);
ask('select gov_refresh()');
ask(allowed('small', 'agent-1-1', 1));
ask(allowed('large', 'agent-1-1', 1));
cmp_ok(gov_blocks($session, allowed('large', 'agent-1-2', 1)), '<=', 20, 'behind a tail that was read the next cold call does not');
cmp_ok(gov_blocks($session, allowed('small', 'agent-1-2', 1)), '<=', 20, 'nor that of another owner');

my $other = $node->background_psql('postgres');
gov_ask($other, allowed('small', 'agent-1-9', 1));
cmp_ok(gov_blocks($other, allowed('large', 'agent-1-3', 1)), '<=', 20, 'nor another session');
$other->quit;

is(ask(allowed('small', 'agent-1-1', 40)), 't', 'what was used before the refresh is counted');
is(ask(allowed('small', 'agent-1-1', 41)), 'f', 'and no less');

# ---------------------------------------------------------------- what becomes visible without having been in the cache

ask('begin');
ask(q{insert into gov_entities (owner_id, id, type_id, parent_id) values ('large', 'new', 'agent', 'team-1')});
ask(q{insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('large', 'new', 'tokens', 100)});
use_up('large', 'new', 60);
ask('commit');
is(ask(allowed('large', 'new', 41)), 'f', 'a budget that was made and used in one transaction has its usage');
is(ask(allowed('large', 'new', 40)), 't', 'and no more');

ask('begin');
ask(q{update gov_assignments set cadence = null where owner_id = 'small' and entity_id = 'agent-1-2'});
use_up('small', 'agent-1-2', 10);
ask('savepoint one');
use_up('small', 'agent-1-2', 20);
ask('rollback to one');
ask(q{update gov_assignments set usage_limit = 90 where owner_id = 'small' and entity_id = 'agent-1-3'});
is(ask(allowed('small', 'agent-1-2', 91)), 'f', 'a view that is read anew has what was charged to a new counter');
is(ask(allowed('small', 'agent-1-1', 41)), 'f', 'as have the budgets of others');
ask('commit');
is(ask(allowed('small', 'agent-1-2', 90)), 't', 'without what was rolled back');
is(ask(allowed('small', 'agent-1-2', 91)), 'f', 'and after the commit as well');
is($node->safe_psql('postgres', 'select count(*) from gov_verify()'), '0', 'gov_verify finds nothing');

# ---------------------------------------------------------------- many cold entities

my $many = q{select count(gov_consume('wide', 'tokens', 1, null, array['leaf-' || n])) from generate_series(%d, %d) n};

ask(allowed('wide', 'leaf-6000', 1));
my $first = gov_blocks($session, sprintf($many, 1, 500));
my $second = gov_blocks($session, sprintf($many, 1001, 3000));
note "500 cold leaves in one statement: $first blocks; 2,000: $second";
cmp_ok($second, '<', 6 * $first, 'the price of a cold leaf does not grow with those before it');

my $batch = q{select count(*) from gov_ingest_many('wide', (select jsonb_agg(jsonb_build_object('capabilityId', 'tokens', 'entityIds',
	array['leaf-' || n])) from generate_series(%d, %d) n)) where error is not null};
is(ask(sprintf($batch, 3001, 3500)), '0', 'a batch of cold leaves is recorded');
my $cold = gov_blocks($session, sprintf($batch, 3501, 4000));
my $warm = gov_blocks($session, sprintf($batch, 3501, 4000));
note "a batch of 500 cold leaves: $cold blocks, warm $warm";
cmp_ok($cold - $warm, '<=', 500 * 12, 'and loads each at the price of its own rows');

# ---------------------------------------------------------------- own changes

ask(q{create function pg_temp.grow(first int, last int) returns void language plpgsql as $$
begin
	for n in first .. last loop
		insert into gov_entities (owner_id, id, type_id, parent_id) values ('wide', 'own-' || n, 'agent', 'team-1');
		insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('wide', 'own-' || n, 'tokens', 10);
		perform gov_consume('wide', 'tokens', 1, null, array['own-' || n]);
	end loop;
end $$});
ask('begin');
ask('select pg_temp.grow(1, 20)');
$first = gov_blocks($session, 'select pg_temp.grow(21, 120)');
$second = gov_blocks($session, 'select pg_temp.grow(121, 520)');
note "100 changes with a call each: $first blocks; 400: $second";
cmp_ok($second, '<', 6 * $first, 'the price of a change and a call does not grow with those before it');
ask('commit');
is(ask(allowed('wide', 'own-1', 10)), 'f', 'what was used is counted');

# ---------------------------------------------------------------- holds

ask(q{select count(gov_reserve('large', 'tokens', 1, null, array['agent-1-5'], null, interval '1 hour')) from generate_series(1, 5000)});
ask('select gov_refresh()');
ask(allowed('large', 'agent-1-1', 1));
cmp_ok(gov_blocks($session, allowed('large', 'agent-1-6', 1)), '<=', 20, 'open holds of others are not read');
is(ask(q{select reserved_usage from gov_headroom('large', 'tokens', 0, null, array['agent-1-5']) where entity_id = 'agent-1-5'}), '5000', 'those of a budget all are');

ask(q{select count(gov_reserve('wide', 'tokens', 1, null, array['leaf-' || n], null, interval '1 second')) from generate_series(4001, 4400) n});
ask('select gov_refresh()');
ok( $node->poll_query_until('postgres', q{select count(*) = 400 from gov_reservations where state = 'expired'}),
	'holds of agents that are not in the cache expire');
let_go();

# ---------------------------------------------------------------- rows that the engine has not written

sub write_by_hand
{
	my ($agent) = @_;

	return qq{insert into gov_events (owner_id, capability_id, amount, entity_ids, occurred_at, recorded_at, counter_ids, window_starts, window_ends)
		select a.owner_id, a.capability_id, 60, array[a.entity_id], now(), now(), array[a.counter_id], array[w.window_start], array[w.window_end]
		from gov_assignments a, gov_window('P1M', null, 'UTC', now()) w
		where a.owner_id = 'small' and a.entity_id = '$agent'};
}

# The role of whoever applies changes: for it no statement has fired.
$node->safe_psql('postgres', q{select gov_allowed('small', 'tokens', 1, null, array['agent-1-1'])});
foreach my $case ([ 'origin', 'agent-1-8' ], [ 'replica', 'agent-1-9' ])
{
	my ($role, $agent) = @$case;
	my $writer = $node->background_psql('postgres', on_error_stop => 0);

	gov_ask($writer, "set session_replication_role = $role");
	gov_ask($writer, 'alter table gov_events disable trigger gov_events_note') if $role eq 'replica';
	gov_ask($writer, 'begin');
	gov_ask($writer, write_by_hand($agent));
	gov_ask($writer, 'commit');
	is($node->safe_psql('postgres', allowed('small', $agent, 41)), 'f', "what is written as $role is counted");
	is($node->safe_psql('postgres', allowed('small', $agent, 40)), 't', 'and no more');
	$writer->quit;
}
$node->safe_psql('postgres', 'select gov_refresh()');
is($node->safe_psql('postgres', q{select string_agg(tgenabled::text, '' order by tgname) from pg_trigger where tgname in ('gov_events_note', 'gov_events_note_applied')}),
	'AR', 'gov_refresh repairs the trigger that tells');

# ---------------------------------------------------------------- a restart

$node->restart;
hold_the_tail();
is(ask(allowed('small', 'agent-1-1', 41)), 'f', 'after a restart what is not rolled up is counted');
is(ask(allowed('small', 'agent-1-1', 40)), 't', 'and no more');
cmp_ok(gov_blocks($session, allowed('small', 'agent-1-7', 1)), '<=', 20, 'and read once');
let_go();
gov_roll_up($node, 'postgres');
is($node->safe_psql('postgres', 'select count(*) from gov_verify()'), '0', 'gov_verify finds nothing');

$node->stop;
done_testing();
