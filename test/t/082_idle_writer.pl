# A transaction that is left open keeps the rollup from moving: gov_stats names it, and so does the log, once, after
# governance.log_rollup_waits.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('idle_writer', conf => <<CONF);
governance.rollup_interval = '20ms'
governance.log_rollup_waits = '500ms'
CONF
my $rolled_up = 'select watermark = (select max(id) from gov_events) from gov_rollup_state';

# Whom the log has named.
sub named { my @named = slurp_file($node->logfile) =~ /WARNING:  the rollup of governance has waited for an open transaction for \d+ s\n[^\n]*DETAIL:  These are in its way: ([^\n]*)/g; return @named; }

sub await_named
{
	my ($count) = @_;

	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return if (() = named()) >= $count;
		select(undef, undef, undef, 0.1);
	}
	return;
}

# A session that has written and goes to lunch.
sub idle_session
{
	my ($name, $sql) = @_;
	my $session = $node->background_psql('postgres', on_error_stop => 0, extra_params => [ '-U', 'gateway' ]);

	gov_ask($session, "set application_name = '$name'; begin");
	gov_ask($session, $sql);
	return ($session, gov_ask($session, 'select pg_backend_pid()'));
}

gov_build($node, 'postgres');
$node->safe_psql('postgres', q{create role gateway login; select gov_grant('gateway', 'app'), gov_grant('gateway', 'admin'); create role watcher login; select gov_grant('watcher', 'reader')});
my $use = q{select 1 from gov_ingest('acme', 'tokens', 1, null, '{agent-1}')};

# ---------------------------------------------------------------- one that has recorded a use

my ($lunch, $pid) = idle_session('lunch', $use);
gov_use($node, 'postgres', 2);
my $detail = q{select value, detail from gov_stats where name = 'rollup_waits_for'};
like($node->safe_psql('postgres', $detail), qr/^1\|process $pid \(role gateway, lunch, idle in transaction, in its transaction since 20\d\d-\S+ \d\d:\d\d:\d\d\+?\S*\)$/, 'gov_stats names process, role, application and time');
is($node->safe_psql('postgres', $detail, extra_params => [ '-U', 'watcher' ]), "1|process $pid (role gateway, lunch)", 'to a reader what such a one may know');
await_named(1);
is_deeply([ map { /^(process \d+ \(role \w+, \w+)/ } named() ], ["process $pid (role gateway, lunch"], 'the log names it');
select(undef, undef, undef, 2.5);	# many rounds, five times the interval
is(scalar(my @once = named()), 1, 'and says so once');
gov_ask($lunch, 'commit');
ok($node->poll_query_until('postgres', $rolled_up), 'then the rollup moves');
is($node->safe_psql('postgres', $detail), '0|', 'and gov_stats names nobody');

# ---------------------------------------------------------------- another one, that has deleted a budget

my ($dinner, $other) = idle_session('dinner', q{delete from gov_assignments where entity_id = 'team-1'});
gov_use($node, 'postgres', 2);
await_named(2);
like((named())[1] // '', qr/^process $other \(role gateway, dinner, /, 'another one is named anew');
like($node->safe_psql('postgres', $detail), qr/^1\|process $other \(role gateway, dinner, /, 'by gov_stats too');
gov_ask($dinner, 'rollback');
ok($node->poll_query_until('postgres', $rolled_up), 'then the rollup moves');

# ---------------------------------------------------------------- LOCK TABLE

my $locker = $node->background_psql('postgres', on_error_stop => 0);
gov_ask($locker, q{set application_name = 'migration'; begin; lock table gov_usage_by_time in share mode});
gov_use($node, 'postgres', 2);
await_named(3);
like((named())[2] // '', qr/^process \d+ \(role \w+, migration, /, 'a lock on a table that the rollup writes');
gov_ask($locker, 'rollback');
ok($node->poll_query_until('postgres', $rolled_up), 'then the rollup moves');

gov_is_exact($node, 'postgres', 'at the end');
$_->quit foreach ($lunch, $dinner, $locker);
$node->stop;
done_testing();
