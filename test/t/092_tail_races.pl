# What a load leaves out, because the tail is known, must be in memory: while counters with rows in the tail are taken out of the
# cache, budgets come into being with usage, rounds of the rollup end, and whoever is reading the tail is canceled.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;
use GovGrowth;

use constant { AGENTS => 40, LIMIT => 25, LOOPS => 250 };

my $node = gov_node('tail', conf => "autovacuum = off\ngovernance.rollup_interval = '1h'");

gov_grow_owner($node, 'postgres', 'acme', agents => 10);
$node->safe_psql('postgres', q{update gov_assignments set usage_limit = 100 where entity_id like 'agent%'});

# ---------------------------------------------------------------- whoever reads the tail is canceled

my $check = q{select gov_allowed('acme', 'tokens', 41, null, array['agent-1-1'])};
my $idle = $node->background_psql('postgres', on_error_stop => 0);

gov_ask($idle, 'begin');
gov_ask($idle, q{select gov_ingest('idle', 'tokens', 1)});
$node->safe_psql('postgres',
	q{select count(gov_consume('acme', 'tokens', 1, null, array['agent-1-' || n % 10 + 1])) from generate_series(0, 599) n});

# at the claims, and with one entity loaded
foreach my $n (1, 2)
{
	my $reader = $node->background_psql('postgres', on_error_stop => 0);
	my $pid = gov_ask($reader, 'select pg_backend_pid()');
	my $answer = '';

	$node->safe_psql('postgres', 'select gov_refresh()');
	gov_ask($reader, "set governance.fault_action = 'pause'; set governance.fault_point = 'load'; set governance.fault_at = $n");
	$reader->{stdin} .= "$check;\n";
	$reader->{run}->pump_nb;
	ok( $node->poll_query_until('postgres',
			"select exists (select from pg_stat_activity where pid = $pid and state = 'active' and wait_event_type = 'Extension')"),
		"the reader stops at point $n");
	my $waiter = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', $check ], '>', \$answer);
	ok( $node->poll_query_until('postgres',
			"select count(*) = 2 from pg_stat_activity where query ~ '^select gov_allowed' and wait_event_type = 'Extension'"),
		'another session waits for it');
	$node->safe_psql('postgres', "select pg_cancel_backend($pid)");
	$waiter->finish;
	is($answer, "f\n", 'and counts what was used when it is canceled');
	$reader->{run}->pump until $reader->{stderr} =~ /ERROR/;
	$reader->{stderr} = '';
	is(gov_ask($reader, $check), 'f', 'as does the canceled session');
	$reader->quit;
}
gov_ask($idle, 'rollback');
$idle->quit;

# ---------------------------------------------------------------- all at once

gov_grow_owner($node, 'postgres', 'race', agents => AGENTS);
$node->safe_psql('postgres', qq{update gov_assignments set usage_limit = ${\LIMIT} where owner_id = 'race' and entity_id like 'agent%'});
gov_set($node, 'governance.rollup_interval', '200ms');

my %loops = (
	consume => q{perform gov_consume('race', 'tokens', 1, null, array['agent-1-' || (random() * (AGENTS - 1))::integer + 1])},
	refresh => q{perform gov_refresh(); perform pg_sleep(0.005)},
	create => q{insert into gov_entities (owner_id, id, type_id, parent_id) values ('race', 'own-' || n, 'agent', 'team-1');
		insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('race', 'own-' || n, 'tokens', 5);
		perform gov_consume('race', 'tokens', 3, null, array['own-' || n])},
	own => q{perform gov_consume('race', 'tokens', 1, null, array['own-' || (random() * LOOPS)::integer])},
	redraw => q{update gov_assignments set cadence = case when cadence is null then 'P100Y' end
			where owner_id = 'race' and entity_id = 'own-' || (n - 3);
		perform gov_consume('race', 'tokens', 1, null, array['own-' || (n - 3)])});
my @runs;

foreach my $name ('consume', 'consume', 'refresh', 'create', 'own', 'redraw')
{
	my $body = $loops{$name};

	$body =~ s/AGENTS/AGENTS/ge;
	$body =~ s/LOOPS/LOOPS/ge;
	my $loops = LOOPS * ($name eq 'consume' ? 4 : 1);
	push @runs, IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-c',
			"do \$\$ begin for n in 1 .. $loops loop $body; commit; end loop; end \$\$" ]);
}
ok($_->finish, 'a session came to its end') foreach @runs;

is( $node->safe_psql('postgres', qq{
		select count(*) from (
			select a.entity_id from gov_assignments a
			join (select x.counter_id, sum(e.amount) as used from gov_events e, unnest(e.counter_ids) as x (counter_id) group by 1) u using (counter_id)
			where u.used > a.usage_limit) over}),
	'0',
	'no budget was overdrawn');
is($node->safe_psql('postgres', 'select count(*) from gov_verify()'), '0', 'gov_verify finds nothing');
$node->safe_psql('postgres', 'select gov_refresh()');
gov_roll_up($node, 'postgres');
is($node->safe_psql('postgres', 'select count(*) from gov_verify()'), '0', 'nor when all is rolled up');

$node->stop;
done_testing();
