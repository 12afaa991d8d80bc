# A window ends while transactions have usage in it: what they used stays in their window's history or goes with their
# rollback, and the new window knows nothing of it.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('turn');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'governance'
autovacuum = off
statement_timeout = '60s'
timezone = 'UTC'
});
$node->start;
$node->safe_psql('postgres', q{
create extension governance;
insert into gov_entity_types (id) values ('org'), ('agent');
insert into gov_capabilities (id) values ('tokens');
insert into gov_entities (owner_id, id, type_id, parent_id) values ('turn', 'acme', 'org', null), ('turn', 'bot', 'agent', 'acme');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('turn', 'bot', 'tokens', 100, 'P1D'), ('turn', 'acme', 'tokens', 1000, null);
});

my ($one, $other) = map { $node->background_psql('postgres') } 1 .. 2;

# The engine's clock stands just after a midnight of its own, so that the real one's is far off.
my $seconds = $node->safe_psql('postgres', q{select ceil(extract(epoch from date_trunc('day', now()) + interval '1 day 1 minute' - now()))});
my $day = -1;

sub next_day
{
	$day++;
	my $offset = $seconds + 86400 * $day;
	$node->safe_psql('postgres', "alter system set governance.clock_offset = '${offset}s'");
	$node->reload;
	for my $session ($one, $other)
	{
		my $is_seen = 0;
		for (1 .. 1000)
		{
			$is_seen = $session->query_safe(qq{select setting = '$offset' from pg_settings where name = 'governance.clock_offset'}) eq 't';
			last if $is_seen;
			select(undef, undef, undef, 0.01);
		}
		die "the offset is not in force\n" unless $is_seen;
	}
	return;
}

sub use_of
{
	my ($session, $amount) = @_;
	$session->query_safe("select is_duplicate from gov_ingest('turn', 'tokens', $amount, null, '{bot}')") eq 'f' or die;
	return;
}

# What is left of today's budget, and what is used of the one that never resets.
sub left
{
	my ($session) = @_;
	return $session->query_safe(q{select string_agg(case when entity_id = 'bot' then remaining else current_usage end::text, ' ' order by entity_id desc) from gov_headroom('turn', 'tokens', 0, null, '{bot}')});
}

sub history
{
	my ($what, $expected) = @_;
	my $is_all = q{exists (select from gov_rollup_state where watermark >= (select max(id) from gov_events))};
	for (1 .. 500)
	{
		$node->safe_psql('postgres', 'select gov_maintain()');
		last if $node->safe_psql('postgres', "select $is_all") eq 't';
	}
	is($node->safe_psql('postgres', q{select coalesce(string_agg(trim_scale(u.amount)::text, ' ' order by u.window_start), '') from gov_usage as u join gov_assignments as a on a.id = u.assignment_id where a.entity_id = 'bot'}), $expected, "history: $what");
	is($node->safe_psql('postgres', 'select count(*) from gov_verify()'), '0', "verified: $what");
	return;
}

next_day();
is(left($other), '100 0', 'a new day');

# Rolled back on the next day.
$one->query_safe('begin');
use_of($one, 10);
is(left($other), '90 10', 'in flight');
next_day();
is(left($other), '100 10', 'the next day has all of its budget, the other one still has it in flight');
is(left($one), '100 10', 'for its own transaction too');
use_of($other, 5);
use_of($one, 7);
is(left($other), '88 22', 'both use the new day');
$one->query_safe('rollback');
is(left($other), '95 5', 'the rollback takes each from its own window');
history('rolled back', '5');

# Committed on the next day.
$one->query_safe('begin');
use_of($one, 20);
next_day();
is(left($other), '100 25', 'the day turns');
use_of($one, 1);
use_of($other, 2);
is(left($one), '97 28', 'used on both sides');
$one->query_safe('commit');
is(left($other), '97 28', 'committed');
history('committed', '25 3');

# Given back on the next day.
$one->query_safe('begin');
use_of($one, -2);
is(left($one), '99 26', 'given back, for its own transaction');
is(left($other), '97 28', 'and for no other');
next_day();
is(left($one), '100 26', 'nothing of it in the new day');
use_of($one, -1);
use_of($other, 6);
is(left($one), '95 31', 'and something more');
is(left($other), '94 34', 'which is not out yet');
$one->query_safe('commit');
is(left($other), '95 31', 'committed: only the relief of today is today\'s');
history('given back', '25 1 5');

# A savepoint from yesterday.
$one->query_safe('begin');
$one->query_safe('savepoint s');
use_of($one, 30);
use_of($one, -4);
next_day();
use_of($one, 3);
is(left($other), '97 64', 'a savepoint across midnight');
$one->query_safe('rollback to s');
is(left($other), '100 31', 'rolled back');
use_of($one, 8);
$one->query_safe('commit');
is(left($other), '92 39', 'and used again');
history('a savepoint', '25 1 5 8');

# Loaded on the next day, from tables that show nothing of it.
$one->query_safe('begin');
use_of($one, 11);
next_day();
$other->query_safe('select gov_refresh()');
is(left($other), '100 50', 'loaded anew while yesterday is in flight');
use_of($other, 1);
$other->query_safe('select gov_refresh()');
use_of($one, 2);
is(left($other), '97 53', 'and again');
$one->query_safe('commit');
is(left($other), '97 53', 'committed');
$other->query_safe('select gov_refresh()');
is(left($other), '97 53', 'loaded from what is committed');
history('loaded', '25 1 5 19 3');

# Late by a day, in flight and rolled back, then committed.
my $yesterday = q{(select max(usage_period_start) - interval '1 hour' from gov_headroom('turn', 'tokens', 0, null, '{bot}'))};
for my $end ('rollback', 'commit')
{
	$one->query_safe('begin');
	$one->query_safe("select gov_ingest('turn', 'tokens', 4, null, '{bot}', null, $yesterday)");
	is(left($other), '97 57', "late, before the $end");
	$one->query_safe($end);
	is(left($other), $end eq 'commit' ? '97 57' : '97 53', "late, after the $end");
}
history('late', '25 1 5 23 3');

# The same after a restart without the offset: the days ahead are history to nobody.
$_->quit for ($one, $other);
$node->restart;
is($node->safe_psql('postgres', 'select count(*) from gov_verify()'), '0', 'verified after a restart');
$node->stop;
done_testing();
