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

my $node = gov_node('tail', conf => "autovacuum = off\nmax_prepared_transactions = 1\ngovernance.rollup_interval = '1h'");

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

# ---------------------------------------------------------------- whoever reads it sees a table empty that is not

# The first calls after a crash are made in a transaction that has emptied a table, which a scan of its own sees under any snapshot.
# What it loads is for itself: others wait for its lock or count what is there, and when it rolls back nothing is left of it.
my $of_agent = sub { return "select string_agg(entity_id || '=' || trim_scale(current_usage), ' ' order by entity_id)
	from gov_headroom('acme', 'tokens', 0, null, array['agent-1-1'])" };
my $all = $node->safe_psql('postgres', $of_agent->());
my %emptied = (
	'gov_assignments' => ['truncate gov_assignments', ''],
	'gov_entities and gov_assignments' => ['truncate gov_entities, gov_assignments', ''],
	'gov_usage' => ['truncate gov_usage'],
	'gov_boosts' => ['truncate gov_boosts', $all],
	'gov_alert_policies' => ['truncate gov_alert_policies', $all]);

# A part is rolled up, and a prepared transaction keeps the rest from that.
gov_roll_up($node, 'postgres');
$node->safe_psql('postgres', q{begin; select nextval('gov_events_id_seq'); prepare transaction 'fence'});
$node->safe_psql('postgres',
	q{select count(gov_consume('acme', 'tokens', 1, null, array['agent-1-' || n % 10 + 1])) from generate_series(0, 99) n});
$all = $node->safe_psql('postgres', $of_agent->());
$emptied{$_}[1] = $all foreach 'gov_boosts', 'gov_alert_policies';

foreach my $table (sort keys %emptied)
{
	foreach my $back ('rollback', 'rollback to s')
	{
		my ($empty, $within) = @{ $emptied{$table} };

		$node->stop('immediate');
		$node->start;
		my $emptier = $node->background_psql('postgres', on_error_stop => 0);
		gov_ask($emptier, "begin; savepoint s; $empty");
		my $seen = gov_ask($emptier, $of_agent->());
		is($seen, $within, "$table: its own transaction sees it empty") if defined $within;
		gov_ask($emptier, q{select gov_ingest('acme', 'tokens', 1, null, array['agent-1-1'])});
		my ($status, $out, $err) = $node->psql('postgres', "set lock_timeout = '100ms'; " . $of_agent->());
		ok($err =~ /lock timeout/ || $out eq $all, "$table: no other session does") or diag("$out $err");
		gov_ask($emptier, $back);
		is($node->safe_psql('postgres', $of_agent->()), $all, "$table, $back: another session counts what was used");
		is(gov_ask($emptier, $of_agent->()), $all, "$table, $back: as does its own");
		gov_ask($emptier, 'rollback');
		is($node->safe_psql('postgres', 'select * from gov_verify()'), '', "$table, $back: gov_verify finds nothing");
		$emptier->quit;
	}
}

# A table that is written anew has the same rows, but for no other snapshot than the latest of its own transaction.
foreach my $rewrite (
	'alter table gov_events add column note float8 default random()',
	'alter table gov_usage add column note float8 default random()',
	'cluster gov_entities using gov_entities_pkey',
	'cluster gov_assignments using gov_assignments_pkey')
{
	$node->stop('immediate');
	$node->start;
	my $writer = $node->background_psql('postgres', on_error_stop => 0);
	gov_ask($writer, "begin; savepoint s; $rewrite");
	gov_session_raises($writer, $of_agent->(), '55000', "$rewrite: a call that would load");
	gov_ask($writer, 'rollback to s');
	is(gov_ask($writer, $of_agent->()), $all, 'rolled back to before it');
	gov_ask($writer, 'rollback');
	is($node->safe_psql('postgres', $of_agent->()), $all, 'rolled back');
	is($node->safe_psql('postgres', 'select * from gov_verify()'), '', 'gov_verify finds nothing');
	$writer->quit;
}
isnt(gov_tail($node, 'postgres'), 0, 'there was a tail all the time');
$node->safe_psql('postgres', q{rollback prepared 'fence'});

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
