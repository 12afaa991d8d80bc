# A frozen owner stays so through a crash, on a standby, after a promotion, and in a dump that is loaded again; while it is being
# frozen under load, nothing is recorded after what freezing it returned.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $primary = gov_node('frozen', init => { allows_streaming => 1 });
my $dir = PostgreSQL::Test::Utils::tempdir;
my $check = q{select is_granted, denied_reason from gov_check('acme', 'tokens', 1, null, '{agent-1}')};

gov_build($primary, 'postgres', agents => 5, limit => 1000000);
$primary->safe_psql('postgres', q{
	insert into gov_entities (owner_id, id, type_id) values ('other', 'o', 'org');
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('other', 'o', 'tokens', 1000000, null);
	insert into gov_alert_policies (owner_id, thresholds) values ('acme', '{80}');
	insert into gov_prices (owner_id, capability_id, quantity, price, valid_from) values ('acme', 'tokens', 'input', 1, '2026-01-01');
	insert into gov_default_assignments (owner_id, type_id, capability_id, name, usage_limit, cadence) values ('acme', 'org', 'tokens', 'more', 5000000, 'P1M');
	select gov_boost('acme', 'agent-1', 'tokens', 5), gov_request_increase('acme', 'agent-1', 'tokens', 5), gov_block('acme', 'agent-5')});
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('frozen_standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

# ---------------------------------------------------------------- under load

my $script = "$dir/consume.sql";
append_to_file($script, "select gov_consume('acme', 'tokens', 1, null, '{agent-1}');\nselect gov_consume('other', 'tokens', 1, null, '{o}');\n");
my @load = ('pgbench', '-n', '-M', 'prepared', '-c', '4', '-T', '60', '-f', $script, '-h', $primary->host, '-p', $primary->port, 'postgres');
my ($out, $err) = ('', '');
my $load = IPC::Run::start(\@load, '>', \$out, '2>', \$err);
$primary->poll_query_until('postgres', q{select count(*) > 200 from gov_events where owner_id = 'acme'}) or die 'no load';
my $recorded = $primary->safe_psql('postgres', q{
	select gov_freeze_owner('acme') \gset
	select count(*) from gov_events where owner_id = 'acme'});
$load->finish;
like($err, qr/owner "acme" is frozen/, 'its callers are refused');
is($primary->safe_psql('postgres', q{select count(*) from gov_events where owner_id = 'acme'}), $recorded, 'nothing was recorded after that');
is($primary->safe_psql('postgres', q{select is_granted from gov_consume('other', 'tokens', 1, null, '{o}')}), 't', 'another owner goes on');
is($primary->safe_psql('postgres', q{select current_usage from gov_budgets where owner_id = 'acme' and entity_id = 'agent-1'}), $recorded, 'and it is counted');

# ---------------------------------------------------------------- crash, standby, dump

$primary->stop('immediate');
$primary->start;
is($primary->safe_psql('postgres', $check), 'f|Frozen', 'after a crash');
gov_raises($primary, 'postgres', q{select gov_ingest('acme', 'tokens', 1, null, '{agent-1}')}, 'GV003', 'after a crash');
gov_raises($primary, 'postgres', q{update gov_entities set display_name = 'x' where owner_id = 'acme'}, 'GV003', 'a change after a crash');
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', $check), 'f|Frozen', 'on a standby');
is($standby->safe_psql('postgres', q{select is_granted from gov_check('other', 'tokens', 1, null, '{o}')}), 't', 'another owner there');

# There the owner of a call is looked up, however many others are frozen.
sub blocks_of_check
{
	my $plan = $standby->safe_psql('postgres', q{
		select gov_allowed('other', 'tokens', 1, null, '{o}') \g /dev/null
		explain (analyze, buffers, format json) select gov_allowed('other', 'tokens', 1, null, '{o}')});

	return ($plan =~ /"Shared Hit Blocks": (\d+)/)[0] + ($plan =~ /"Shared Read Blocks": (\d+)/)[0];
}

my $blocks = blocks_of_check();

$primary->safe_psql('postgres', q{insert into gov_frozen_owners select 'away-' || n, now(), 'me' from generate_series(1, 20000) n});
$primary->wait_for_catchup($standby);
cmp_ok(blocks_of_check(), '<=', $blocks + 10, "a check on a standby, of $blocks blocks without many who are frozen");
is($standby->safe_psql('postgres', q{select denied_reason from gov_check('away-7', 'tokens', 1)}), 'Frozen', 'one of them is');
is($primary->safe_psql('postgres', q{select denied_reason from gov_check('away-7', 'tokens', 1)}), 'Frozen', 'and on the primary');
$primary->safe_psql('postgres', q{delete from gov_frozen_owners where owner_id like 'away-%'});

gov_roll_up($primary, 'postgres');
foreach my $format ('plain', 'custom')
{
	my $copy = "copy_$format";

	$primary->command_ok([ 'pg_dump', "--format=$format", '--file', "$dir/$format", 'postgres' ], "pg_dump $format");
	$primary->safe_psql('postgres', "create database $copy");
	$primary->command_ok($format eq 'plain' ? [ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/$format", $copy ] :
			[ 'pg_restore', '--exit-on-error', '--dbname', $copy, "$dir/$format" ],
		"restore $format");
	is($primary->safe_psql($copy, $check), 'f|Frozen', "$format: it is frozen there");
	foreach my $table (qw(gov_entities gov_assignments gov_default_assignments gov_boosts gov_increase_requests gov_prices gov_alert_policies gov_events))
	{
		my $count = "select count(*) from $table where owner_id = 'acme'";

		is($primary->safe_psql($copy, $count), $primary->safe_psql('postgres', $count), "$format: $table");
	}
	is($primary->safe_psql($copy, q{select gov_thaw_owner('acme')}), 't', "$format: thawed there");
	is($primary->safe_psql($copy, q{select is_granted from gov_consume('acme', 'tokens', 1, null, '{agent-1}')}), 't', "$format: and used");
	is($primary->safe_psql($copy, 'select * from gov_verify()'), '', "$format: gov_verify");
}
is($primary->safe_psql('postgres', $check), 'f|Frozen', 'and stays so where it was');

# ---------------------------------------------------------------- promotion

$primary->stop('immediate');
$standby->promote;
is($standby->safe_psql('postgres', $check), 'f|Frozen', 'after a promotion');
gov_raises($standby, 'postgres', q{select gov_consume('acme', 'tokens', 1, null, '{agent-1}')}, 'GV003', 'after a promotion');
is($standby->safe_psql('postgres', q{select gov_thaw_owner('acme')}), 't', 'thawed');
is($standby->safe_psql('postgres', $check), 't|', 'and granted');

done_testing();
