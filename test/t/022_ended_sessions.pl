# Sessions that end in other ways than COMMIT and ROLLBACK: what they had in flight is taken back, and nothing is left that others wait for.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('ended');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'governance'
autovacuum = off
});
$node->start;
$node->safe_psql('postgres', q{
create extension governance;
insert into gov_entity_types (id) values ('org');
insert into gov_capabilities (id) values ('tokens');
insert into gov_entities (owner_id, id, type_id) values ('ended', 'acme', 'org');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('ended', 'acme', 'tokens', 100, null);
});

sub session { return $node->background_psql('postgres', on_error_stop => 0); }

sub pid_of { return $_[0]->query_safe('select pg_backend_pid()'); }

sub wait_until
{
	my ($condition, $what) = @_;
	$node->poll_query_until('postgres', "select $condition") or die "never: $what\n";
	return;
}

sub gone
{
	my ($pid) = @_;
	wait_until("not exists (select from pg_stat_activity where pid = $pid)", "session $pid ends");
	return;
}

sub ingest { return "select is_duplicate from gov_ingest('ended', 'tokens', $_[0], null, '{acme}'" . (defined $_[1] ? ", '$_[1]'" : '') . ')'; }

sub left_is
{
	my ($left, $what) = @_;
	is($node->safe_psql('postgres', q{select remaining from gov_check('ended', 'tokens', 0, null, '{acme}')}), $left, $what);
	is($node->safe_psql('postgres', 'select count(*) from gov_verify()'), '0', "verified: $what");
	return;
}

# Terminated, with usage up and down, in savepoints.
my $session = session();
my $pid = pid_of($session);
$session->query_safe(join('; ', 'begin', ingest(10), ingest(-3), 'savepoint s', ingest(5)));
left_is(85, 'in flight');
$node->safe_psql('postgres', "select pg_terminate_backend($pid)");
gone($pid);
left_is(100, 'terminated');

# The client goes away.
$session = session();
$pid = pid_of($session);
$session->query_safe('begin; ' . ingest(10));
$session->quit;
gone($pid);
left_is(100, 'the client went away');

# A timeout of an idle transaction.
$session = session();
$pid = pid_of($session);
$session->query_safe(q{set idle_in_transaction_session_timeout = '200ms'; begin; } . ingest(10));
gone($pid);
left_is(100, 'timed out while idle');

# Cancelled while it waits for another's key; then terminated while it does.
my $first = session();
$first->query_safe('begin; ' . ingest(10, 'k'));
for my $how ('cancel', 'terminate')
{
	$session = session();
	$pid = pid_of($session);
	$session->query_safe('begin; ' . ingest(1));
	$session->{stdin} .= ingest(20, 'k') . ";\n\\echo ended\n";
	$session->{run}->pump_nb;
	wait_until("exists (select from pg_stat_activity where pid = $pid and wait_event_type = 'Lock')", 'it waits for the key');
	left_is($how eq 'cancel' ? 89 : 87, "waits for the key, before the $how");
	$node->safe_psql('postgres', "select pg_${how}_backend($pid)");
	if ($how eq 'cancel')
	{
		$session->{run}->pump until $session->{stdout} =~ /ended/;
		like($session->{stderr}, qr/canceling statement/, 'cancelled');
		($session->{stdout}, $session->{stderr}) = ('', '');
		left_is(90, 'cancelled: its transaction has failed');
		$session->query_safe('rollback');
		is($session->query_safe(ingest(2)), 'f', 'and its session goes on');
		$session->quit;
		left_is(88, 'with what it uses then');
	}
	gone($pid);
}
$first->query_safe('commit');
left_is(88, 'the first of the key is in');
is($first->query_safe(ingest(10, 'k')), 't', 'and is remembered');

# A timeout that an exception block catches takes the block's usage with it.
$first->query_safe(q{
create function caught() returns void language plpgsql as $$
begin
	perform gov_ingest('ended', 'tokens', 1, null, '{acme}');
	begin
		perform gov_ingest('ended', 'tokens', 30, null, '{acme}');
		perform pg_sleep(60);
	exception
		when query_canceled then
			perform gov_ingest('ended', 'tokens', 2, null, '{acme}');
	end;
end
$$});
$first->query_safe(q{begin; set local statement_timeout = '300ms'; select caught(); commit});
left_is(85, 'a caught timeout');

# Killed in the middle of a round or a load nobody hangs: many short sessions that are all terminated.
for my $round (1 .. 5)
{
	my @crowd = map { session() } 1 .. 6;
	for my $n (0 .. $#crowd)
	{
		my $amount = $n % 2 ? 1 : -1;
		$crowd[$n]->{stdin} .= "do \$\$ begin for i in 1..100000 loop perform gov_ingest('ended', 'tokens', $amount, null, '{acme}'); if i % 50 = 0 then perform gov_refresh(); end if; end loop; end \$\$;\n";
		$crowd[$n]->{run}->pump_nb;
	}
	select(undef, undef, undef, 0.3);
	$node->safe_psql('postgres', q{select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid() and query like 'do %'});
	wait_until(q{not exists (select from pg_stat_activity where query like 'do %' and backend_type = 'client backend')}, 'the crowd ends');
	left_is(85, "a crowd that was terminated, $round");
}
is($first->query_safe(ingest(5)), 'f', 'the session that stayed goes on');
left_is(80, 'and counts');
$first->quit;
$node->stop;
done_testing();
