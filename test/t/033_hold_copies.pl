# Open holds where the server does not stay the same: without the library, on a standby and after its promotion, in a restored
# dump, in a copied database, and when the extension is dropped.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node(
	'origin',
	init => { allows_streaming => 1 },
	conf => 'max_prepared_transactions = 5');
my $dir = PostgreSQL::Test::Utils::tempdir;
my $chain = "array['agent-1']";

gov_build($node, 'postgres', limit => 10);

# The calls of holds; HOLD stands for one.
my @calls = (
	"select * from gov_reserve('acme', 'tokens', 1, null, $chain)",
	"select * from gov_reserve('acme', 'tokens', 99, null, $chain)",
	"select gov_settle('HOLD')",
	"select gov_release('HOLD')",
	"select gov_extend('HOLD', '1 hour')");

sub hold
{
	my ($server, $db, $amount, $key, $ttl) = @_;

	return $server->safe_psql($db,
		"select reservation_id from gov_reserve('acme', 'tokens', $amount, null, $chain, '$key', '$ttl')");
}

# Each call is refused alike.
sub are_refused
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($server, $hold, $sqlstate, $label, $before, $after) = @_;

	foreach my $call (@calls)
	{
		my ($name) = $call =~ /(gov_\w+)/;
		(my $statement = ($before // '') . $call) =~ s/HOLD/$hold/;

		gov_raises($server, 'postgres', $statement . ($after // ''), $sqlstate, "$label: $name");
	}
	return;
}

# The agent's budget has this used and held. What is past its time may be shown until a worker that has just been started has
# expired it.
sub is_counted
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($server, $db, $counted, $label) = @_;

	ok( $server->poll_query_until($db,
			"select trim_scale(current_usage) || '+' || trim_scale(reserved_usage) from gov_headroom('acme', 'tokens', 0, null, $chain) where entity_id = 'agent-1'",
			$counted),
		$label);
	return;
}

# The holds of a copy live: they count, one is settled, one is released, and their keys are remembered.
sub goes_on
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($server, $db, $label) = @_;
	my $first = $server->safe_psql($db, "select id from gov_reservations where idempotency_key = 'first'");

	is_counted($server, $db, '2+6', "$label: held");
	ok($server->poll_query_until($db, "select gov_allowed('acme', 'tokens', 2, null, $chain), gov_allowed('acme', 'tokens', 2.1, null, $chain)", 't|f'),
		"$label: the gate");
	is($server->safe_psql($db, "select count(*), sum(amount), sum(jsonb_array_length(budgets)) from gov_holds"),
		'2|6|10', "$label: they are to be seen, with their budgets");
	is($server->safe_psql($db, 'select * from gov_verify()'), '', "$label: gov_verify finds nothing");
	is($server->safe_psql($db, "select is_granted, is_duplicate, reservation_id = '$first' from gov_reserve('acme', 'tokens', 4, null, $chain, 'first')"),
		't|t|t', "$label: a key is remembered");
	gov_raises($server, $db, "select gov_consume('acme', 'tokens', 4, null, $chain, 'first')", '23505', "$label: for the hold alone");
	is($server->safe_psql($db, "select is_granted, remaining from gov_reserve('acme', 'tokens', 2, null, $chain, 'new')"),
		't|0', "$label: another");
	is($server->safe_psql($db, "select is_duplicate from gov_settle('$first', 5)"), 'f', "$label: settled");
	is($server->safe_psql($db, "select gov_release(id) from gov_reservations where idempotency_key = 'second'"), 't', "$label: released");
	is_counted($server, $db, '7+2', "$label: as it comes out");
	gov_is_exact($server, $db, $label);
	return;
}

gov_use($node, 'postgres', 2);
my $first = hold($node, 'postgres', 4, 'first', '1 day');
hold($node, 'postgres', 2, 'second', '1 day');

# Nothing of them in a prepared transaction or a read-only one.
are_refused($node, $first, '0A000', 'prepared', 'begin; ', "; prepare transaction 'hold'");
are_refused($node, $first, '25006', 'read only', 'begin read only; ');
is_counted($node, 'postgres', '2+6', 'nothing changed');

# A standby: holds count there as they do here, those past their time do not, and nobody changes them.
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
is_counted($standby, 'postgres', '2+6', 'the standby counts them');
is( $standby->safe_psql('postgres', "select is_granted, denied_reason, remaining from gov_check('acme', 'tokens', 3, null, $chain)"),
	'f|BudgetExceeded|2', 'the standby denies');
are_refused($standby, $first, '25006', 'the standby');
my $brief = hold($node, 'postgres', 2, 'brief', '2 seconds');
$node->wait_for_catchup($standby);
is_counted($standby, 'postgres', '2+8', 'a new one');
# the primary goes down before that one's end
my $open = $node->background_psql('postgres');
$open->query_safe("begin; select gov_settle('$first', 10)");
$node->stop('immediate');
eval { $open->{run}->finish };
$standby->poll_query_until('postgres', "select expires_at < clock_timestamp() from gov_reservations where id = '$brief'")
  or die 'time stands still';
is($standby->safe_psql('postgres', "select gov_allowed('acme', 'tokens', 2, null, $chain), gov_allowed('acme', 'tokens', 2.1, null, $chain)"),
	't|f', 'past its time it does not count there');
is_counted($standby, 'postgres', '2+6', 'nor is it shown');
$standby->promote;
$standby->poll_query_until('postgres', 'select not pg_is_in_recovery()')
  or die 'no promotion';
goes_on($standby, 'postgres', 'promoted');
ok($standby->poll_query_until('postgres', "select state = 'expired' from gov_reservations where id = '$brief'"),
	'promoted: what is past its time is expired');
$standby->stop;

# The origin again: what the lost transaction settled is open as before.
$node->start;
is_counted($node, 'postgres', '2+6', 'the origin, started again');

# A dump, and a database with this one as its template.
$node->command_ok([ 'pg_dump', '-f', "$dir/dump.sql", 'postgres' ], 'pg_dump');
$node->safe_psql('postgres', 'create database restored');
$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/dump.sql", '-d', $node->connstr('restored') ], 'restore');
goes_on($node, 'restored', 'restored');
$node->safe_psql('template1', 'create database copied template postgres');
goes_on($node, 'copied', 'copied');
is_counted($node, 'postgres', '2+6', 'the origin is as it was');

# In each database holds end for themselves.
my %ending = map { $_ => hold($node, $_, 0.5, 'ending', '1 second') } qw(postgres restored copied);
ok($node->poll_query_until($_, "select state = 'expired' from gov_reservations where id = '$ending{$_}'"), "$_: expired")
  foreach sort keys %ending;
is_counted($node, 'restored', '7+2', 'in its own database');
is_counted($node, 'postgres', '2+6', 'and not in another');

# A database with open holds goes, though its worker stays for them; and so does the extension.
$node->safe_psql('postgres', "drop database $_") foreach qw(restored copied);
$node->safe_psql('postgres', 'drop extension governance cascade; create extension governance');
gov_build($node, 'postgres', limit => 10);
is_counted($node, 'postgres', '0+0', 'created anew');
gov_raises($node, 'postgres', "select gov_settle('$first')", '42704', 'a hold of before');
is($node->safe_psql('postgres', "select is_granted, remaining from gov_reserve('acme', 'tokens', 10, null, $chain, 'first')"),
	't|0', 'its key is free');
is($node->safe_psql('postgres', 'select * from gov_verify()'), '', 'gov_verify finds nothing');

# Without the library they are rows that nobody can end; with it again they count.
my $last = $node->safe_psql('postgres', 'select id from gov_reservations');
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "''");
$node->restart;
are_refused($node, $last, '55000', 'without the library');
is($node->safe_psql('postgres', 'select count(*) from gov_holds'), '1', 'it is to be seen');
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "'governance'");
$node->restart;
is_counted($node, 'postgres', '0+10', 'with it again');
is($node->safe_psql('postgres', "select gov_release('$last')"), 't', 'released');
is_counted($node, 'postgres', '0+0', 'gone');

$node->stop;
done_testing();
