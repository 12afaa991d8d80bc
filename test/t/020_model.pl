# Random histories against a model of what must come out.
#
# Three sessions take turns: usage that nobody has to allow and usage that the budgets must allow, up and down, late and with keys,
# holds in all their states, catalog changes, savepoints, commits and rollbacks, rounds of the rollup, a clock that moves, a cache that is
# dropped or too small, a server that is stopped at once. Every answer is held against test/oracle.sql, which reads only tables;
# what the other sessions have in flight is in no table, so it is kept here and handed to the oracle: what they took counts, what
# they gave back does not until they commit. At the end, and after a crash, the rows are those of the acknowledged calls.
#
# A history follows from its seed alone. A failing one prints itself and its seed:
#     SEED=n prove ...         runs that seed and no other
#     SEED=m-n prove ...       runs these, those of one batch in the same sessions
#     MODEL_SEEDS=n prove ...  runs that many (200 unless told)
#     MODEL_STEPS=n            of so many steps each (40 unless told)
#     MODEL_STOP=n             ends after so many failures (5 unless told)
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use GovHistory;
use GovModel;
use GovRandom;

# How many histories share the sessions and a run of the server; each begins in another month of the engine's clock.
use constant BATCH => 25;

my ($first, $last) = ($ENV{SEED} // '1-' . ($ENV{MODEL_SEEDS} // 200)) =~ /^(\d+)(?:-(\d+))?$/ or die "SEED=n or SEED=m-n\n";
my @seeds = $first .. $last // $first;
my $steps = $ENV{MODEL_STEPS} // 40;

my $node = PostgreSQL::Test::Cluster->new('model');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'governance'
autovacuum = off
fsync = off
restart_after_crash = on
statement_timeout = '60s'
lock_timeout = '30s'
include_if_exists = 'clock.conf'
include_if_exists = 'batch.conf'
});
$node->start;
$node->safe_psql('postgres', 'create extension governance');
$node->safe_psql('postgres', slurp_file($_)) foreach 'test/oracle.sql', 'test/model.sql';
$node->safe_psql('postgres', <<'SQL');
insert into gov_entity_types (id) values ('org');
insert into gov_capabilities (id) values ('tokens'), ('calls'), ('seconds');
insert into gov_capabilities (id, kind) values ('streams', 'concurrency');
-- what uses by quantities cost; that of 'in' is another one each day of each history's time
insert into gov_prices (capability_id, quantity, price, per, valid_from)
select c, q, p, per, '2000-01-01'
from unnest('{tokens,calls,seconds}'::text[]) as c, (values ('one', 1, 1), ('in', 1, 3), ('out', 0.25, 1)) as v (q, p, per);
insert into gov_prices (capability_id, quantity, price, per, valid_from)
select c, 'in', 1 + n % 7, 3, now() + n * interval '1 day'
from unnest('{tokens,calls,seconds}'::text[]) as c, generate_series(1, 1200) as n;
insert into gov_entities (owner_id, id, type_id) select 'crowd', 'c' || n, 'org' from generate_series(0, 59) as n;
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence)
select 'crowd', 'c' || n, 'tokens', lpad(m::text, 255, 'x'), 10, 'P1M' from generate_series(0, 59) as n, generate_series(1, 120) as m;
select gov_set_alert_policy(null, '{50,100}');
analyze;
SQL

# A batch: with the cache of the default size or with one that is smaller than what is read, with the background worker or without.
sub begin_batch
{
	my ($batch) = @_;

	model_disconnect();
	$node->stop;
	unlink $node->data_dir . '/clock.conf';
	open(my $conf, '>', $node->data_dir . '/batch.conf') or die $!;
	print $conf "governance.cache_size = '4MB'\n" if $batch % 2;
	print $conf $batch % 4 < 2 ? "max_worker_processes = 0\n" : "governance.rollup_interval = '10ms'\n";
	close $conf;
	$node->start;
	$node->safe_psql('postgres', 'vacuum');
	return;
}

# Play one history: what is wrong, or nothing.
sub play
{
	my ($seed) = @_;
	my $batch = int($seed / BATCH);
	my $done = eval {
		model_begin($node, $seed, $seed % BATCH, rounds_are_asked => $batch % 4 < 2);
		history_begin(crowded => $batch % 2);
		my $crash = chance(0.1) ? int(rand($steps)) : -1;
		foreach my $step (1 .. $steps)
		{
			history_step(one_of(sessions()));
			history_compare(one_of(sessions())) if chance(0.75);
			next if $step != $crash;
			crash(one_of('stop', 'kill'));
			checkpoint('after a crash');
		}
		history_end();
		1;
	};
	my $error = $@;
	eval { model_end($done); 1 } or $error .= $@;
	return $error eq '' ? undef : "SEED=$seed (if it passes alone: SEED=" . $batch * BATCH . "-$seed)\n$error" . join("\n", model_history());
}

my ($current, $failed, $crowded, $evicted) = (-1, 0, 0, 0);
foreach my $seed (@seeds)
{
	my $batch = int($seed / BATCH);
	my $began = time();
	begin_batch($batch) if $batch != $current;
	$current = $batch;
	my $wrong = play($seed);

	# a history that takes half a minute sees a minute end that it has not moved to
	if (defined $wrong && time() - $began > 20)
	{
		note("seed $seed was too slow, and is played again");
		begin_batch($batch);
		$wrong = play($seed);
	}
	ok(!defined $wrong, "seed $seed") or diag($wrong);
	last if defined $wrong && ++$failed >= ($ENV{MODEL_STOP} // 5);
	next unless $batch % 2;
	$crowded++;
	$evicted ||= $node->safe_psql('postgres', q{select value from gov_stats where name = 'cache_evictions'});
}
ok($evicted, 'a small cache was too small') if $crowded >= BATCH;

cmp_ok(model_done('forgot who has used a default'), '>', 0, 'somebody who had used a budget by a default was forgotten') if @seeds >= 2 * BATCH;

cmp_ok(model_done('moved the owner'), '>', 0, 'owners have moved') if @seeds >= BATCH;
note('did: ' . model_tally());
model_disconnect();
$node->stop;
done_testing();
